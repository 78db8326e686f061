// SPDX-License-Identifier: Apache-2.0
// The cgroups of steps: where they are found, on texts of other machines; and what they do, with real steps.
#include "libsolver/exec/cgroups.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/fs/beneath.h"
#include "libsolver/exec/output_pump.h"
#include "libsolver/exec/spawner.h"
#include "tests/support/busybox_root.h"
#include "tests/support/host_state.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = Cgroups::Hierarchy::Kind;

std::vector<std::string> found(std::string_view mountinfo, std::string_view own) {
  std::vector<std::string> texts;
  for (const auto& each : Cgroups::find(mountinfo, own)) {
    texts.push_back(fmt::format("{} {}", each.kind == Kind::v2 ? "v2" : each.kind == Kind::v1_pids ? "pids" : "memory", each.own.str()));
  }
  return texts;
}

TEST(CgroupsFind, both_versions_and_several_controllers_in_one_place) {
  EXPECT_THAT(found("24 23 0:21 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n", "0::/\n"),
              ElementsAre("v2 /sys/fs/cgroup"));
  EXPECT_THAT(found("31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                    "39 31 0:36 / /sys/fs/cgroup/cpu,pids rw - cgroup cgroup rw,cpu,pids\n"
                    "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
                    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
                    "8:cpu,pids:/\n4:memory:/no/such/group\n0::/\n"),
              ElementsAre("memory /sys/fs/cgroup/memory", "pids /sys/fs/cgroup/cpu,pids", "v2 /sys/fs/cgroup/unified"))
      << "a group that is told as seen from outside is not there: the top of the mount is ours";
  EXPECT_THAT(found("", ""), IsEmpty());
  EXPECT_THAT(found("garbage\n1 2 3\n- - -\n", ":::\n::"), IsEmpty());
}

TEST(CgroupsFind, the_group_of_this_process_is_below_the_mount) {
  const test::TempDir temp;
  ASSERT_EQ(::mkdir((temp / "mine").c_str(), 0755), 0);
  const std::string at = temp.path().str();
  EXPECT_THAT(found("24 23 0:21 / " + at + " rw - cgroup2 cgroup2 rw\n", "0::/mine\n"), ElementsAre("v2 " + at + "/mine"));
  EXPECT_THAT(found("24 23 0:21 /outer " + at + " rw - cgroup2 cgroup2 rw\n", "0::/outer/mine\n"), ElementsAre("v2 " + at + "/mine"));
  EXPECT_THAT(found("24 23 0:21 / " + at + " rw - cgroup2 cgroup2 rw\n", "0::/../mine\n"), ElementsAre("v2 " + at));
}

// The files of a cgroup v2 that hands its controllers down, as plain files.
class PlainFiles : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) { ASSERT_TRUE(test::put_file(temp_.path(), path, text)); }
  std::string text(const std::string& path) { return test::read_text((temp_ / path).str()); }
  const Cgroups open() { return Cgroups::open({{Kind::v2, own_, temp_.path()}}, "x"); }
  test::TempDir temp_;
  base::HostPath own_ = temp_.path();
};

TEST_F(PlainFiles, v2_hands_controllers_down_and_gets_its_limits) {
  put("cgroup.controllers", "cpu memory pids\n");
  put("cgroup.subtree_control", "");
  put("cairn-x/cgroup.subtree_control", "");
  for (const char* file : {"pids.max", "memory.max", "cgroup.procs"}) put(std::string("cairn-x/step/") + file, "");
  const Cgroups cgroups = open();
  EXPECT_EQ(cgroups.why_not(), "");
  EXPECT_TRUE(cgroups.is_v2());
  EXPECT_EQ(text("cgroup.subtree_control"), "+pids +memory");
  EXPECT_EQ(text("cairn-x/cgroup.subtree_control"), "+pids +memory");
  put("cairn-x/step/memory.events", "low 0\noom 1\noom_kill 2\n");
  auto step = cgroups.make("step", "", {.processes = 7, .memory_bytes = 4096});
  ASSERT_TRUE(step) << step.error().message;
  EXPECT_EQ(text("cairn-x/step/pids.max"), "7");
  EXPECT_EQ(text("cairn-x/step/memory.max"), "4096");
  EXPECT_GE(step->directory(), 0);
  EXPECT_THAT(step->joins(), IsEmpty());
  EXPECT_THAT(step->thread_joins(), IsEmpty());
  EXPECT_EQ(step->what_limits_did(), "") << "that was before";
  put("cairn-x/step/memory.events", "low 0\noom 1\noom_kill 3\n");
  EXPECT_EQ(step->what_limits_did(), "a process was killed, for the memory limit of 4096 bytes was reached");
  step->begin_step();
  EXPECT_EQ(step->what_limits_did(), "") << "another step in the same group";
}

// A session of systemd: its group has other processes, so it hands nothing down; the top of the hierarchy does.
TEST_F(PlainFiles, a_group_with_other_processes_is_left_for_the_top) {
  own_ = temp_ / "user.slice";
  put("user.slice/cgroup.controllers", "memory pids\n");
  put("user.slice/cgroup.procs", "1\n2\n");
  put("cgroup.controllers", "memory pids\n");
  put("cgroup.subtree_control", "");
  put("cairn-x/cgroup.subtree_control", "");
  EXPECT_EQ(open().why_not(), "");
  EXPECT_EQ(text("cairn-x/cgroup.subtree_control"), "+pids +memory");
  EXPECT_THAT(test::names_in(own_), ::testing::UnorderedElementsAre("cgroup.controllers", "cgroup.procs"));
}

TEST_F(PlainFiles, without_controllers_it_says_so) {
  put("cgroup.controllers", "cpu io\n");
  const Cgroups cgroups = open();
  EXPECT_THAT(cgroups.why_not(), ::testing::AllOf(HasSubstr("no cgroup holds processes and memory"), HasSubstr("no controllers")));
  EXPECT_THAT(Cgroups::open({}, "x").why_not(), "no cgroup holds processes and memory");
  const auto step = Cgroups::open({}, "x").make("step", "", {.processes = 7});
  ASSERT_TRUE(step);
  EXPECT_THAT(step->joins(), IsEmpty());
}

// With the hierarchies of this machine.
class Limited : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(test::make_busybox_root(root_));
    hierarchies_ = Cgroups::find(test::read_text("/proc/self/mountinfo"), test::read_text("/proc/self/cgroup"));
    // Where there are none, the tests on plain files are all that can be shown.
    has_limits_ = Cgroups::open(hierarchies_, "test").why_not().empty();
    if (!has_limits_) std::printf("no limits on this machine: %s\n", Cgroups::open(hierarchies_, "test").why_not().c_str());
  }
  ExecExit run(const std::string& script, const StepLimits& limits, const std::string& parent) {
    const auto executor = open_executor({.runtime = {}, .state_dir = temp_ / "state", .limits = limits});
    EXPECT_TRUE(executor) << executor.error().message;
    if (!executor) return {};
    return run_in(**executor, script, SecurityMode::sandbox, parent);
  }
  ExecExit run_in(Executor& executor, const std::string& script, SecurityMode security, const std::string& parent = "") {
    auto tree = test::mount_tree(root_);  // before Linux 6.15 one serves one run
    EXPECT_TRUE(tree);
    ExecRequest request;
    request.id = "step";
    request.args = {"sh", "-c", script};
    request.network = NetworkMode::host;
    request.security = security;
    request.cgroup_parent = parent;
    request.mounts.emplace_back();
    request.mounts.back().dest = "/";
    request.mounts.back().tree = &*tree;
    said_.clear();
    const auto exit = executor.run(request, [&](Stream, std::string_view text) { said_.append(text); }, {});
    EXPECT_TRUE(exit) << exit.error().message;
    return exit ? *exit : ExecExit{};
  }
  // Directories of steps and stores that are there now.
  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const auto& hierarchy : hierarchies_) {
      for (const std::string& name : test::names_in(hierarchy.own)) {
        if (name.find("-step") != std::string::npos || name == "cairn-test") names.push_back(name);
      }
    }
    return names;
  }

  test::TempDir temp_;
  const base::HostPath root_ = temp_ / "root";
  std::vector<Cgroups::Hierarchy> hierarchies_;
  bool has_limits_ = false;
  std::string said_;
};

TEST_F(Limited, a_parent_is_made_below_the_own_group_and_nowhere_else) {
  EXPECT_EQ(run("cat /proc/self/cgroup", {.processes = 100}, "cairn-test/deep").code, 0);
  if (has_limits_) {
    EXPECT_THAT(said_, HasSubstr("/cairn-test/deep/cairn-"));
  }
  for (const auto& hierarchy : hierarchies_) {
    EXPECT_THAT(test::names_in(hierarchy.own / "cairn-test/deep"), Not(::testing::Contains(HasSubstr("step"))));
    (void)::rmdir((hierarchy.own / "cairn-test/deep").c_str());
    (void)::rmdir((hierarchy.own / "cairn-test").c_str());
  }
  EXPECT_THAT(left(), IsEmpty());
  const Cgroups cgroups = Cgroups::open(hierarchies_, "test");
  for (const char* parent : {"../up", "a/../../b", "system.slice:x:y"}) {
    const auto made = cgroups.make("step", parent, {});
    ASSERT_FALSE(made) << parent;
    EXPECT_EQ(made.error().code, ErrorCode::invalid_argument);
  }
}

// The groups of one step serve the next one, but not after a step that could change them.
TEST_F(Limited, groups_are_kept_for_the_next_step) {
  if (!has_limits_) return;
  const auto executor = open_executor({.runtime = {}, .state_dir = temp_ / "state", .limits = StepLimits{.processes = 50}});
  ASSERT_TRUE(executor) << executor.error().message;
  const auto group_of = [&](SecurityMode security, const std::string& script) {
    const ExecExit exit = run_in(**executor, script, security);
    EXPECT_THAT(exit.note, HasSubstr(script.find("exit") == std::string::npos ? "" : "limit of 50 processes"));
    return said_.substr(0, said_.find("\n#"));
  };
  const std::string groups = "grep -E '^[0-9]+:(pids|memory):|^0::' /proc/self/cgroup; echo '#'";
  const std::string first = group_of(SecurityMode::sandbox, groups);
  EXPECT_THAT(first, HasSubstr("/cairn-"));
  EXPECT_EQ(group_of(SecurityMode::sandbox, groups), first);
  EXPECT_EQ(group_of(SecurityMode::sandbox, groups + "; for i in $(seq 60); do sleep 100 & done 2>/dev/null; exit 1"), first);
  EXPECT_EQ(group_of(SecurityMode::sandbox, groups), first) << "what the limit did was done to the step before";
  for (const auto& hierarchy : hierarchies_) {  // an idle group that somebody has removed is no place for a step
    if (hierarchy.kind == Kind::v2) (void)::rmdir((hierarchy.own / first.substr(first.rfind("/cairn-") + 1)).c_str());
  }
  EXPECT_THAT(group_of(SecurityMode::sandbox, groups), HasSubstr("/cairn-"));
  const std::string before = group_of(SecurityMode::insecure, groups);
  EXPECT_NE(group_of(SecurityMode::sandbox, groups), before);
}

// What runs begins in a group of v2 and is never moved; any will do, here one without controllers.
TEST(CgroupsSpawn, a_child_begins_in_its_group) {
  const auto hierarchies = Cgroups::find(test::read_text("/proc/self/mountinfo"), test::read_text("/proc/self/cgroup"));
  const auto v2 = std::find_if(hierarchies.begin(), hierarchies.end(), [](const auto& each) { return each.kind == Kind::v2; });
  ASSERT_NE(v2, hierarchies.end()) << "no cgroup v2 is mounted here";
  const base::HostPath group = v2->own / fmt::format("cairn-test-{}", ::getpid());
  ASSERT_EQ(::mkdir(group.c_str(), 0755), 0) << base::errno_text(errno);
  auto spawner = Spawner::open();
  ASSERT_TRUE(spawner);
  for (int i = 0; i < 3; ++i) {
    auto dir = base::open_host_dir(group);
    ASSERT_TRUE(dir);
    auto pipe = make_pipe();
    ASSERT_TRUE(pipe);
    SpawnPlan plan;
    plan.command = {"/bin/grep", "^0::", "/proc/self/cgroup"};
    plan.cgroup = dir->get();
    plan.out = plan.err = pipe->write.get();
    auto child = (*spawner)->spawn(plan);
    ASSERT_TRUE(child) << child.error().message;
    pipe->write.reset();
    std::string said;
    const auto code = pump_output(*child, std::move(pipe->read), std::move(make_pipe()->read),
                                  [&](Stream, std::string_view text) { said.append(text); }, {});
    ASSERT_TRUE(code) << code.error().message;
    EXPECT_EQ(*code, 0);
    EXPECT_THAT(said, HasSubstr(fmt::format("/cairn-test-{}", ::getpid())));
  }
  EXPECT_EQ(::rmdir(group.c_str()), 0) << base::errno_text(errno);
}

TEST_F(Limited, what_a_killed_owner_left_is_removed) {
  if (has_limits_) {
    for (const auto& hierarchy : hierarchies_) {
      if (hierarchy.kind == Kind::v2) continue;
      ASSERT_EQ(::mkdir((hierarchy.own / "cairn-test").c_str(), 0755), 0);
      ASSERT_EQ(::mkdir((hierarchy.own / "cairn-test/lost-step").c_str(), 0755), 0);
    }
  }
  { const Cgroups cgroups = Cgroups::open(hierarchies_, "test"); }
  EXPECT_THAT(left(), IsEmpty());
}

}  // namespace
}  // namespace cairn::solver
