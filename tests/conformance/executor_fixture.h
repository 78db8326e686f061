// SPDX-License-Identifier: Apache-2.0
// The fixture of the executor suite: a busybox root, an executor, and steps to run. Each run gets mounts of its own, as
// some executors can use a mounted tree only once. After each test no mount and no bundle is left. Opening an executor runs
// a container, so the tests of one share it.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/executor.h"
#include "tests/support/busybox_root.h"
#include "tests/support/host_state.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {

struct ExecutorVariant {
  std::string name;
  std::function<base::Result<std::unique_ptr<Executor>>(const base::HostPath& state_dir, std::optional<StepLimits> limits)> open;
};
inline void PrintTo(const ExecutorVariant& variant, std::ostream* out) { *out << variant.name; }

struct Ran {
  base::Result<ExecExit> exit;
  std::string out;
  std::string err;
  int code() const { return exit ? exit->code : -1; }
  base::ErrorCode error() const { return exit.error().code; }
  std::string message() const { return exit ? "" : exit.error().message; }
};

class ExecutorSuite : public ::testing::TestWithParam<ExecutorVariant> {
 public:
  static void TearDownTestSuite() { shared_.clear(); }

 protected:
  void SetUp() override {
    const auto made = test::make_busybox_root(root_);
    ASSERT_TRUE(made) << made.error().message;
    Shared& shared = shared_[GetParam().name];
    if (!shared.executor) {
      auto opened = GetParam().open(shared.temp / "state", std::nullopt);
      ASSERT_TRUE(opened) << opened.error().message;
      shared.executor = std::move(*opened);
    }
    executor_ = shared.executor.get();
    state_ = shared.temp / "state";
    ran_before_ = executor_->processes_run();
  }

  void TearDown() override {
    if (executor_ == nullptr) return;
    // Other programs mount, too; ours are all below the directory of this test.
    EXPECT_THAT(test::read_text("/proc/self/mountinfo"), ::testing::Not(::testing::HasSubstr(temp_.path().str())));
    EXPECT_THAT(test::read_text("/proc/self/mountinfo"), ::testing::Not(::testing::HasSubstr(state_.str())));
    EXPECT_THAT(test::names_in(state_), ::testing::IsEmpty()) << "bundles are left";
  }

  std::uint64_t processes_run() const { return executor_->processes_run() - ran_before_; }

  // With cgroup v2 runc keeps the limits in a group of its own, which is gone with what it counted when the step has ended.
  bool tells_limits() const {
    return GetParam().name != "runc" || test::read_text("/sys/fs/cgroup/cgroup.controllers").find("memory") == std::string::npos;
  }

  const snapshot::MountedTree* mount(const base::HostPath& dir) {
    auto tree = test::mount_tree(dir);
    EXPECT_TRUE(tree) << tree.error().message;
    return &trees_.emplace_back(std::move(*tree));
  }
  base::HostPath make_dir(const std::string& name) {
    const base::HostPath dir = temp_ / name;
    EXPECT_EQ(::mkdir(dir.c_str(), 0755), 0);
    return dir;
  }
  void put(const base::HostPath& dir, std::string_view path, std::string_view text) {
    const auto done = test::put_file(dir, path, text);
    EXPECT_TRUE(done) << done.error().message;
  }

  ExecRequest request(std::vector<std::string> args) {
    ExecRequest made;
    made.id = "step-" + std::to_string(next_id_++);
    made.args = std::move(args);
    made.network = NetworkMode::host;
    made.mounts.push_back(bind("/", root_));
    return made;
  }
  ExecRequest shell(const std::string& script) { return request({"sh", "-c", script}); }
  ExecMount bind(const std::string& dest, const base::HostPath& dir, const std::string& selector = "") {
    ExecMount made;
    made.dest = dest;
    made.tree = mount(dir);
    made.selector = selector;
    return made;
  }

  Ran run(const ExecRequest& request, std::stop_token stop = {}) {
    Ran ran;
    ran.exit = executor_->run(
        request, [&ran](Stream stream, std::string_view text) { (stream == Stream::out ? ran.out : ran.err) += text; },
        stop);
    return ran;
  }
  // For steps that must end well.
  std::string out_of(const ExecRequest& request) {
    const Ran ran = run(request);
    EXPECT_TRUE(ran.exit) << ran.message();
    EXPECT_EQ(ran.code(), 0) << ran.err;
    return ran.out;
  }

  test::TempDir temp_;
  const base::HostPath root_ = temp_ / "root";
  std::deque<snapshot::MountedTree> trees_;
  Executor* executor_ = nullptr;
  base::HostPath state_ = temp_.path();
  std::uint64_t ran_before_ = 0;
  int next_id_ = 0;

 private:
  struct Shared {
    test::TempDir temp;
    std::unique_ptr<Executor> executor;
  };
  inline static std::map<std::string, Shared> shared_;
};

}  // namespace cairn::solver
