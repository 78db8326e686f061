// SPDX-License-Identifier: Apache-2.0
// Kills libsnapshot alone, without an engine, at each of its crash points, with chains that are flattened, other trees
// being written, retirements, erasures, and a start that finds what a dead owner left. What was acknowledged is there
// afterwards, every row has its whole tree, and nothing else is left (the checks of the power cuts).
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
#include <map>
#include <set>

#include "tests/e2e/power/snapshot_check.h"
#include "tests/e2e/power/snapshot_workload.h"
#include "tests/support/crash_points.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

struct Ended {
  int status = 0;
  std::vector<Event> events;  // what it reported before
};

// Runs the workload in a process of its own (crash points are armed when a process starts).
Ended spawn(const std::string& root, const std::string& trace, const std::string& crash_at) {
  std::array<int, 2> ends{};
  CHECK(::pipe(ends.data()) == 0);
  base::Fd from(ends[0]), to(ends[1]);
  ::fcntl(from.get(), F_SETFD, FD_CLOEXEC);
  const std::string self = fs::read_symlink("/proc/self/exe");
  std::vector<std::string> words = {self, "--worker", root, std::to_string(to.get())};
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

// Of each point the first passes and the last: a loop's middle is like its beginning.
std::vector<Pass> ends_of(const std::vector<Pass>& passes) {
  std::map<std::string, unsigned> last;
  for (const Pass& pass : passes) last[pass.name] = std::max(last[pass.name], pass.ordinal);
  std::vector<Pass> chosen;
  for (const Pass& pass : passes) {
    if (pass.ordinal <= 2 || pass.ordinal == last[pass.name]) chosen.push_back(pass);
  }
  return chosen;
}

class SnapshotCrash : public testing::Test {
 protected:
  std::string root() const { return (dir_ / "store").str(); }
  std::string trace() const { return (dir_ / "trace").str(); }
  void clear() const {
    fs::remove_all(root());
    fs::remove(trace());
  }
  std::vector<std::string> violations(const std::vector<Event>& events) const {
    std::vector<std::string> texts;
    for (const Violation& found : check_snapshots(dir_ / "store", expected_after(events, SIZE_MAX), {})) {
      texts.push_back(fmt::format("{}: {}", to_string(found.kind), found.text));
    }
    return texts;
  }
  // Kills at each pass, in a store that `before` has made.
  void kill_at(const std::vector<Pass>& passes, const std::function<std::vector<Event>()>& before) {
    for (const Pass& pass : passes) {
      clear();
      std::vector<Event> events = before();
      const Ended ended = spawn(root(), "", pass.str());
      EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGKILL) << pass.str();
      events.insert(events.end(), ended.events.begin(), ended.events.end());
      EXPECT_EQ(violations(events), std::vector<std::string>()) << "killed at " << pass.str();
    }
  }

  TempDir dir_;
};

TEST_F(SnapshotCrash, EveryPointKeepsWhatWasAcknowledged) {
  ASSERT_EQ(spawn(root(), trace(), "").status, 0) << "the workload fails without a crash";
  std::set<std::string> passed;
  for (const Pass& pass : passes_in(trace())) passed.insert(pass.name);
  kill_at(ends_of(passes_in(trace())), [] { return std::vector<Event>(); });

  // The points of recovery are passed by a worker that finds what a killed one left.
  const auto leave = [this] { return spawn(root(), "", "snapshot.prepare.made_dirs#3").events; };
  clear();
  leave();
  ASSERT_EQ(spawn(root(), trace(), "").status, 0);
  std::vector<Pass> recovery = passes_in(trace());
  std::erase_if(recovery, [&](const Pass& pass) { return passed.contains(pass.name); });
  ASSERT_FALSE(recovery.empty());
  kill_at(ends_of(recovery), leave);

  for (const Pass& pass : recovery) passed.insert(pass.name);
  for (const std::string& name : crash_points_in({std::string(CAIRN_SOURCE_DIR) + "/libsnapshot"})) {
    EXPECT_TRUE(passed.contains(name)) << "the crash point " << name << " is never passed, so it proves nothing";
  }
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "--worker") {
    using namespace cairn::test;
    Reporter reporter(std::atoi(argv[3]));
    run_snapshot_workload(*cairn::base::HostPath::parse(argv[2]), {.store = {}, .seed = 7, .rounds = 25}, reporter);
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
