// SPDX-License-Identifier: Apache-2.0
// fsck, scrub and doctor as somebody at a terminal meets them: on a sound store, beside a live owner, on a store that the
// disk has lied to, and with --no-daemon.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "tests/e2e/world.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;
using nlohmann::json;
namespace fs = std::filesystem;

class RepairVerbs : public World {
 protected:
  Ended verb(Words words, Words before = {}) {
    before.insert(before.end(), {"--root", root_.str()});
    before.insert(before.end(), words.begin(), words.end());
    return cachectl(before);
  }
  json fsck(Words more = {}) {
    more.insert(more.begin(), {"fsck", "--json"});
    return json::parse(verb(more).out);
  }
  // A store with the records of a solve, and a large blob that nothing names.
  void make_store() {
    ASSERT_EQ(solve(output("step", "echo out > /out/file")).code, 0);
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(engine);
    const auto put = (*engine)->cache().blobs().put(std::string(100'000, 'l'));
    ASSERT_TRUE(put && (*engine)->cache().writer().wait_durable(put->sequence));
    large_ = put->info.digest;
  }
  std::string file_of(const BlobDigest& digest) const {
    return (root_ / "blobs/sha256" / digest.hex().substr(0, 2) / digest.hex()).str();
  }
  static void flip(const std::string& file, off_t at) {
    const base::Fd opened(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(opened.get(), &byte, 1, at), 1);
    byte ^= 1;
    ASSERT_EQ(::pwrite(opened.get(), &byte, 1, at), 1);
  }
  BlobDigest large_;
};

TEST_F(RepairVerbs, ASoundStoreIsCleanAndSaidToBe) {
  make_store();
  const Ended text = verb({"fsck"});
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("clean"));
  const json report = fsck();
  EXPECT_TRUE(report.at("clean"));
  EXPECT_GT(report.at("rows"), 10);
  EXPECT_EQ(report.at("unknown"), json::array());
  const Ended scrub = verb({"scrub", "--from-beginning"});
  EXPECT_EQ(scrub.code, 0) << scrub.err;
  EXPECT_THAT(scrub.out, HasSubstr("0 damaged"));
  const json scrubs = json::parse(verb({"stats", "--json"}).out).at("scrub");
  EXPECT_GE(scrubs.at("bytes"), 100'000);
  EXPECT_EQ(scrubs.at("damaged"), 0);
  EXPECT_TRUE(scrubs.at("last_complete").is_string());
  const Ended doctor = verb({"doctor", "--json"});
  EXPECT_EQ(doctor.code, 0) << doctor.err;
  const json facts = json::parse(doctor.out);
  EXPECT_EQ(facts.at("root"), root_.str());
  EXPECT_TRUE(facts.at("owner_pid").is_null());
  for (const json& problem : facts.at("problems"))
    EXPECT_THAT(problem.get<std::string>(), HasSubstr("cgroup")) << "the machine may lack them; the store lacks nothing";
  EXPECT_THAT(facts.at("drivers").dump(), HasSubstr("works")) << "what the probe found";
  EXPECT_TRUE(facts.at("cgroups").at("version").is_number());
  EXPECT_NE(facts.at("file_system").at("type"), "");
  EXPECT_GT(facts.at("file_system").at("free_bytes"), 0);
  EXPECT_GT(facts.at("file_system").at("free_inodes"), 0);
  for (const char* line : {"drivers.", "cgroups.version: ", "file_system.type: ", "file_system.free_bytes: "})
    EXPECT_THAT(verb({"doctor"}).out, HasSubstr(line));
  EXPECT_EQ(verb({"doctor"}).out.find("nothing is wrong") != std::string::npos, facts.at("problems").empty());
}

TEST_F(RepairVerbs, AForeignNameIsReportedAndLeftAlone) {
  make_store();
  put(root_, "not-ours", "keep me");
  put(root_, "gc.toml", "");
  put(root_, "store.toml", "chunk_bytes = 65536\n");
  EXPECT_EQ(fsck().at("unknown"), json::array({"not-ours"}));
  EXPECT_EQ(verb({"fsck", "--repair"}).code, 0);
  EXPECT_EQ(read(root_ / "not-ours"), "keep me");
  EXPECT_EQ(json::parse(verb({"doctor", "--json"}).out).at("chunk_bytes"), 65536);
  put(root_, "store.toml", "chunk_bytes = 3\n");
  EXPECT_THAT(json::parse(verb({"doctor", "--json"}).out).at("problems").dump(), HasSubstr("store.toml, line 1"));
}

// Nothing of it is touched, whatever is asked.
TEST_F(RepairVerbs, AStoreOfANewerVersionIsRefusedAndLeftAsItIs) {
  make_store();
  const auto before = base::read_file(root_ / "VERSION", 100);
  ASSERT_TRUE(before);
  const auto facts = [&] {
    return run_program(temp_.path(), {"find", root_.str(), "!", "-name", "lock", "-printf", "%p %s %T@ %m\n"}).out;
  };
  for (const auto& [text, said] : {std::pair<std::string, std::string>{"cairn 9999\n", "its format is version 9999, this build knows"},
                                   {"something else\n", "VERSION is not that of a Cairn store"}}) {
    write_text(root_ / "VERSION", text);
    const std::string there = facts();
    for (const Words& words : {Words{"du"}, Words{"prune", "--all"}, Words{"fsck"}, Words{"fsck", "--repair"}, Words{"scrub"}}) {
      SCOPED_TRACE(::testing::PrintToString(words) + text);
      const Ended refused = verb(words);
      EXPECT_NE(refused.code, 0);
      EXPECT_THAT(refused.err, HasSubstr(said));
    }
    const Solved solved = solve(output("step", "echo out > /out/file"));
    EXPECT_NE(solved.code, 0);
    EXPECT_THAT(solved.err, HasSubstr(said));
    EXPECT_EQ(facts(), there);
  }
  write_text(root_ / "VERSION", *before);
  EXPECT_TRUE(fsck().at("clean"));
}

TEST_F(RepairVerbs, FsckAndDoctorWorkBesideAnOwnerAndWhatChangesIsDoneByIt) {
  make_store();
  const auto owner = start_solve(output("slow", "cat /proc/sys/kernel/random/uuid > /out/id; sleep 600"));
  ASSERT_TRUE(eventually([&] { return engine::owner_pid(root_) == owner->pid(); }));
  const Ended looked = verb({"fsck", "--json"});
  EXPECT_EQ(looked.code, 0) << looked.out << looked.err;
  EXPECT_TRUE(json::parse(looked.out).at("clean"));
  EXPECT_EQ(verb({"fsck"}, {"--no-daemon"}).code, 0) << "it only reads";
  const Ended doctor = verb({"doctor", "--json"}, {"--no-daemon"});
  EXPECT_EQ(doctor.code, 0);
  EXPECT_EQ(json::parse(doctor.out).at("owner_pid"), owner->pid());
  // What needs the store for itself is refused in any case, what does not is done by the owner unless that is forbidden.
  const auto expect_busy = [&](const Words& words, const Words& before) {
    const Ended refused = verb(words, before);
    EXPECT_EQ(refused.code, 5) << words[0] << refused.err;
    EXPECT_THAT(refused.err, HasSubstr(std::to_string(owner->pid())));
  };
  for (const Words& words : {Words{"fsck", "--repair"}, Words{"fsck", "--rebuild"}, Words{"migrate"}}) {
    expect_busy(words, {});
    expect_busy(words, {"--no-daemon"});
  }
  for (const Words& words : {Words{"scrub"}, Words{"prune"}, Words{"gc", "run"}}) {
    const Ended asked = verb(words);
    EXPECT_EQ(asked.code, 0) << words[0] << asked.err;
    expect_busy(words, {"--no-daemon"});
  }
  EXPECT_EQ(engine::owner_pid(root_), owner->pid()) << "it was asked, and still works";
  owner->signal(SIGINT);
  EXPECT_EQ(owner->wait().code, 130);
  EXPECT_EQ(verb({"scrub"}, {"--no-daemon"}).code, 0) << "and now it is free";
}

TEST_F(RepairVerbs, ADamagedBlobIsFoundByAScrubAndBecomesAMiss) {
  make_store();
  flip(file_of(large_), 70'000);
  EXPECT_EQ(verb({"fsck"}).code, 0) << "a look reads no contents";
  const Ended scrub = verb({"scrub", "--from-beginning"});
  EXPECT_EQ(scrub.code, 4);
  EXPECT_THAT(scrub.out, HasSubstr("1 damaged"));
  EXPECT_TRUE(fs::exists((root_ / "quarantine" / large_.hex()).str()));
  EXPECT_EQ(verb({"scrub", "--from-beginning"}).code, 0);
  EXPECT_EQ(verb({"fsck"}).code, 0);
}

TEST_F(RepairVerbs, RepairTakesWhatIsMissingWhatHasAnotherSizeAndWhatNothingNames) {
  make_store();
  BlobDigest short_one;
  {
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    const auto put = (*engine)->cache().blobs().put(std::string(90'000, 's'));
    ASSERT_TRUE(put && (*engine)->cache().writer().wait_durable(put->sequence));
    short_one = put->info.digest;
  }
  ASSERT_EQ(::unlink(file_of(large_).c_str()), 0);
  ASSERT_EQ(::truncate(file_of(short_one).c_str(), 50'000), 0);
  const std::string stray = file_of(base::digest_of<BlobDigest>("never put"));
  fs::create_directories(fs::path(stray).parent_path());
  put(root_, stray.substr(root_.str().size() + 1), "left over");
  put(root_, "blobs/sha256/README", "not a blob");
  const json before = fsck();
  EXPECT_FALSE(before.at("clean"));
  EXPECT_EQ(before.at("findings").size(), 2u) << before;
  const Ended repaired = verb({"fsck", "--repair", "--json"});
  EXPECT_EQ(repaired.code, 0) << repaired.out << repaired.err;
  const json report = json::parse(repaired.out);
  EXPECT_EQ(report.at("repaired").at("blobs_missed"), 2);
  EXPECT_EQ(report.at("repaired").at("stray_files"), 1);
  EXPECT_GE(report.at("repaired").at("freed_bytes"), 4096);
  EXPECT_FALSE(fs::exists(stray));
  EXPECT_TRUE(fs::exists((root_ / "blobs/sha256/README").str())) << "not ours";
  EXPECT_TRUE(fsck().at("clean"));
  EXPECT_EQ(solve(output("step", "echo out > /out/file")).executed, 0u) << "no record was lost";
}

TEST_F(RepairVerbs, ABrokenPageTreeIsMadeAnewAndCostsNoRecord) {
  make_store();
  const std::string data = (root_ / "meta/data.mdb").str();
  // Where each page says where its first row is.
  for (off_t at = 2 * 4096 + 17; at < static_cast<off_t>(fs::file_size(data)); at += 4096) flip(data, at);
  EXPECT_EQ(verb({"fsck"}).code, 4);
  const Ended repaired = verb({"fsck", "--repair", "--json"});
  EXPECT_EQ(repaired.code, 0) << repaired.out << repaired.err;
  EXPECT_GT(json::parse(repaired.out).at("rebuilt").at("rows"), 10);
  EXPECT_EQ(solve(output("step", "echo out > /out/file")).executed, 0u);
}

}  // namespace
}  // namespace cairn::test
