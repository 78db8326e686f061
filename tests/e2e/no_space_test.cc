// SPDX-License-Identifier: Apache-2.0
// No room for one write of a solve, for each of its writes in turn: they are counted once, then the n-th finds the disk
// full. What is only for the cache is dropped, a step that found no room is done once more after something has gone, and
// so the build ends well; and if the disk stays full, it ends. Nothing waits a while and tries again, and what is tried is
// bounded: no pause, and not many more writes than it takes. CAIRN_TEST_FULL: each number; else some of them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "libbase/fs/fd.h"
#include "tests/e2e/no_space_control.h"
#include "tests/e2e/world.h"
#include "tests/support/loop_fs.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t mib = 1u << 20;

std::uint64_t device_of(const std::string& path) {
  struct ::stat facts {};
  CHECK(::stat(path.c_str(), &facts) == 0, "{}", path);
  return facts.st_dev;
}

// Shared with the program that runs under it.
class Shim {
 public:
  Shim(const base::HostPath& file, const base::HostPath& disk) : file_(file) {
    write_text(file, std::string(sizeof(NoSpaceControl), '\0'));
    const base::Fd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    void* const mapped = ::mmap(nullptr, sizeof(NoSpaceControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    CHECK(fd && mapped != MAP_FAILED);
    control_ = new (mapped) NoSpaceControl();
    control_->device = device_of(disk.str());
    control_->other_device = device_of("/");
  }
  ~Shim() { ::munmap(control_, sizeof(NoSpaceControl)); }
  Shim(const Shim&) = delete;
  Shim& operator=(const Shim&) = delete;

  void fail(std::uint64_t from, std::uint64_t below) {
    control_->calls = control_->failed = control_->pauses = 0;
    control_->fail_from = from;
    control_->fail_below = below;
    control_->first_failed[0] = '\0';
  }
  Words command(Words argv) const {
    Words whole = {"env", "LD_PRELOAD=" CAIRN_NO_SPACE_SHIM, std::string(no_space_variable) + "=" + file_.str()};
    whole.insert(whole.end(), argv.begin(), argv.end());
    return whole;
  }
  std::uint64_t calls() const { return control_->calls; }
  std::uint64_t failed() const { return control_->failed; }
  std::uint64_t pauses() const { return control_->pauses; }
  std::string what() const { return control_->first_failed; }

 private:
  base::HostPath file_;
  NoSpaceControl* control_;
};

class NoSpace : public World {
 protected:
  NoSpace() { root_ = disk_ / "store"; }

  Solved solve_under(const Shim& shim, const llb::State& state, Words more) {
    more.insert(more.end(), {"--json", "--progress", "none"});
    Words command = solve_command(write_graph(bytes_of(state)), std::move(more));
    command.insert(command.begin(), CAIRN_BIN_DIR "/cachectl");
    return parse_solved(run_program(temp_.path(), shim.command(std::move(command))));
  }
  // An image, a local source and two steps.
  llb::State build() const {
    const auto local = llb::local("src", {.unique_id = "no space", .name = "source"});
    const auto first = output("first", "cat /in/a.txt /in/dir/b.txt > /out/joined",
                              {{.dest = "/in", .source = local, .read_only = true}});
    return output("second", "cat /in/joined > /out/result; echo gamma >> /out/result",
                  {{.dest = "/in", .source = first, .read_only = true}});
  }

  // Begins with what is in `before_` each time, and ends with a solve that finds all the room it wants.
  enum class Until { next_write, the_end };
  template <class Check>
  void sweep(std::uint64_t some, Until until, const Check& check) {
    const auto source = make_dir("src");
    put(source, "a.txt", "alpha\n");
    put(source, "dir/b.txt", "beta\n");
    const Words more = {"--local", "src=" + source.str(), "--output", export_to("out")};
    const auto try_one = [&](std::uint64_t from, std::uint64_t below) {
      run_well({"rm", "-rf", root_.str(), (temp_ / "out").str()});
      run_well({"cp", "-a", before_.str(), root_.str()});
      shim_.fail(from, below);
      const Solved solved = solve_under(shim_, build(), more);
      if (solved.code == 0) {
        EXPECT_EQ(exported("out", "result"), "alpha\nbeta\ngamma\n");
      }
      return solved;
    };
    ASSERT_EQ(try_one(0, 0).code, 0);
    const std::uint64_t writes = shim_.calls();
    ASSERT_GT(writes, 50u);
    const std::uint64_t step = std::getenv("CAIRN_TEST_FULL") != nullptr ? 1 : writes / some;
    std::uint64_t tried = 0, met = 0;
    for (std::uint64_t n = 1; n <= writes; n += step, ++tried) {
      const Solved solved = try_one(n, until == Until::the_end ? ~std::uint64_t{0} : n + 1);
      SCOPED_TRACE(fmt::format("write {} of {}: {}", n, writes, shim_.what()));
      met += shim_.failed() > 0 ? 1 : 0;
      EXPECT_EQ(shim_.pauses(), 0u) << "somebody waits and tries again";
      EXPECT_LE(shim_.calls(), 4 * writes) << "a step is done twice at most";
      check(solved);
      look_at_store();
      const Solved again = solve(build(), more);
      EXPECT_EQ(again.code, 0) << again.err;
      expect_clean();
      if (HasFailure()) return;
    }
    EXPECT_GE(4 * met, 3 * tried) << "how many changes share a write depends on what else the machine does; of the last ones some are not met";
    fmt::print("{} of {} writes found no room\n", met, writes);
  }
  // A store that was never finished has nothing to look at.
  void look_at_store() {
    struct ::stat metadata {};
    if (::stat((root_ / "meta/data.mdb").c_str(), &metadata) != 0 || metadata.st_size == 0) return;
    if (::access((root_ / "VERSION").c_str(), F_OK) == 0) expect_clean();
  }
  void run_well(Words argv) {
    const Ended ended = run_program(temp_.path(), argv);
    ASSERT_EQ(ended.code, 0) << ::testing::PrintToString(argv) << ended.err;
  }

  const LoopFs disk_{FileSystem::ext4, 256 * mib};
  const base::HostPath before_ = disk_ / "before";
  Shim shim_{temp_ / "control", disk_.path()};
};

TEST_F(NoSpace, AnyWriteOfASolveAndItEndsWellAllTheSame) {
  // What may go, and a policy that lets it.
  ASSERT_EQ(solve(output("old", "dd if=/dev/zero of=/out/big bs=1M count=2")).code, 0);
  write_text(root_ / "gc.toml", "[[rule]]\nceiling = \"100%\"\nfloor = \"0B\"\n");
  run_well({"cp", "-a", root_.str(), before_.str()});
  sweep(16, Until::next_write, [](const Solved& solved) { EXPECT_EQ(solved.code, 0) << solved.err; });
}

// Nothing of it may go to make room, so what a step or the store itself cannot do without is an error.
TEST_F(NoSpace, AnyWriteOfTheFirstSolveAndTheNextOneNeedsNoHelp) {
  ASSERT_EQ(::mkdir(before_.c_str(), 0755), 0);
  sweep(8, Until::next_write, [](const Solved& solved) {
    if (solved.code == 0) return;
    EXPECT_EQ(solved.code, 1);
    EXPECT_THAT(solved.err, HasSubstr("No space left on device"));
  });
}

// The step that meets it is done twice, the collection in between finds no room either, and that is the end of it.
TEST_F(NoSpace, ADiskThatStaysFullEndsTheBuildAndTheNextOneNeedsNoHelp) {
  ASSERT_EQ(solve(output("old", "dd if=/dev/zero of=/out/big bs=1M count=2")).code, 0);
  write_text(root_ / "gc.toml", "[[rule]]\nceiling = \"100%\"\nfloor = \"0B\"\n");
  run_well({"cp", "-a", root_.str(), before_.str()});
  sweep(8, Until::the_end, [](const Solved& solved) {
    if (solved.code == 0) return;
    EXPECT_EQ(solved.code, 1);
    EXPECT_THAT(solved.err, HasSubstr("No space left on device"));
  });
}

}  // namespace
}  // namespace cairn::test
