// SPDX-License-Identifier: Apache-2.0
// fsck --repair, repair and migrate with --dry-run: nothing of the store changes by a byte, and the real run does just what was said.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "tests/e2e/world.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class DryRun : public World {
 protected:
  Ended verb(Words words) {
    words.insert(words.begin(), {"--root", root_.str()});
    return cachectl(words);
  }
  json answer(Words words) {
    words.push_back("--json");
    const Ended ended = verb(words);
    EXPECT_THAT(ended.code, ::testing::AnyOf(0, 4)) << ended.err;
    return json::parse(ended.out, nullptr, false);
  }
  // Names, kinds, sizes, modes, times of change and contents of all of it. LMDB notes its readers in a file of its own.
  std::map<std::string, std::string> everything() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(root_.str())) {
      const std::string path = entry.path().string();
      if (path == (root_ / "meta/lock.mdb").str()) continue;
      struct ::stat stat {};
      EXPECT_EQ(::lstat(path.c_str(), &stat), 0);
      std::string facts = fmt::format("{:o} {} {} {} {}.{}", stat.st_mode, stat.st_ino, stat.st_nlink, stat.st_size, stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec);
      if (S_ISREG(stat.st_mode)) facts += " " + base::to_hex(base::sha256(read_text(path)));
      all[path] = facts;
    }
    return all;
  }
  // What both say, or have done, of the store.
  static json done_of(const json& report) {
    json done;
    for (const char* part : {"repaired_rows", "rebuilt", "repaired", "repaired_trees", "scrubbed"})
      if (report.contains(part)) done[part] = report.at(part);
    return done;
  }
  // A dry run that leaves all as it is, and then a real one that does that.
  void expect_dry_run_tells(const Words& words) {
    Words dry = words;
    dry.push_back("--dry-run");
    const auto before = everything();
    const json said = answer(dry);
    const auto after = everything();
    for (const auto& [path, facts] : before) {
      const auto now = after.find(path);
      EXPECT_TRUE(now != after.end() && now->second == facts) << path;
    }
    EXPECT_EQ(after.size(), before.size());
    EXPECT_EQ(said.at("dry_run"), true);
    const json real = answer(words);
    EXPECT_EQ(real.at("dry_run"), false);
    EXPECT_EQ(done_of(said), done_of(real));
  }
  std::string file_of(const BlobDigest& digest) const {
    return (root_ / "blobs/sha256" / digest.hex().substr(0, 2) / digest.hex()).str();
  }
  static void flip(const std::string& file, off_t at) {
    const base::Fd opened(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    char byte = 0;
    ASSERT_EQ(::pread(opened.get(), &byte, 1, at), 1) << file;
    byte ^= 1;
    ASSERT_EQ(::pwrite(opened.get(), &byte, 1, at), 1);
  }
  // Three steps one on the other, and large and small blobs that nothing names.
  void make_store() {
    const auto first = output("first", "echo a > /out/file");
    const auto second = output("second", "cp /in/file /out/file; echo b >> /out/file", {{.dest = "/in", .source = first, .read_only = true}});
    ASSERT_EQ(solve(output("third", "cp /in/file /out/other", {{.dest = "/in", .source = second, .read_only = true}})).code, 0);
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(engine);
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      const auto put = (*engine)->cache().blobs().put(std::string(100'000, letter));
      ASSERT_TRUE(put && (*engine)->cache().writer().wait_durable(put->sequence));
      large_.push_back(put->info.digest);
    }
  }
  // Directories of trees, in the order of their ids.
  std::vector<fs::path> trees() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator((root_ / "trees").str())) all.push_back(entry.path());
    std::sort(all.begin(), all.end());
    return all;
  }
  std::vector<BlobDigest> large_;
};

TEST_F(DryRun, OfASoundStoreHasNothingToDo) {
  make_store();
  ASSERT_EQ(verb({"scrub", "--from-beginning"}).code, 0);  // all trees are sealed
  for (const Words& words : {Words{"repair"}, Words{"fsck", "--repair"}}) expect_dry_run_tells(words);
  const json said = answer({"repair", "--dry-run"});
  EXPECT_TRUE(said.at("clean"));
  EXPECT_EQ(said.at("repaired_rows"), 0);
  EXPECT_EQ(said["repaired"], (json{{"blobs_missed", 0}, {"stray_files", 0}, {"freed_bytes", 0}}));
  EXPECT_EQ(said["scrubbed"].at("damaged"), 0);
  EXPECT_GE(said["scrubbed"].at("blobs"), 4);
  EXPECT_GE(said["scrubbed"].at("trees"), 3);
}

TEST_F(DryRun, SaysWhichBlobsAndTreesWouldBecomeMissesAndWhatWouldGo) {
  make_store();
  ASSERT_EQ(verb({"scrub", "--from-beginning"}).code, 0);
  ASSERT_EQ(::unlink(file_of(large_[0]).c_str()), 0);
  ASSERT_EQ(::truncate(file_of(large_[1]).c_str(), 50'000), 0);
  flip(file_of(large_[2]), 70'000);
  const std::string stray = file_of(base::digest_of<BlobDigest>("never put"));
  fs::create_directories(fs::path(stray).parent_path());
  write_text(*base::HostPath::parse(stray), std::string(9000, 's'));
  const auto all = trees();
  ASSERT_GE(all.size(), 4u);
  fs::remove_all(all[all.size() - 3]);  // what is built on it goes with it
  for (const auto& entry : fs::recursive_directory_iterator(all.back()))
    if (entry.is_regular_file()) std::ofstream(entry.path(), std::ios::app) << "damage";
  fs::create_directories(root_.str() + "/trees/900000000/fs");
  std::ofstream(root_.str() + "/trees/900000000/fs/left-over") << std::string(20'000, 'x');
  const json said = answer({"repair", "--dry-run"});
  EXPECT_FALSE(said.at("clean"));
  EXPECT_EQ(said["repaired"].at("blobs_missed"), 2);
  EXPECT_EQ(said["repaired"].at("stray_files"), 1);
  EXPECT_EQ(said["scrubbed"].at("damaged"), 1);
  EXPECT_EQ(said["repaired_trees"].at("missing_trees"), 1);
  EXPECT_GE(said["repaired_trees"].at("quarantined_records"), 1);
  EXPECT_EQ(said["repaired_trees"].at("stray_trees"), 1);
  EXPECT_GE(said["repaired_trees"].at("freed_bytes"), 20'000);
  expect_dry_run_tells({"fsck", "--repair"});
  expect_dry_run_tells({"repair"});
  EXPECT_TRUE(answer({"fsck"}).at("clean"));
}

TEST_F(DryRun, SaysWhatWouldBeMadeOfDamagedMetadata) {
  make_store();
  expect_dry_run_tells({"fsck", "--rebuild"});
  const std::string data = (root_ / "meta/data.mdb").str();
  // Where each page says where its first row is.
  for (off_t at = 2 * 4096 + 17; at < static_cast<off_t>(fs::file_size(data)); at += 4096) flip(data, at);
  flip(file_of(large_[2]), 70'000);
  const json said = answer({"repair", "--dry-run"});
  EXPECT_FALSE(said.at("clean"));
  EXPECT_GT(said.at("rebuilt").at("rows"), 10);
  EXPECT_EQ(said["scrubbed"].at("damaged"), 1) << "of what the new metadata name";
  expect_dry_run_tells({"repair"});
  const Ended text = verb({"repair", "--dry-run"});
  EXPECT_THAT(text.out, HasSubstr("a dry run: this is what a repair would do; nothing was changed\n"));
  EXPECT_EQ(verb({"repair", "--rebuild", "--dry-run"}).code, 0);
  for (const std::string& name : names_in(*base::HostPath::parse("/tmp"))) EXPECT_FALSE(name.starts_with("cachectl-")) << name;
}

TEST_F(DryRun, LooksBesideAnOwner) {
  make_store();
  const auto owner = start_solve(output("slow", "sleep 600"));
  ASSERT_TRUE(eventually([&] { return engine::owner_pid(root_) == owner->pid(); }));
  const Ended looked = verb({"--no-daemon", "repair", "--dry-run"});
  EXPECT_EQ(looked.code, 0) << looked.out << looked.err;
  EXPECT_EQ(verb({"repair"}).code, 5);
  owner->signal(SIGINT);
  owner->wait();
}

TEST_F(DryRun, OfALookIsRefused) {
  make_store();
  const Ended refused = verb({"fsck", "--dry-run"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("hint: say of what: --repair or --rebuild"));
}

TEST_F(DryRun, OfAMigrationCountsTheRowsThatItBrings) {
  make_store();
  const auto before = everything();
  const json said = answer({"migrate", "--dry-run"});
  EXPECT_EQ(everything(), before);
  EXPECT_EQ(said, (json{{"format", 1}, {"dry_run", true}, {"store_format", engine::store_version}, {"rows", 0}})) << "it has this format";
  EXPECT_EQ(answer({"store", "migrate"}).at("rows"), 0);
}

}  // namespace
}  // namespace cairn::test
