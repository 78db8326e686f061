// SPDX-License-Identifier: Apache-2.0
// Kills the engine at every crash point that a solve, a failing step and a prune pass, not at a sample of them; and at the
// first and last passes of those that other work on records passes. After
// each, what no sync had made durable is taken away (the worst a power cut may do to it), and the store must keep the
// invariants: every named tree whole, metadata and disk the same in both directions, and the next solve works and gives
// the same result. The suite must be able to fail: with the publish order swapped it does.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "libbase/fs/beneath.h"
#include "libcache/cache.h"
#include "tests/crash/worker.h"
#include "tests/support/busybox_root.h"
#include "tests/support/crash_points.h"
#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;
using Order = base::lmdb::GroupWriter::Options::Order;

std::string self_path() { return fs::read_symlink("/proc/self/exe"); }

// Another thread of this program may be starting a process, which for a moment has a copy of the lock's descriptor.
base::Result<std::unique_ptr<engine::Engine>> open_when_free(const WorkerArguments& arguments) {
  base::Result<std::unique_ptr<engine::Engine>> opened = base::fail(base::ErrorCode::busy, "not tried");
  eventually([&] {
    opened = open_store(arguments);
    return opened || opened.error().code != base::ErrorCode::busy;
  });
  return opened;
}

// One store and what may be done to it; of one thread.
class Store {
 public:
  Store(WorkerArguments arguments, const base::HostPath& dir, const std::string& name) : arguments_(std::move(arguments)) {
    arguments_.root = (dir / name).str();
    arguments_.sync_log = arguments_.root + ".syncs";
    clear();
  }
  void clear() const {
    for (const char* suffix : {"", ".syncs", ".out", ".trace"}) fs::remove_all(arguments_.root + suffix);
  }
  void copy_from(const Store& other) const {
    clear();
    fs::copy(other.arguments_.root, arguments_.root, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  }

  // Runs the worker in a process of its own; returns its wait status.
  int spawn(const std::string& trace, const std::string& crash_at) const {
    const std::string self = self_path();
    const std::string order = arguments_.order == Order::names_first ? "names_first" : "data_first";
    const std::string scenario = arguments_.scenario == WorkerArguments::Scenario::records ? "records" : "solves";
    const std::vector<std::string> words = {self, "--worker", arguments_.root, arguments_.layout, arguments_.source,
                                            arguments_.sync_log, arguments_.base_digest, order, scenario};
    const std::vector<std::string> settings = {"CAIRN_CRASH_TRACE=" + trace, "CAIRN_CRASH_AT=" + crash_at,
                                               "PATH=" + std::string(::getenv("PATH"))};
    const auto pointers = [](const std::vector<std::string>& texts) {
      std::vector<char*> result;
      for (const std::string& text : texts) result.push_back(const_cast<char*>(text.c_str()));
      result.push_back(nullptr);
      return result;
    };
    pid_t pid = 0;
    EXPECT_EQ(::posix_spawn(&pid, self.c_str(), nullptr, nullptr, pointers(words).data(), pointers(settings).data()), 0);
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    return status;
  }

  std::vector<Pass> trace() const {
    const std::string file = arguments_.root + ".trace";
    const int status = spawn(file, "");
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the worker fails without a crash";
    return passes_in(file);
  }

  void cut_power() const;
  std::vector<std::string> violations() const;
  std::string result_of_solve() const;

 private:
  WorkerArguments arguments_;
};

ino_t inode_of(const char* file) {
  struct ::stat status {};
  CHECK(::lstat(file, &status) == 0, "stat {}: {}", file, base::errno_text(errno));
  return status.st_ino;
}

template <class F>
void each_file(const fs::path& tree, F&& f) {
  for (const auto& entry : fs::recursive_directory_iterator(tree)) {
    if (entry.is_regular_file() && !entry.is_symlink()) f(entry.path().c_str());
  }
}

// Empties every file of every tree that no sync had made durable, but for those that are links to files of trees that are
// durable: a flat copy has such.
void Store::cut_power() const {
  std::set<std::string> durable;
  std::ifstream in(arguments_.sync_log);
  for (std::string token; in >> token;) durable.insert(token);
  if (!fs::exists(arguments_.root + "/trees")) return;
  std::set<ino_t> kept;
  std::vector<fs::path> lost;
  for (const auto& tree : fs::directory_iterator(arguments_.root + "/trees")) {
    if (!durable.contains(tree.path().filename())) {
      lost.push_back(tree.path());
      continue;
    }
    each_file(tree.path(), [&](const char* file) { kept.insert(inode_of(file)); });
  }
  for (const fs::path& tree : lost) {
    each_file(tree, [&](const char* file) {
      if (!kept.contains(inode_of(file))) ::truncate(file, 0);
    });
  }
}

// What is wrong with the store; empty if it is as it should be. No file of the scenario is empty, so an empty file in a
// named tree is lost data.
std::vector<std::string> Store::violations() const {
  std::vector<std::string> found;
  const base::HostPath root = *base::HostPath::parse(arguments_.root);
  auto engine = open_when_free(arguments_);
  if (!engine) return {"cannot be opened: " + engine.error().message};
  auto findings = (*engine)->cache().check();
  if (!findings) return {"cannot be checked: " + findings.error().message};
  for (const cache::Finding& finding : *findings) {
    if (finding.text.starts_with(planted_stray)) continue;
    found.push_back(fmt::format("I{}: {}", finding.invariant, finding.text));
  }
  EXPECT_TRUE((*engine)->cache().each_record([&](const cache::RecordInfo& record) -> base::Status {
    if (!record.snapshot) return {};  // lazy
    const fs::path tree = arguments_.root + "/trees/" + std::to_string(record.snapshot.value());
    for (const auto& entry : fs::recursive_directory_iterator(tree)) {
      if (entry.is_regular_file() && !entry.is_symlink() && entry.file_size() == 0) {
        found.push_back(fmt::format("I1: {} of record {} has lost its data", entry.path().string(), record.id));
      }
    }
    return {};
  }));
  return found;
}

// Solves and exports; returns the exported files as one text, or the error.
std::string Store::result_of_solve() const {
  const std::string out = arguments_.root + ".out";
  fs::remove_all(out);
  auto engine = open_when_free(arguments_);
  if (!engine) return "cannot be opened: " + engine.error().message;
  const engine::SolveReport report = solve(**engine, arguments_, make_graph(arguments_), out);
  if (report.error) return "solve fails: " + report.error->message;
  if (!report.warnings.empty()) return "solve warns: " + report.warnings.front();
  std::ostringstream text;
  for (const char* name : {"joined", "one", "two", "three", "upper.txt"}) {
    text << name << ": " << std::ifstream(out + "/" + name).rdbuf() << '\n';
  }
  return text.str();
}

class Crash : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_busybox_root(dir_ / "rootfs"));
    fs::create_directory((dir_ / "upper").str());
    write_text(dir_ / "upper/upper.txt", "of the second layer\n");
    ImageSpec image;
    image.layer_tars = {tar_of(dir_ / "rootfs"), tar_of(dir_ / "upper")};
    arguments_.base_digest = write_layout(dir_ / "layout", image).str();
    arguments_.layout = (dir_ / "layout").str();
    fs::create_directory((dir_ / "src").str());
    write_text(dir_ / "src/a.txt", "alpha\n");
    write_text(dir_ / "src/b.txt", "beta\n");
    arguments_.source = (dir_ / "src").str();
  }

  Store store(const std::string& name) { return Store(arguments_, dir_.path(), name); }

  // Each pass with a store of its own, a few at a time: they mostly wait for disks and namespaces.
  void in_parallel(const std::vector<Pass>& passes, const std::function<void(Store&, const Pass&)>& f) {
    std::atomic<std::size_t> next{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (std::size_t at = next++; at < passes.size(); at = next++) {
          Store victim = store(fmt::format("victim{}", i));
          f(victim, passes[at]);
          victim.clear();
        }
      });
    }
  }

  // Leases, merges, lazy layers, layers as blobs, reopened records, statistics: of each point that is not in `passed` the
  // first passes and the last, for what is between is the same over and over. They join it.
  void kill_work_on_records(std::set<std::string>& passed) {
    arguments_.scenario = WorkerArguments::Scenario::records;
    const Store reference = store("records");
    const std::vector<Pass> all = reference.trace();
    EXPECT_EQ(reference.violations(), none);
    std::vector<Pass> fresh = ends_of(all);
    std::erase_if(fresh, [&](const Pass& pass) { return passed.contains(pass.name); });
    for (const Pass& pass : fresh) passed.insert(pass.name);
    in_parallel(fresh, [&](Store& victim, const Pass& pass) {
      ++killed_;
      const int status = victim.spawn("", pass.str());
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;  // as above
      EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << pass.str();
      victim.cut_power();
      EXPECT_EQ(victim.violations(), none) << "killed at " << pass.str();
      EXPECT_EQ(victim.spawn("", ""), 0) << "the work does not go on after " << pass.str();
      EXPECT_EQ(victim.violations(), none) << "after the work that followed " << pass.str();
    });
    arguments_.scenario = WorkerArguments::Scenario::solves;
  }

  TempDir dir_;
  WorkerArguments arguments_;
  std::atomic<std::size_t> killed_{0};
  const std::vector<std::string> none = {};
};

TEST_F(Crash, EveryPointOfASolveKeepsTheInvariants) {
  const Store reference = store("reference");
  const std::vector<Pass> passes = reference.trace();
  const std::string expected = reference.result_of_solve();
  ASSERT_NE(expected.find("joined: alpha\nalpha\nbeta\nbeta\n"), std::string::npos) << expected;
  ASSERT_EQ(reference.violations(), none);
  std::set<std::string> passed;
  for (const Pass& pass : passes) passed.insert(pass.name);
  in_parallel(passes, [&](Store& victim, const Pass& pass) {
    ++killed_;
    const int status = victim.spawn("", pass.str());
    // What runs on several threads may pass a point less often in another run; then there was nothing to kill.
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << pass.str();
    victim.cut_power();
    EXPECT_EQ(victim.violations(), none) << "killed at " << pass.str();
    EXPECT_EQ(victim.result_of_solve(), expected) << "killed at " << pass.str();
    EXPECT_EQ(victim.violations(), none) << "after the solve that followed " << pass.str();
  });
  // The points of recovery are passed by a worker that finds what a killed one left.
  const Store left = store("left"), traced = store("traced");
  ASSERT_TRUE(WIFSIGNALED(left.spawn("", "snapshot.prepare.made_dirs#2")));
  traced.copy_from(left);
  std::vector<Pass> recovery = traced.trace();
  std::erase_if(recovery, [&](const Pass& pass) { return passed.contains(pass.name); });
  for (const Pass& pass : recovery) passed.insert(pass.name);
  in_parallel(recovery, [&](Store& victim, const Pass& pass) {
    ++killed_;
    victim.copy_from(left);
    const int status = victim.spawn("", pass.str());
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;  // as above
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << pass.str();
    victim.cut_power();
    EXPECT_EQ(victim.violations(), none) << "killed at " << pass.str();
    EXPECT_EQ(victim.result_of_solve(), expected) << "killed at " << pass.str();
  });
  kill_work_on_records(passed);
  std::vector<std::string> directories;
  // Those of libsnapshot, some of them of one driver only, are the business of crash_snapshot.
  for (const char* library : {"libbase", "libcache", "libsolver", "tools"}) {
    directories.push_back(std::string(CAIRN_SOURCE_DIR) + "/" + library);
  }
  for (const std::string& name : crash_points_in(directories)) {
    EXPECT_TRUE(passed.contains(name)) << "the crash point " << name << " is never passed, so it proves nothing";
  }
  std::printf("%zu passes of %zu crash points\n", killed_.load(), passed.size());
}

// The bug that this suite exists to catch: rows committed before the data they name is durable.
TEST_F(Crash, SwappedPublishOrderIsCaught) {
  arguments_.order = Order::names_first;
  std::size_t caught = 0;
  Store victim = store("victim");
  for (const Pass& pass : victim.trace()) {
    if (pass.name != "lmdb.update.after_commit") continue;
    victim.clear();
    if (!WIFSIGNALED(victim.spawn("", pass.str()))) continue;
    victim.cut_power();
    caught += victim.violations().empty() ? 0 : 1;
    if (caught >= 3) break;
  }
  EXPECT_GE(caught, 1u) << "names came before their data and nobody noticed";
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) {
  if (argc == 9 && std::string(argv[1]) == "--worker") {
    cairn::test::WorkerArguments arguments;
    arguments.root = argv[2];
    arguments.layout = argv[3];
    arguments.source = argv[4];
    arguments.sync_log = argv[5];
    arguments.base_digest = argv[6];
    if (std::string(argv[7]) == "names_first") arguments.order = cairn::base::lmdb::GroupWriter::Options::Order::names_first;
    return std::string(argv[8]) == "records" ? cairn::test::run_records_worker(arguments) : cairn::test::run_worker(arguments);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
