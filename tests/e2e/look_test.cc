// SPDX-License-Identifier: Apache-2.0
// record mount, blob cat and mount-cache cat: what a store holds, looked at where it lies. A mount ends with who asked for it, however that
// ends, and its record stays that long.
#include <fcntl.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "tests/e2e/world.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class Look : public World {
 protected:
  void SetUp() override { dir_ = make_dir("dir").str(); }
  Words words(Words more) const {
    more.insert(more.begin(), {"--root", root_.str()});
    return more;
  }
  Ended run(Words more) { return cachectl(words(std::move(more))); }
  std::unique_ptr<Program> start(Words more) {
    more = words(std::move(more));
    more.insert(more.begin(), CAIRN_BIN_DIR "/cachectl");
    return std::make_unique<Program>(temp_.path(), std::move(more));
  }
  // The record of a directory with one file.
  std::string make_record() {
    const base::HostPath source = make_dir("source");
    put(source, "file", "looked at\n");
    put(source, "program", "#!/bin/sh\n", 04755);
    EXPECT_EQ(solve(llb::local("source", {.name = "source"}), {"--local", "source=" + source.str()}).code, 0);
    const json listed = json::parse(run({"ls", "--json"}).out);
    for (const json& record : listed.at("records"))
      if (record.at("description") == "source") return record.at("id");
    ADD_FAILURE() << "no record: " << listed;
    return "";
  }
  bool is_there(const std::string& record) { return run({"record", "show", record}).code == 0; }
  bool is_mounted() const { return read("/proc/self/mountinfo").find(" " + dir_ + " ") != std::string::npos; }
  std::string read(const std::string& file) const { return read_text(file); }
  // What a prune takes from a store with nobody who needs anything.
  bool prune_takes(const std::string& record) {
    EXPECT_EQ(run({"prune", "--all"}).code, 0);
    return !is_there(record);
  }
  BlobDigest put_blob(const std::string& bytes) {
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    const auto put = (*engine)->cache().blobs().put(bytes);
    EXPECT_TRUE(put && (*engine)->cache().writer().wait_durable(put->sequence));
    return put->info.digest;
  }

  std::string dir_;
};

TEST_F(Look, AMountShowsTheTreeUntilItIsInterruptedAndKeepsTheRecord) {
  const std::string record = make_record();
  const auto mount = start({"record", "mount", record, dir_});
  ASSERT_TRUE(eventually([&] { return mount->out_so_far().find("mounted") != std::string::npos; }));
  EXPECT_EQ(mount->out_so_far(), "record " + record + " is mounted at " + dir_ + " until Ctrl-C\n");
  EXPECT_EQ(read(dir_ + "/file"), "looked at\n");
  EXPECT_LT(::open((dir_ + "/file").c_str(), O_WRONLY | O_CLOEXEC), 0);
  EXPECT_EQ(errno, EROFS);
  struct ::statvfs flags {};
  ASSERT_EQ(::statvfs(dir_.c_str(), &flags), 0);
  EXPECT_EQ(flags.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV), static_cast<unsigned long>(ST_RDONLY | ST_NOSUID | ST_NODEV));
  EXPECT_FALSE(prune_takes(record));
  EXPECT_EQ(read(dir_ + "/file"), "looked at\n");
  mount->signal(SIGINT);
  EXPECT_EQ(mount->wait().code, 0);
  EXPECT_FALSE(is_mounted());
  EXPECT_TRUE(prune_takes(record));
}

TEST_F(Look, AMountThatIsKilledLeavesNeitherMountNorHold) {
  const std::string record = make_record();
  const auto mount = start({"record", "mount", record, dir_, "--json"});
  ASSERT_TRUE(eventually([&] { return mount->out_so_far().find("}") != std::string::npos; }));
  EXPECT_EQ(json::parse(mount->out_so_far()), (json{{"format", 1}, {"record", record}, {"dir", dir_}}));
  ASSERT_TRUE(is_mounted());
  mount->signal(SIGKILL);
  EXPECT_EQ(mount->wait().code, 128 + SIGKILL);
  // Whoever owns the store after it finds the mount gone.
  EXPECT_TRUE(prune_takes(record));
  EXPECT_FALSE(is_mounted());
}

TEST_F(Look, AMountLastsAsLongAsItsCommandAndGivesItsExitCode) {
  const std::string record = make_record();
  const Ended printed = run({"record", "mount", record, dir_, "--", "cat", dir_ + "/file"});
  EXPECT_EQ(printed.code, 0) << printed.err;
  EXPECT_EQ(printed.out, "looked at\n");
  EXPECT_FALSE(is_mounted());
  EXPECT_EQ(run({"record", "mount", record, dir_, "--", "sh", "-c", "exit 37"}).code, 37);
  EXPECT_EQ(run({"record", "mount", record, dir_, "--", "sh", "-c", "kill -9 $$"}).code, 128 + 9);
  const Ended missing = run({"record", "mount", record, dir_, "--", "no-such-program"});
  EXPECT_EQ(missing.code, 3);
  EXPECT_THAT(missing.err, HasSubstr("run no-such-program"));
  EXPECT_FALSE(is_mounted());

  // It is asked to end, and dies with who is killed.
  const auto asked = start({"record", "mount", record, dir_, "--", "sh", "-c", "trap 'exit 9' TERM; echo on; while :; do sleep 0.05; done"});
  ASSERT_TRUE(eventually([&] { return asked->out_so_far() == "on\n"; }));
  asked->signal(SIGINT);
  EXPECT_EQ(asked->wait().code, 9);
  const auto killed = start({"record", "mount", record, dir_, "--", "sh", "-c", "echo on; exec tail -f " + dir_ + "/file"});
  ASSERT_TRUE(eventually([&] { return find_process(dir_ + "/file").has_value(); }));
  killed->signal(SIGKILL);
  killed->wait();
  EXPECT_TRUE(eventually([&] { return !is_mounted() && !find_process(dir_ + "/file"); }));
}

TEST_F(Look, BesideAnOwnerHeMountsAndKeepsTheRecordUntilTheMountIsAway) {
  const std::string record = make_record();
  const auto owner = start_solve(output("slow", "sleep 600"));
  ASSERT_TRUE(eventually([&] { return engine::owner_pid(root_) == owner->pid(); }));
  const auto mount = start({"record", "mount", record, dir_});
  ASSERT_TRUE(eventually([&] { return mount->out_so_far().find("mounted") != std::string::npos; })) << mount->err_so_far();
  EXPECT_EQ(read(dir_ + "/file"), "looked at\n");
  EXPECT_FALSE(prune_takes(record));
  mount->signal(SIGKILL);
  mount->wait();
  EXPECT_TRUE(eventually([&] { return !is_mounted(); }));
  EXPECT_TRUE(eventually([&] { return prune_takes(record); })) << "the hold goes with the connection";
  owner->signal(SIGINT);
  owner->wait();
}

TEST_F(Look, AMountEndsWhenTheOwnerIsKilled) {
  const std::string record = make_record();
  const auto owner = start_solve(output("slow", "sleep 600"));
  ASSERT_TRUE(eventually([&] { return engine::owner_pid(root_) == owner->pid(); }));
  const auto mount = start({"record", "mount", record, dir_});
  ASSERT_TRUE(eventually([&] { return is_mounted(); })) << mount->err_so_far();
  owner->signal(SIGKILL);
  owner->wait();
  const Ended ended = mount->wait();
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("the process that owned the store has ended"));
  EXPECT_FALSE(is_mounted());
  EXPECT_EQ(run({"scrub"}).code, 0) << "what the dead owner left is cleared away";
}

TEST_F(Look, AMountThatCannotBeIsRefusedBeforeAnythingIsDone) {
  const std::string record = make_record();
  const Ended unknown = run({"record", "mount", "999999", dir_});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("record 999999: there is none"));
  EXPECT_THAT(unknown.err, HasSubstr("hint: "));
  const Ended nowhere = run({"record", "mount", record, dir_ + "/none"});
  EXPECT_EQ(nowhere.code, 3);
  EXPECT_THAT(nowhere.err, HasSubstr(dir_ + "/none"));
  EXPECT_EQ(run({"record", "mount", record, dir_ + "/../source/file"}).code, 3) << "no directory";
  EXPECT_EQ(run({"record", "mount", "seven", dir_}).code, 2);
}

TEST_F(Look, ABlobIsPrintedWholeAndADamagedOneIsNot) {
  make_record();
  std::string bytes;
  for (int i = 0; bytes.size() < (20u << 20); ++i) bytes += std::to_string(i) + "\n";
  const BlobDigest large = put_blob(bytes), small = put_blob("small\n"), empty = put_blob("");
  const Ended printed = run({"blob", "cat", large.str()});
  EXPECT_EQ(printed.code, 0) << printed.err;
  EXPECT_TRUE(printed.out == bytes) << printed.out.size() << " bytes";
  EXPECT_EQ(run({"blob", "cat", small.hex().substr(0, 12)}).out, "small\n");
  const Ended nothing = run({"blob", "cat", empty.str()});
  EXPECT_EQ(nothing.code, 0) << nothing.err;
  EXPECT_EQ(nothing.out, "");

  const std::string file = (root_ / "blobs/sha256" / large.hex().substr(0, 2) / large.hex()).str();
  const base::Fd opened(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::pwrite(opened.get(), "!", 1, 9 << 20), 1);
  const Ended damaged = run({"blob", "cat", large.str()});
  EXPECT_EQ(damaged.code, 4);
  EXPECT_THAT(damaged.err, HasSubstr("cachectl: print blob " + large.str()));
  EXPECT_TRUE(bytes.starts_with(damaged.out) && damaged.out.size() <= (9u << 20)) << "what is wrong is not given out";
  EXPECT_EQ(run({"blob", "cat", large.str()}).code, 3) << "it is a miss now";
}

TEST_F(Look, ABlobOfNoOrOfSeveralNamesIsSaid) {
  make_record();
  // Two that begin alike.
  std::map<std::string, std::string> seen;
  std::string digits;
  for (int i = 0; digits.empty(); ++i) {
    const std::string bytes = "blob " + std::to_string(i);
    const std::string begin = base::digest_of<BlobDigest>(bytes).hex().substr(0, 4);
    const auto [other, is_new] = seen.emplace(begin, bytes);
    if (is_new) continue;
    digits = begin;
    put_blob(bytes);
    put_blob(other->second);
  }
  const Ended ambiguous = run({"blob", "cat", digits});
  EXPECT_EQ(ambiguous.code, 2);
  EXPECT_EQ(ambiguous.out, "");
  EXPECT_THAT(ambiguous.err, HasSubstr("ambiguous: matches sha256:" + digits));
  EXPECT_THAT(ambiguous.err, HasSubstr("hint: give one more digit"));
  const Ended unknown = run({"blob", "cat", std::string(64, '0')});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("hint: cachectl blob list"));
  EXPECT_EQ(run({"blob", "cat", "xyz"}).code, 2);
}

TEST_F(Look, AFileOfACacheMountIsThatOfItsNewestVersion) {
  const auto use = [&](const std::string& name, const std::string& script) {
    llb::RunOptions options{.mounts = {{.dest = "/cache", .cache_id = "id"}}};
    options.name = name;
    return solve(image().run({"sh", "-c", script}, options).root()).code;
  };
  ASSERT_EQ(use("a", "mkdir /cache/deep; echo old > /cache/deep/file; ln -s deep/file /cache/link"), 0);
  ASSERT_EQ(use("b", "echo new > /cache/deep/file"), 0);
  const auto cat = [&](const std::string& path) { return run({"mount-cache", "cat", "id", path}); };
  EXPECT_EQ(cat("deep/file").out, "new\n");
  EXPECT_EQ(cat("link").out, "new\n");
  EXPECT_EQ(cat("deep").code, 1) << "no file";
  const Ended missing = cat("nowhere");
  EXPECT_EQ(missing.code, 3);
  EXPECT_THAT(missing.err, HasSubstr("cache mount \"id\""));
  EXPECT_NE(cat("../../etc/passwd").code, 0);
  const Ended unknown = run({"mount-cache", "cat", "di", "file"});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("hint: there are: id"));
  // Beside an owner, too.
  const auto owner = start_solve(output("slow", "sleep 600"));
  ASSERT_TRUE(eventually([&] { return engine::owner_pid(root_) == owner->pid(); }));
  EXPECT_EQ(cat("deep/file").out, "new\n");
  owner->signal(SIGINT);
  owner->wait();
}

}  // namespace
}  // namespace cairn::test
