// SPDX-License-Identifier: Apache-2.0
// Every command that there is, against every kind of bad root, a closed pipe and a narrow terminal. The list of commands is
// the program's own, so a new one that this test has no words for fails it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

enum class Needs { store, nothing };
struct Call {
  Words words;
  Needs needs = Needs::store;
};

// What each command is called with. {DIR}: an empty directory of the test; {GRAPH}: a graph; {POLICY}: a policy.
const std::map<std::string, Call>& calls() {
  static const std::map<std::string, Call> all = {
      {"solve", {{"solve", "{GRAPH}", "--local", "context={DIR}", "--progress", "none"}}},
      {"digest", {{"digest", "1"}}},
      {"llb inspect", {{"llb", "inspect", "{GRAPH}"}, Needs::nothing}},
      {"du", {{"du"}}},
      {"top", {{"top"}}},
      {"who", {{"who", "1"}}},
      {"ls", {{"ls"}}},
      {"record list", {{"record", "list"}}},
      {"record show", {{"record", "show", "1"}}},
      {"record export", {{"record", "export", "1", "{DIR}/out"}}},
      {"record cat", {{"record", "cat", "1", "file"}}},
      {"record diff", {{"record", "diff", "1", "1"}}},
      {"pin", {{"pin"}}},
      {"unpin", {{"unpin", "1"}}},
      {"blob list", {{"blob", "list"}}},
      {"blob show", {{"blob", "show", "4c67"}}},
      {"snapshot list", {{"snapshot", "list"}}},
      {"snapshot show", {{"snapshot", "show", "1"}}},
      {"store info", {{"store", "info"}}},
      {"store migrate", {{"store", "migrate"}}},
      {"stats", {{"stats"}}},
      {"doctor", {{"doctor"}}},
      {"prune", {{"prune"}}},
      {"gc run", {{"gc", "run"}}},
      {"gc check", {{"gc", "check", "{POLICY}"}, Needs::nothing}},
      {"gc explain", {{"gc", "explain", "1"}}},
      {"mount-cache list", {{"mount-cache", "list"}}},
      {"mount-cache du", {{"mount-cache", "du", "id"}}},
      {"mount-cache rm", {{"mount-cache", "rm", "id"}}},
      {"mount-cache limit", {{"mount-cache", "limit", "id", "1GB"}}},
      {"history list", {{"history", "list"}}},
      {"history show", {{"history", "show", "last"}}},
      {"history diff", {{"history", "diff", "last", "last"}}},
      {"explain", {{"explain", "context"}}},
      {"history ledger", {{"history", "ledger"}}},
      {"trace record", {{"trace", "record", "status"}}},
      {"trace replay", {{"trace", "replay"}}},
      {"graph", {{"graph", "{GRAPH}", "--output", "{DIR}/graph.dot"}, Needs::nothing}},
      {"report", {{"report", "--output", "{DIR}/report.html"}}},
      {"fsck", {{"fsck"}}},
      {"scrub", {{"scrub"}}},
      {"migrate", {{"migrate"}}},
      {"completion", {{"completion", "bash"}, Needs::nothing}},
      {"man", {{"man"}, Needs::nothing}},
      {"commands", {{"commands"}, Needs::nothing}},
  };
  return all;
}

class EveryCommand : public World {
 protected:
  void SetUp() override {
    make_dir("dir");
    graph_ = write_graph(bytes_of(llb::local("context", {.name = "context"}))).str();
    put(temp_.path(), "gc.toml", "[[rule]]\nceiling = \"10GB\"\n");
  }
  // The store is only looked at by what is called: no solve of ours has to work in it.
  void TearDown() override {}

  Words names() {
    Words names;
    const Json json = Json::parse(cachectl({"commands", "--json"}).out);
    for (const auto& command : json.at("commands")) names.push_back(command.at("name"));
    return names;
  }
  Words words_of(const Call& call) const {
    Words words;
    for (std::string word : call.words) {
      for (const auto& [mark, text] : {std::pair<std::string, std::string>{"{DIR}", (temp_ / "dir").str()},
                                       {"{GRAPH}", graph_}, {"{POLICY}", (temp_ / "gc.toml").str()}}) {
        if (const std::size_t at = word.find(mark); at != std::string::npos) word.replace(at, mark.size(), text);
      }
      words.push_back(std::move(word));
    }
    return words;
  }
  Ended run(const std::string& root, const Call& call) {
    Words words = words_of(call);
    words.insert(words.begin(), {"--root", root, "--no-daemon"});
    return cachectl(std::move(words));
  }
  // One clear error on standard error, a documented exit code, and nothing on standard output.
  void expect_one_error(const std::string& name, const Ended& ended, const std::vector<int>& codes) {
    SCOPED_TRACE(name);
    EXPECT_THAT(codes, ::testing::Contains(ended.code)) << ended.out << ended.err;
    EXPECT_EQ(ended.out, "");
    EXPECT_THAT(ended.err, StartsWith("cachectl: "));
    std::size_t errors = 0;
    for (std::size_t at = 0; (at = ended.err.find("cachectl: ", at)) != std::string::npos; ++at) ++errors;
    EXPECT_EQ(errors, 1u) << ended.err;
    EXPECT_THAT(ended.err, Not(AllOf(HasSubstr("terminate"), HasSubstr("what()"))));
  }
  void each_of_the_store(const std::string& root, const std::vector<int>& codes, const Words& but_for = {}) {
    for (const auto& [name, call] : calls()) {
      if (call.needs == Needs::nothing || std::find(but_for.begin(), but_for.end(), name) != but_for.end()) continue;
      expect_one_error(name + " in " + root, run(root, call), codes);
    }
  }

  std::string graph_;
};

TEST_F(EveryCommand, IsInTheTableOfThisTest) {
  for (const std::string& name : names()) EXPECT_TRUE(calls().contains(name)) << name << " has no call in every_command_test.cc";
  for (const auto& [name, call] : calls()) EXPECT_THAT(names(), ::testing::Contains(name));
}

TEST_F(EveryCommand, SaysThatThereIsNoStoreAndMakesNone) {
  const std::string nowhere = (temp_ / "nowhere").str();
  each_of_the_store(nowhere, {3}, {"solve"});  // which makes it
  struct ::stat stat {};
  EXPECT_NE(::lstat(nowhere.c_str(), &stat), 0);
  each_of_the_store(make_dir("empty").str(), {3}, {"solve"});
  EXPECT_THAT(names_in(temp_ / "empty"), IsEmpty());
}

TEST_F(EveryCommand, LeavesAForeignDirectoryAlone) {
  const base::HostPath foreign = make_dir("foreign");
  put(foreign, "letter", "to a friend");
  each_of_the_store(foreign.str(), {1, 3});
  EXPECT_THAT(names_in(foreign), ::testing::ElementsAre("letter"));
  const std::string file = (temp_ / "gc.toml").str();
  each_of_the_store(file, {1, 3});
  EXPECT_THAT(read(temp_ / "gc.toml"), HasSubstr("ceiling"));
}

TEST_F(EveryCommand, RefusesAStoreOfALaterVersion) {
  ASSERT_EQ(solve(llb::local("context", {.name = "context"}), {"--local", "context=" + (temp_ / "dir").str()}).code, 0);
  write_text(root_ / "VERSION", "cairn 99\n");
  each_of_the_store(root_.str(), {1});
  EXPECT_EQ(read(root_ / "VERSION"), "cairn 99\n");
}

TEST_F(EveryCommand, SaysThatTheMetadataAreDamaged) {
  ASSERT_EQ(solve(llb::local("context", {.name = "context"}), {"--local", "context=" + (temp_ / "dir").str()}).code, 0);
  write_text(root_ / "meta/data.mdb", std::string(64 << 10, 'x'));
  each_of_the_store(root_.str(), {1, 4}, {"fsck"});  // which says on standard output what it finds
  const Ended checked = run(root_.str(), calls().at("fsck"));
  EXPECT_EQ(checked.code, 4) << checked.err;
}

TEST_F(EveryCommand, EndsQuietlyWhenNobodyReads) {
  ASSERT_EQ(solve(llb::local("context", {.name = "context"}), {"--local", "context=" + (temp_ / "dir").str()}).code, 0);
  for (const auto& [name, call] : calls()) {
    std::string line = "set -o pipefail; " CAIRN_BIN_DIR "/cachectl --root " + root_.str();
    for (const std::string& word : words_of(call)) line += " '" + word + "'";
    // The reader is gone before anything is written.
    const Ended ended = run_program(temp_.path(), {"bash", "-c", "exec 3> >(exec true); sleep 0.05; (" + line + ") >&3"});
    EXPECT_THAT(ended.err, Not(HasSubstr("standard output"))) << name;
    EXPECT_LT(ended.code, 128 + 14) << name << ended.err;  // by no signal but SIGPIPE
  }
}

// Numbers, times, durations and digests vary from run to run and from disk to disk; words and their order do not.
std::string without_what_varies(std::string text, const std::string& dir) {
  for (std::size_t at = 0; (at = text.find(dir, at)) != std::string::npos;) text.replace(at, dir.size(), "TEMP");
  const std::pair<const char*, const char*> rules[] = {{"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "TIME"},
                                                       {"[0-9a-f]{12,}", "HEX"},
                                                       {"([0-9]+m)?[0-9]+(\\.[0-9]+)?(ms|s)\\b", "DURATION"},
                                                       {"[0-9]+(\\.[0-9]+)?", "N"},
                                                       {"  +", "  "}};
  for (const auto& [expression, word] : rules) text = std::regex_replace(text, std::regex(expression), word);
  return text;
}

void strip(Json& json, const std::string& dir) {
  for (auto& value : json) {
    if (value.is_structured()) strip(value, dir);
    else if (value.is_number()) value = 0;
    else if (value.is_string()) value = without_what_varies(value.get<std::string>(), dir);
  }
}

// CAIRN_UPDATE_GOLDENS=1 writes what it finds; look at it before it is kept.
void expect_golden(const std::string& file, const std::string& found) {
  const std::string path = CAIRN_SOURCE_DIR "/tests/golden/cachectl/" + file;
  if (std::getenv("CAIRN_UPDATE_GOLDENS") != nullptr) write_text(*base::HostPath::parse(path), found);
  EXPECT_EQ(read_text(path), found) << file;
}

// What each prints, in both forms, of a store that has seen one solve.
TEST_F(EveryCommand, PrintsWhatItHasPrintedBefore) {
  // Of the machine, or of the program itself: tests/e2e/contract_test.cc and commands_test.cc look at those, and mount_cache_test.cc
  // at cache mounts, of which there are none here. Traces, graphs and reports have tests of their own.
  const Words others = {"doctor", "completion", "man", "commands", "trace record", "trace replay", "graph", "report"};
  const auto state = llb::local("context", {.name = "context"});
  ASSERT_EQ(solve(state, {"--local", "context=" + (temp_ / "dir").str(), "--project", "web", "--build", "17"}).code, 0);
  const Json listed = Json::parse(cachectl({"commands", "--json"}).out);
  auto golden = calls();
  golden["prune-all-dry-run"] = {{"prune", "--all", "--dry-run"}};
  golden["prune-rule-dry-run"] = {{"prune", "--filter", "type==source.local", "--dry-run"}};
  golden["record-list-filter"] = {{"record", "list", "--filter", "type==exec.cachemount"}};
  golden["du-by"] = {{"du", "--by", "type"}};
  golden["du-filter"] = {{"du", "--filter", "type==source.local"}};
  golden["stats-prometheus"] = {{"stats", "--prometheus"}};
  for (const auto& [name, call] : golden) {
    if (std::find(others.begin(), others.end(), name) != others.end() || name.starts_with("mount-cache")) continue;
    std::string file = name;
    std::replace(file.begin(), file.end(), ' ', '-');
    const Ended text = run(root_.str(), call);
    expect_golden(file + ".txt", without_what_varies(text.out + text.err, temp_.path().str()) + "exit code " + std::to_string(text.code) + "\n");
    Words words = words_of(call);
    words.push_back("--json");
    words.insert(words.begin(), {"--root", root_.str(), "--no-daemon"});
    const Ended as_json = cachectl(words);
    if (as_json.code == 2 || as_json.out.empty() || as_json.out.front() != '{') continue;
    Json json = Json::parse(as_json.out);
    EXPECT_EQ(json.value("format", 0), 1) << name;
    strip(json, temp_.path().str());
    expect_golden(file + ".json", json.dump(1) + "\n");
  }
}

TEST_F(EveryCommand, ReadsOnATerminalOfTwentyColumns) {
  ASSERT_EQ(solve(llb::local("context", {.name = "context"}), {"--local", "context=" + (temp_ / "dir").str()}).code, 0);
  for (const auto& [name, call] : calls()) {
    std::string line = "stty cols 20; COLUMNS=20 " CAIRN_BIN_DIR "/cachectl --root " + root_.str();
    for (const std::string& word : words_of(call)) line += " '" + word + "'";
    const Ended ended = run_program(temp_.path(), {"script", "-qec", line, "/dev/null"});
    EXPECT_LT(ended.code, 6) << name << ended.out;
    EXPECT_FALSE(ended.out.empty() && ended.code != 0) << name;
  }
}

TEST_F(EveryCommand, PointsAtWhatItCannotReadInAFilterOrASize) {
  ASSERT_EQ(solve(llb::local("context", {.name = "context"}), {"--local", "context=" + (temp_ / "dir").str()}).code, 0);
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
