// SPDX-License-Identifier: Apache-2.0
// Every command that there is, against every kind of bad root, a closed pipe and a narrow terminal. The list of commands is
// the program's own, so a new one that this test has no words for fails it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "tests/e2e/every_command.h"

namespace cairn::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class EveryCommandAgainst : public EveryCommand {
 protected:
  void each_of_the_store(const std::string& root, const std::vector<int>& codes, const Words& but_for = {}) {
    for (const auto& [name, call] : calls()) {
      if (call.needs == Needs::nothing || std::find(but_for.begin(), but_for.end(), name) != but_for.end()) continue;
      expect_one_error(name + " in " + root, run(root, call), codes);
    }
  }
};

TEST_F(EveryCommandAgainst, IsInTheTableOfThisTest) {
  for (const std::string& name : names()) EXPECT_TRUE(calls().contains(name)) << name << " has no call in every_command_test.cc";
  for (const auto& [name, call] : calls()) EXPECT_THAT(names(), ::testing::Contains(name));
}

TEST_F(EveryCommandAgainst, SaysThatThereIsNoStoreAndMakesNone) {
  const std::string nowhere = (temp_ / "nowhere").str();
  each_of_the_store(nowhere, {3}, {"build", "solve", "gocacheprog"});  // which make it
  struct ::stat stat {};
  EXPECT_NE(::lstat(nowhere.c_str(), &stat), 0);
  each_of_the_store(make_dir("empty").str(), {3}, {"build", "solve", "gocacheprog"});
  EXPECT_THAT(names_in(temp_ / "empty"), IsEmpty());
}

TEST_F(EveryCommandAgainst, LeavesAForeignDirectoryAlone) {
  const base::HostPath foreign = make_dir("foreign");
  put(foreign, "letter", "to a friend");
  each_of_the_store(foreign.str(), {1, 3});
  EXPECT_THAT(names_in(foreign), ::testing::ElementsAre("letter"));
  const std::string file = (temp_ / "gc.toml").str();
  each_of_the_store(file, {1, 3});
  EXPECT_THAT(read(temp_ / "gc.toml"), HasSubstr("ceiling"));
}

TEST_F(EveryCommandAgainst, RefusesAStoreOfALaterVersion) {
  make_store();
  write_text(root_ / "VERSION", "cairn 99\n");
  each_of_the_store(root_.str(), {1});
  EXPECT_EQ(read(root_ / "VERSION"), "cairn 99\n");
}

TEST_F(EveryCommandAgainst, SaysThatTheMetadataAreDamaged) {
  make_store();
  write_text(root_ / "meta/data.mdb", std::string(64 << 10, 'x'));
  each_of_the_store(root_.str(), {1, 4}, {"fsck", "repair"});  // which say on standard output what they find, and mend it
  const Ended checked = run(root_.str(), calls().at("fsck"));
  EXPECT_EQ(checked.code, 4) << checked.err;
}

TEST_F(EveryCommandAgainst, EndsQuietlyWhenNobodyReads) {
  make_store();
  for (const auto& [name, call] : calls()) {
    std::string line = "set -o pipefail; " CAIRN_BIN_DIR "/cachectl --root " + root_.str();
    for (const std::string& word : words_of(call)) line += " '" + word + "'";
    // The reader is gone before anything is written.
    const Ended ended = run_program(temp_.path(), {"bash", "-c", "exec 3> >(exec true); sleep 0.05; (" + line + ") >&3"});
    EXPECT_THAT(ended.err, Not(HasSubstr("standard output"))) << name;
    EXPECT_LT(ended.code, 128 + 14) << name << ended.err;  // by no signal but SIGPIPE
  }
}

TEST_F(EveryCommandAgainst, ReadsOnATerminalOfTwentyColumns) {
  make_store();
  for (const auto& [name, call] : calls()) {
    std::string line = "stty cols 20; COLUMNS=20 " CAIRN_BIN_DIR "/cachectl --root " + root_.str();
    for (const std::string& word : words_of(call)) line += " '" + word + "'";
    const Ended ended = run_program(temp_.path(), {"script", "-qec", line, "/dev/null"});
    EXPECT_LT(ended.code, 6) << name << ended.out;
    EXPECT_FALSE(ended.out.empty() && ended.code != 0) << name;
  }
}

TEST_F(EveryCommandAgainst, PointsAtWhatItCannotReadInAFilterOrASize) {
  make_store();
  for (const Words& verb : {Words{"record", "list"}, Words{"ls"}, Words{"du"}, Words{"prune"}}) {
    Words words = {"--root", root_.str()};
    words.insert(words.end(), verb.begin(), verb.end());
    words.insert(words.end(), {"--filter", "type==regular,until=soon"});
    const Ended ended = cachectl(words);
    EXPECT_THAT(ended.err, AllOf(HasSubstr("filter \"type==regular,until=soon\", at 25"), HasSubstr("hint: "))) << verb.back();
    EXPECT_EQ(ended.code, 2) << verb.back();
    EXPECT_EQ(ended.out, "");
  }
  const Ended size = cachectl({"--root", root_.str(), "prune", "--max-used", "ten"});
  EXPECT_EQ(size.code, 2);
  EXPECT_THAT(size.err, HasSubstr("ten"));
  const Ended verb = cachectl({"histry", "list"});
  EXPECT_EQ(verb.code, 2);
  EXPECT_THAT(verb.err, AllOf(StartsWith("cachectl: "), HasSubstr("hint: ")));
  const Ended record = cachectl({"--root", root_.str(), "record", "show", "99999"});
  EXPECT_EQ(record.code, 3);
  EXPECT_THAT(record.err, AllOf(HasSubstr("99999"), HasSubstr("hint: cachectl record list")));
}

}  // namespace
}  // namespace cairn::test
