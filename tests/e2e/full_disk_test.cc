// SPDX-License-Identifier: Apache-2.0
// A store on a disk that fills up: a small ext4 file system in a file. What failed leaves nothing, and when there is
// room again everything works.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "libbase/fs/fd.h"

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::uint64_t mib = 1u << 20;

class FullDisk : public World {
 protected:
  void SetUp() override {
    const std::string image_file = (temp_ / "disk.img").str();
    run_well({"truncate", "-s", "160M", image_file});
    run_well({"mkfs.ext4", "-q", "-m", "0", image_file});
    run_well({"mount", "-o", "loop", image_file, disk_.str()});
    root_ = disk_ / "store";
  }
  void TearDown() override {
    World::TearDown();
    run_well({"umount", disk_.str()});
  }

  void run_well(Words argv) {
    const Ended ended = run_program(temp_.path(), argv);
    ASSERT_EQ(ended.code, 0) << ::testing::PrintToString(argv) << ended.err;
  }
  std::uint64_t free_bytes() const {
    struct ::statvfs state{};
    CHECK(::statvfs(disk_.c_str(), &state) == 0);
    return state.f_bavail * state.f_frsize;
  }
  // Takes room on the disk until `left` is free.
  void fill_until(std::uint64_t left) {
    const std::uint64_t free = free_bytes();
    ASSERT_GT(free, left);
    run_well({"fallocate", "-l", std::to_string(free - left), (disk_ / "ballast").str()});
  }
  // To the last byte, the superuser's share included. What has only been promised is allocated.
  void fill() {
    const base::Fd file(::open((disk_ / "ballast").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644));
    for (std::size_t size = 1 << 20; size > 0; size /= 2) {
      const std::string bytes(size, 'x');
      while (::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())) {
      }
    }
    ASSERT_EQ(::fsync(file.get()), 0);
    ASSERT_EQ(::write(file.get(), "x", 1) < 0 ? errno : 0, ENOSPC);
  }
  // What is not used may go.
  void let_everything_go() { write_text(root_ / "gc.toml", "[[rule]]\nceiling = \"100%\"\nfloor = \"0B\"\n"); }
  void free_ballast() { ASSERT_EQ(::unlink((disk_ / "ballast").c_str()), 0); }
  llb::State writes(const std::string& name, int megabytes) const {
    return output(name, fmt::format("dd if=/dev/zero of=/out/big bs=1M count={}", megabytes));
  }

  const base::HostPath disk_ = make_dir("disk");
};

TEST_F(FullDisk, StepThatFillsTheDiskFailsByItself) {
  ASSERT_EQ(solve(output("small", "echo x > /out/x")).code, 0);
  const std::uint64_t before = free_bytes();
  const Solved full = solve(writes("greedy", 1000));
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, HasSubstr("greedy"));
  EXPECT_THAT(full.err, HasSubstr("exit code: 1"));
  EXPECT_THAT(full.in_state("failed"), ElementsAre("greedy"));
  expect_clean();
  EXPECT_GE(free_bytes() + 2 * mib, before) << "what the step wrote is still there";
  const Solved next = solve(writes("modest", 10));
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_THAT(next.in_state("executed"), ElementsAre("modest"));
}

TEST_F(FullDisk, SourceThatDoesNotFitIsOneClearError) {
  const base::HostPath src = make_dir("src");
  run_well({"dd", "if=/dev/urandom", "of=" + (src / "large").str(), "bs=1M", "count=60", "status=none"});
  put(src, "small", "x");
  ASSERT_EQ(solve(output("small", "echo x > /out/x")).code, 0);
  fill_until(30 * mib);
  const std::uint64_t before = free_bytes();
  const auto graph = output("use", "ls /in > /out/names", {{.dest = "/in", .source = llb::local("src", {.name = "source"}), .read_only = true}});
  const Solved full = solve(graph, {"--local", "src=" + src.str()});
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, StartsWith("cachectl: "));
  EXPECT_THAT(full.err, HasSubstr("source"));
  EXPECT_THAT(full.err, HasSubstr("large"));
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  expect_clean();
  EXPECT_GE(free_bytes() + 2 * mib, before) << "half a source is still there";

  free_ballast();
  const Solved next = solve(graph, {"--local", "src=" + src.str(), "--output", export_to("out")});
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_EQ(exported("out", "names"), "large\nsmall\n");
}

TEST_F(FullDisk, ImageThatDoesNotFitIsOneClearError) {
  fill_until(8 * mib);
  const auto graph = output("small", "echo x > /out/x");
  Solved full;
  // The image takes a few MiB; leave less and less until it does not fit.
  for (std::uint64_t left : {8 * mib, 4 * mib, 2 * mib, mib}) {
    full = solve(graph);
    if (full.code != 0) break;
    ASSERT_EQ(cachectl({"--root", root_.str(), "prune", "--all"}).code, 0);
    free_ballast();
    fill_until(left / 2);
  }
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  free_ballast();
  const Solved next = solve(graph);
  EXPECT_EQ(next.code, 0) << next.err;
}

TEST_F(FullDisk, PruneMakesRoomOnAFullDisk) {
  ASSERT_EQ(solve(writes("first", 60)).code, 0);
  ASSERT_NE(solve(writes("second", 90)).code, 0);
  const Ended pruned = cachectl({"--root", root_.str(), "prune", "--all"});
  EXPECT_EQ(pruned.code, 0) << pruned.err;
  const Solved fits = solve(writes("second", 90));
  EXPECT_EQ(fits.code, 0) << fits.err;
}

TEST_F(FullDisk, WhatIsCachedIsGivenWithoutAByteFree) {
  const auto graph = output("small", "echo x > /out/x");
  ASSERT_EQ(solve(graph).code, 0);
  fill();
  for (int i = 0; i < 3; ++i) {
    const std::string out = "out" + std::to_string(i);
    const Solved warm = solve(graph, {"--output", export_to(out)});
    EXPECT_EQ(warm.code, 0) << warm.err;
    EXPECT_EQ(warm.executed, 0u);
    EXPECT_EQ(exported(out, "x"), "x\n");
  }
}

TEST_F(FullDisk, StepWithoutAByteFreeRunsAfterWhatMayGoHasGone) {
  ASSERT_EQ(solve(writes("old", 40)).code, 0);
  let_everything_go();
  fill();
  const Solved solved = solve(output("new", "echo new > /out/new"), {"--output", export_to("out")});
  EXPECT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("out", "new"), "new\n");
  EXPECT_THAT(solved.in_state("executed"), ::testing::Contains("new"));
  EXPECT_GE(free_bytes(), 30 * mib);
  // And nobody had to help the store up again.
  const Solved again = solve(output("new", "echo new > /out/new"));
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.executed, 0u);
}

// Once: it fits then.
TEST_F(FullDisk, StepThatFillsTheDiskIsRunOnceMoreAfterWhatMayGoHasGone) {
  ASSERT_EQ(solve(writes("old", 80)).code, 0);
  let_everything_go();
  const Solved solved = solve(writes("large", 90));
  EXPECT_EQ(solved.code, 0) << solved.err;
  const Solved too_large = solve(writes("greedy", 1000));
  EXPECT_EQ(too_large.code, 1);
  EXPECT_THAT(too_large.err, HasSubstr("the disk of the store is full"));
  EXPECT_THAT(too_large.err, HasSubstr(root_.str())) << "which disk";
}

TEST_F(FullDisk, NothingMayGoIsAnErrorThatNamesTheDiskAndNoMore) {
  const auto graph = output("small", "echo x > /out/x");
  ASSERT_EQ(solve(graph).code, 0);  // the default's floor is more than that
  fill();
  const Solved full = solve(output("new", "echo new > /out/new"));
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  EXPECT_THAT(full.err, HasSubstr("the disk of the store " + root_.str() + " is full"));
  EXPECT_THAT(full.in_state("failed"), ElementsAre("new"));
  expect_clean();
  EXPECT_EQ(solve(graph).executed, 0u) << "what was there is there no more";
  free_ballast();
  const Solved next = solve(output("new", "echo new > /out/new"));
  EXPECT_EQ(next.code, 0) << next.err;
}

// It left no byte for the store, and does not mind.
TEST_F(FullDisk, ResultOfAStepThatTookAllRoomIsGiven) {
  const auto graph = output("greedy", "echo kept > /out/kept; dd if=/dev/zero of=/out/big bs=64k || true; sync");
  const Solved full = solve(graph, {"--output", export_to("out")});
  EXPECT_EQ(full.code, 0) << full.err;
  EXPECT_EQ(exported("out", "kept"), "kept\n");
  expect_clean();
  // The space comes back by itself.
  let_everything_go();
  const Solved next = solve(writes("next", 60));
  EXPECT_EQ(next.code, 0) << next.err;
}

TEST_F(FullDisk, ExportThatDoesNotFitFailsAndTheResultIsKept) {
  const auto graph = writes("make", 50);
  const std::string dest = "type=local,dest=" + (disk_ / "out").str();
  ASSERT_EQ(solve(graph).code, 0);
  fill_until(20 * mib);
  const Solved full = solve(graph, {"--output", dest});
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.err, HasSubstr("export to"));
  EXPECT_THAT(full.err, HasSubstr("No space left on device"));
  free_ballast();
  run_well({"rm", "-rf", (disk_ / "out").str()});
  const Solved next = solve(graph, {"--output", dest});
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_EQ(next.executed, 0u);
}

}  // namespace
}  // namespace cairn::test
