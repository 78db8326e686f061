// SPDX-License-Identifier: Apache-2.0
// What a store may lie on: a network file system is refused in one line, on an overlay trees are copied.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include "libbase/fs/host_tree.h"
#include "tests/support/loop_fs.h"
#include "tools/engine/backing.h"
#include "tools/engine/engine.h"

namespace cairn::engine {
namespace {

TEST(Backing, IsJudgedByTheTypeThatStatfsGives) {
  EXPECT_EQ(judge_backing(0xef53).fit, Backing::Fit::good);
  EXPECT_EQ(judge_backing(0x9123683e).name, "btrfs");
  for (const std::uint64_t type : {0x6969u, 0x517bu, 0xfe534d42u, 0xff534d42u, 0x01021997u})
    EXPECT_EQ(judge_backing(type).fit, Backing::Fit::refused) << type;
  EXPECT_EQ(judge_backing(0x794c7630).fit, Backing::Fit::slower);
  const Backing unknown = judge_backing(0x12345);
  EXPECT_EQ(unknown.fit, Backing::Fit::good);
  EXPECT_EQ(unknown.name, "0x12345");
  EXPECT_TRUE(unknown.why.empty());
}

TEST(Backing, OfADirectoryThatIsNotThereIsThatOfWhereItWouldBe) {
  const test::TempDir dir;
  EXPECT_EQ(file_system_type(dir.path() / "not/there/yet").value(), file_system_type(dir.path()).value());
}

TEST(Backing, ANetworkFileSystemIsRefusedInOneLineAndNothingIsMadeThere) {
  const test::TempDir dir;
  EngineOptions options(dir.path() / "store");
  options.file_system_type = [](const base::HostPath&) { return base::Result<std::uint64_t>(0x6969); };
  const auto engine = Engine::open(std::move(options));
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, base::ErrorCode::unavailable);
  EXPECT_NE(engine.error().message.find("nfs is a network file system"), std::string::npos) << engine.error().message;
  EXPECT_EQ(engine.error().message.find('\n'), std::string::npos);
  EXPECT_NE(::access((dir.path() / "store").c_str(), F_OK), 0);
}

TEST(Backing, OnAnOverlayTreesAreCopied) {
  const test::LoopFs disk(test::FileSystem::ext4, 256 << 20);
  for (const char* name : {"lower", "upper", "work", "merged"}) ASSERT_TRUE(base::make_host_dirs(disk / name));
  const std::string options = fmt::format("lowerdir={},upperdir={},workdir={}", (disk / "lower").str(), (disk / "upper").str(),
                                          (disk / "work").str());
  ASSERT_EQ(::mount("overlay", (disk / "merged").c_str(), "overlay", 0, options.c_str()), 0);
  {
    const auto engine = Engine::open(EngineOptions(disk / "merged/store"));
    ASSERT_TRUE(engine) << engine.error().message;
    EXPECT_EQ((*engine)->snapshots().driver(), "native");
    EXPECT_EQ(judge_backing(file_system_type((*engine)->root()).value()).name, "overlay");
  }
  EXPECT_EQ(::umount2((disk / "merged").c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace cairn::engine
