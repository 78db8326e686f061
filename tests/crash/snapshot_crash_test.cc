// SPDX-License-Identifier: Apache-2.0
// Kills libsnapshot alone, without an engine, at each of its crash points, with chains that are flattened, other trees
// being written, retirements, erasures, and a start that finds what a dead owner left; and the btrfs driver at the points
// that are its own. What was acknowledged is there afterwards, every row has its whole tree, and nothing else is left (the
// checks of the power cuts).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "tests/e2e/power/snapshot_check.h"
#include "tests/e2e/power/snapshot_workload.h"
#include "tests/support/crash_points.h"
#include "tests/support/loop_fs.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

struct Ended {
  int status = 0;
  std::vector<Event> events;  // what it reported before
};

// Runs the workload in a process of its own (crash points are armed when a process starts).
Ended spawn(const std::string& driver, const std::string& root, const std::string& trace, const std::string& crash_at) {
  std::array<int, 2> ends{};
  CHECK(::pipe(ends.data()) == 0);
  base::Fd from(ends[0]), to(ends[1]);
  ::fcntl(from.get(), F_SETFD, FD_CLOEXEC);
  const std::string self = fs::read_symlink("/proc/self/exe");
  std::vector<std::string> words = {self, "--worker", root, std::to_string(to.get()), driver};
  std::vector<std::string> settings = {"CAIRN_CRASH_TRACE=" + trace, "CAIRN_CRASH_AT=" + crash_at,
                                       "PATH=" + std::string(::getenv("PATH"))};
  const auto pointers = [](std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
  };
  pid_t pid = 0;
  CHECK(::posix_spawn(&pid, self.c_str(), nullptr, nullptr, pointers(words).data(), pointers(settings).data()) == 0);
  to.reset();
  Ended ended;
  ended.events = read_events(from.get());
  CHECK(::waitpid(pid, &ended.status, 0) == pid);
  return ended;
}

class Crashes {
 public:
  Crashes(std::string driver, const base::HostPath& where) : driver_(std::move(driver)), dir_(where) {}

  Ended spawn(const std::string& trace, const std::string& crash_at) const {
    return test::spawn(driver_, root(), trace, crash_at);
  }
  void clear() {
    if (driver_ != "btrfs") fs::remove_all(root());  // subvolumes go with their file system
    fs::remove(trace());
    ++number_;
  }
  std::vector<std::string> violations(const std::vector<Event>& events) const {
    std::vector<std::string> texts;
    for (const Violation& found : check_snapshots(root_path(), expected_after(events, SIZE_MAX), {.driver = driver_})) {
      texts.push_back(fmt::format("{}: {}", to_string(found.kind), found.text));
    }
    return texts;
  }
  // Kills at each pass, in a store that `before` has made.
  void kill_at(const std::vector<Pass>& passes, const std::function<std::vector<Event>()>& before) {
    for (const Pass& pass : passes) {
      clear();
      std::vector<Event> events = before();
      const Ended ended = spawn("", pass.str());
      EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGKILL) << pass.str();
      events.insert(events.end(), ended.events.begin(), ended.events.end());
      EXPECT_EQ(violations(events), std::vector<std::string>()) << "killed at " << pass.str();
    }
  }

  // Without a crash; the passes of points that are not among `known`, and those join it.
  std::vector<Pass> run(std::set<std::string>& known) {
    EXPECT_EQ(spawn(trace(), "").status, 0) << "the workload fails without a crash";
    std::vector<Pass> passes = passes_in(trace());
    std::erase_if(passes, [&](const Pass& pass) { return known.contains(pass.name); });
    for (const Pass& pass : passes) known.insert(pass.name);
    EXPECT_FALSE(passes.empty());
    return ends_of(passes);
  }

 private:
  base::HostPath root_path() const { return dir_ / ("store" + std::to_string(number_)); }
  std::string root() const { return root_path().str(); }
  std::string trace() const { return (dir_ / "trace").str(); }

  std::string driver_;
  TempDir dir_;
  int number_ = 0;
};

TEST(SnapshotCrash, EveryPointKeepsWhatWasAcknowledged) {
  std::set<std::string> passed;
  const TempDir disk;
  Crashes overlay("overlay", disk.path());
  overlay.kill_at(overlay.run(passed), [] { return std::vector<Event>(); });

  // The points of recovery are passed by a worker that finds what a killed one left.
  const auto leave = [&] { return overlay.spawn("", "snapshot.prepare.made_dirs#3").events; };
  overlay.clear();
  leave();
  overlay.kill_at(overlay.run(passed), leave);

  const LoopFs subvolumes(FileSystem::btrfs);
  Crashes btrfs("btrfs", subvolumes.path());
  btrfs.kill_at(btrfs.run(passed), [] { return std::vector<Event>(); });

  for (const std::string& name : crash_points_in({std::string(CAIRN_SOURCE_DIR) + "/libsnapshot"})) {
    EXPECT_TRUE(passed.contains(name)) << "the crash point " << name << " is never passed, so it proves nothing";
  }
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) {
  if (argc == 5 && std::string(argv[1]) == "--worker") {
    using namespace cairn::test;
    Reporter reporter(std::atoi(argv[3]));
    StoreOptions store;
    store.driver = argv[4];
    run_snapshot_workload(*cairn::base::HostPath::parse(argv[2]), {.store = store, .seed = 7, .rounds = 25}, reporter);
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
