// SPDX-License-Identifier: Apache-2.0
// Mounts of a step, and what they leave behind: nothing.
#pragma once

#include "tests/conformance/executor_fixture.h"

namespace cairn::solver {

TEST_P(ExecutorSuite, changes_of_the_root_stay_and_mount_points_go) {
  EXPECT_EQ(out_of(shell("echo kept > /kept; ls -d /proc /dev /sys /etc/hosts /etc/resolv.conf")),
            "/dev\n/etc/hosts\n/etc/resolv.conf\n/proc\n/sys\n");
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "kept", "tmp"));
  EXPECT_THAT(test::names_in(root_ / "etc"), ::testing::ElementsAre("group", "passwd"));
  EXPECT_EQ(test::read_text((root_ / "kept").str()), "kept\n");
}

TEST_P(ExecutorSuite, directories_that_held_mount_points_get_their_times_back) {
  const struct ::timespec old[2] = {{1000, 5}, {1234567, 89}};
  for (const char* dir : {"", "/etc", "/tmp"}) {
    ASSERT_EQ(::utimensat(AT_FDCWD, (root_.str() + dir).c_str(), old, 0), 0);
  }
  const base::HostPath data = make_dir("data");
  ExecRequest step = shell("touch /tmp/new");
  step.mounts.push_back(bind("/etc/deep/data", data));
  step.remove_mount_stubs_recursive = true;
  out_of(step);
  for (const char* dir : {"", "/etc"}) {
    struct ::stat stat = {};
    ASSERT_EQ(::stat((root_.str() + dir).c_str(), &stat), 0);
    EXPECT_EQ(stat.st_mtim.tv_sec, 1234567) << dir;
    EXPECT_EQ(stat.st_mtim.tv_nsec, 89) << dir;
  }
  struct ::stat changed = {};
  ASSERT_EQ(::stat((root_ / "tmp").c_str(), &changed), 0);
  EXPECT_GT(changed.st_mtim.tv_sec, 1234567) << "the step changed this one";
  EXPECT_THAT(test::names_in(root_ / "etc"), ::testing::ElementsAre("group", "passwd"));
}

TEST_P(ExecutorSuite, a_directory_changed_by_the_step_keeps_the_step_s_time) {
  out_of(shell("touch -d @2000000 /etc; touch -d @3000000 /"));
  struct ::stat etc = {}, top = {};
  ASSERT_EQ(::stat((root_ / "etc").c_str(), &etc), 0);
  ASSERT_EQ(::stat(root_.c_str(), &top), 0);
  EXPECT_EQ(etc.st_mtim.tv_sec, 2000000);
  EXPECT_EQ(top.st_mtim.tv_sec, 3000000);
}

TEST_P(ExecutorSuite, parents_made_for_a_mount_stay_unless_asked_and_used_ones_always) {
  const base::HostPath data = make_dir("data");
  ExecRequest step = shell("true");
  step.mounts.push_back(bind("/one/two", data));
  out_of(step);
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "one", "tmp"));
  EXPECT_THAT(test::names_in(root_ / "one"), ::testing::IsEmpty());
  ExecRequest used = shell("echo x > /three/file");
  used.mounts.push_back(bind("/three/four/five", data));
  used.remove_mount_stubs_recursive = true;
  out_of(used);
  EXPECT_THAT(test::names_in(root_ / "three"), ::testing::ElementsAre("file"));
}

TEST_P(ExecutorSuite, mount_points_go_also_when_the_step_cannot_start) {
  EXPECT_EQ(run(request({"no-such-program"})).error(), base::ErrorCode::invalid_argument);
  ExecRequest no_selector = shell("true");
  no_selector.mounts.push_back(bind("/data", make_dir("data"), "missing"));
  EXPECT_EQ(run(no_selector).error(), base::ErrorCode::invalid_argument);
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "tmp"));
}

TEST_P(ExecutorSuite, a_read_only_mount_refuses_writes_and_a_writable_one_keeps_them) {
  const base::HostPath data = make_dir("data");
  put(data, "file", "old");
  ExecRequest step = shell("echo new > /ro/file || echo refused; echo new > /rw/file");
  const base::HostPath other = make_dir("other");
  step.mounts.push_back(bind("/ro", data));
  step.mounts.back().read_only = true;
  step.mounts.push_back(bind("/rw", other));
  EXPECT_EQ(out_of(step), "refused\n");
  EXPECT_EQ(test::read_text((data / "file").str()), "old");
  EXPECT_EQ(test::read_text((other / "file").str()), "new\n");
}

TEST_P(ExecutorSuite, a_read_only_root_has_writable_mounts) {
  ExecRequest step = shell("touch /x || echo refused; touch /data/x; ls /data");
  step.read_only_root = true;
  step.mounts.push_back(bind("/data", make_dir("data")));
  EXPECT_EQ(out_of(step), "refused\nx\n");
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "tmp"));
}

TEST_P(ExecutorSuite, selectors_choose_a_directory_or_a_file) {
  const base::HostPath data = make_dir("data");
  put(data, "sub/inner", "in");
  put(data, "single", "alone");
  ExecRequest step = shell("ls /dir; cat /a/file");
  step.mounts.push_back(bind("/dir", data, "/sub"));
  step.mounts.push_back(bind("/a/file", data, "single"));
  EXPECT_EQ(out_of(step), "inner\nalone");
  EXPECT_THAT(test::names_in(root_ / "a"), ::testing::IsEmpty());
}

TEST_P(ExecutorSuite, selectors_stay_inside_their_tree) {
  const base::HostPath data = make_dir("data");
  put(data, "etc/name", "tree's own");
  ASSERT_EQ(::symlink("/etc", (data / "out").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../../../etc", (data / "up").c_str()), 0);
  ExecRequest step = shell("cat /one/name /two/name /three/name");
  step.mounts.push_back(bind("/one", data, "out"));
  step.mounts.push_back(bind("/two", data, "up"));
  step.mounts.push_back(bind("/three", data, "../../etc"));
  EXPECT_EQ(out_of(step), "tree's owntree's owntree's own");
}

TEST_P(ExecutorSuite, destinations_follow_links_inside_the_root_only) {
  const base::HostPath data = make_dir("data");
  put(data, "file", "mounted");
  ASSERT_EQ(::symlink("/real", (root_ / "link").c_str()), 0);
  ASSERT_EQ(::symlink("../../../run/resolve/stub.conf", (root_ / "etc/resolv.conf").c_str()), 0);
  ExecRequest step = shell("cat /real/there/file; ls /run/resolve; cat /etc/resolv.conf | wc -c");
  step.mounts.push_back(bind("/link/there", data));
  step.remove_mount_stubs_recursive = true;
  const std::size_t size = test::read_text("/etc/resolv.conf").size();
  EXPECT_EQ(out_of(step), "mountedstub.conf\n" + std::to_string(size) + "\n");
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "link", "tmp"));
}

TEST_P(ExecutorSuite, nested_mounts_are_mounted_parents_first) {
  const base::HostPath parent = make_dir("parent"), child = make_dir("child");
  put(parent, "from-parent", "");
  put(child, "from-child", "");
  ExecRequest step = shell("ls /top /top/sub; touch /top/sub/x");
  step.mounts.push_back(bind("/top/sub", child));
  step.mounts.push_back(bind("/top", parent));
  EXPECT_EQ(out_of(step), "/top:\nfrom-parent\nsub\n\n/top/sub:\nfrom-child\n");
  EXPECT_THAT(test::names_in(parent), ::testing::ElementsAre("from-parent")) << "the mount point was in this tree";
  EXPECT_THAT(test::names_in(child), ::testing::ElementsAre("from-child", "x"));
}

TEST_P(ExecutorSuite, a_mount_inside_a_read_only_mount_needs_its_mount_point) {
  const base::HostPath parent = make_dir("parent"), child = make_dir("child");
  put(child, "file", "seen");
  const auto step_on = [&](const std::string& dest) {
    ExecRequest step = shell("cat " + dest + "/file");
    step.mounts.push_back(bind("/top", parent));
    step.mounts.back().read_only = true;
    step.mounts.push_back(bind(dest, child));
    return step;
  };
  EXPECT_EQ(run(step_on("/top/missing")).error(), base::ErrorCode::invalid_argument);
  put(parent, "there/x", "");
  EXPECT_EQ(out_of(step_on("/top/there")), "seen");
  EXPECT_THAT(test::names_in(parent), ::testing::ElementsAre("there"));
}

TEST_P(ExecutorSuite, tmpfs_has_its_size_and_can_hold_mounts) {
  const base::HostPath data = make_dir("data");
  put(data, "file", "seen");
  ExecRequest step = shell(
      "dd if=/dev/zero of=/scratch/x bs=1k count=2048 2>/dev/null || stat -c %s /scratch/x; "
      "cat /scratch/a/b/file; stat -f -c %T /scratch; touch /locked/x || echo read-only");
  ExecMount tmpfs;
  tmpfs.dest = "/scratch";
  tmpfs.tmpfs_size = 1 << 20;
  step.mounts.push_back(tmpfs);
  step.mounts.push_back(bind("/scratch/a/b", data));
  tmpfs.dest = "/locked";
  tmpfs.read_only = true;
  step.mounts.push_back(tmpfs);
  EXPECT_EQ(out_of(step), "1048576\nseentmpfs\nread-only\n");
}

TEST_P(ExecutorSuite, a_mount_takes_the_place_of_a_default_one) {
  const base::HostPath data = make_dir("data");
  put(data, "hosts", "my own hosts");
  ExecRequest step = shell("cat /etc/hosts; ls /dev/shm/in");
  step.mounts.push_back(bind("/etc/hosts", data, "hosts"));
  step.mounts.push_back(bind("/dev/shm/in", data));
  EXPECT_EQ(out_of(step), "my own hostshosts\n");
}

TEST_P(ExecutorSuite, mounts_that_cannot_be_are_refused) {
  const base::HostPath data = make_dir("data");
  put(data, "file", "");
  const auto refused = [&](const ExecMount& mount) {
    ExecRequest step = shell("true");
    step.mounts.push_back(mount);
    return run(step).error() == base::ErrorCode::invalid_argument;
  };
  EXPECT_TRUE(refused(bind("relative", data)));
  EXPECT_TRUE(refused(bind("/", data))) << "two roots";
  EXPECT_TRUE(refused(bind("/etc/passwd", data))) << "a directory on a file";
  EXPECT_TRUE(refused(bind("/etc", data, "file"))) << "a file on a directory";
  EXPECT_TRUE(refused(bind("/etc/passwd/x", data))) << "below a file";
  ExecRequest no_root = shell("true");
  no_root.mounts.clear();
  EXPECT_EQ(run(no_root).error(), base::ErrorCode::invalid_argument);
  EXPECT_EQ(processes_run(), 0u);
}

TEST_P(ExecutorSuite, the_working_directory_can_be_in_a_mount) {
  const base::HostPath data = make_dir("data");
  ExecRequest step = shell("pwd; touch x");
  step.mounts.push_back(bind("/src", data));
  step.cwd = "/src/made";
  EXPECT_EQ(out_of(step), "/src/made\n");
  EXPECT_THAT(test::names_in(data / "made"), ::testing::ElementsAre("x"));
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "tmp"));
  ExecRequest read_only = shell("pwd");
  read_only.mounts.push_back(bind("/src", data));
  read_only.mounts.back().read_only = true;
  read_only.cwd = "/src/other";
  EXPECT_EQ(run(read_only).error(), base::ErrorCode::invalid_argument);
}

}  // namespace cairn::solver
