// SPDX-License-Identifier: Apache-2.0
// What a step may do and reach: networks, capabilities, devices, limits of its process.
#pragma once

#include <fmt/format.h>

#include <filesystem>

#include "tests/conformance/executor_fixture.h"
#include "tests/support/own_network.h"

namespace cairn::solver {

TEST_P(ExecutorSuite, without_network_there_is_only_the_loopback) {
  ExecRequest step = shell("ls /sys/class/net; ip -o addr show dev lo | grep -c 127.0.0.1");
  step.network = NetworkMode::none;
  EXPECT_EQ(out_of(step), "lo\n1\n");
}

TEST_P(ExecutorSuite, the_host_s_network_is_the_host_s) {
  const std::string said = out_of(shell("readlink /proc/self/ns/net; ls /sys/class/net"));
  std::string expected(64, '\0');
  const ::ssize_t size = ::readlink("/proc/self/ns/net", expected.data(), expected.size());
  ASSERT_GT(size, 0);
  expected.resize(static_cast<std::size_t>(size));
  expected += "\n";
  for (const std::string& name : test::names_in(*base::HostPath::parse("/sys/class/net"))) expected += name + "\n";
  EXPECT_EQ(said, expected);
}

TEST_P(ExecutorSuite, a_network_of_its_own_reaches_what_the_host_reaches_but_not_its_loopback) {
  const auto entered = test::in_own_network([&] {
    const test::Greeter greeter("hello from outside\n");
    // Its processes are in the network of the thread that opens it.
    const auto opened = GetParam().open(temp_ / "state", std::nullopt);
    ASSERT_TRUE(opened) << opened.error().message;
    executor_ = opened->get();
    const auto in_sandbox = [&](const std::string& script) {
      ExecRequest step = shell(script);
      step.network = NetworkMode::sandbox;
      return out_of(step);
    };
    EXPECT_EQ(in_sandbox(fmt::format("nc {} {} < /dev/null", test::outside_address, greeter.port())), "hello from outside\n");
    // 10.0.2.2 is the host's loopback, for those who may.
    EXPECT_THAT(in_sandbox(fmt::format("(nc -w 2 10.0.2.2 {0} || nc -w 2 127.0.0.1 {0}) < /dev/null; echo ended", greeter.port())),
                ::testing::AllOf(::testing::Not(::testing::HasSubstr("hello")), ::testing::HasSubstr("ended")));
    EXPECT_EQ(in_sandbox("head -n 1 /etc/resolv.conf; ip -o -4 addr show dev tap0 | grep -o 'inet [0-9./]*'; ls /sys/class/net"),
              "nameserver 10.0.2.3\ninet 10.0.2.100/24\nlo\ntap0\n");
    executor_ = nullptr;
  });
  ASSERT_TRUE(entered) << entered.error().message;
}

TEST_P(ExecutorSuite, a_step_has_no_power_over_the_machine) {
  const std::string said =
      out_of(shell("mount -t tmpfs t /tmp 2>/dev/null || echo no mount; ls -A /proc/scsi /sys/firmware 2>/dev/null | "
                   "grep -c '^[a-z]';"
                   "echo 1 2>/dev/null > /proc/sys/kernel/dmesg_restrict || echo read-only; echo $$; tr '\\0' ' ' < "
                   "/proc/1/cmdline | cut -c1-5"));
  EXPECT_EQ(said, "no mount\n0\nread-only\n1\nsh -c\n");
}

TEST_P(ExecutorSuite, calls_that_no_step_needs_are_refused) {
  std::filesystem::copy_file(CAIRN_BIN_DIR "/cairn_call_probe", (root_ / "bin/probe").str());
  const std::string refused =
      "keyctl EPERM\nbpf EPERM\nuserfaultfd EPERM\nio_uring_setup EPERM\nperf_event_open EPERM\nopen_by_handle_at EPERM\n"
      "clone3 ENOSYS\nclone done\nclone_user EPERM\nclone_net EPERM\nunshare EPERM\nvsock EPERM\nunix done\n";
  EXPECT_THAT(out_of(shell("probe")), ::testing::StartsWith(refused));
#if defined(__x86_64__)
  EXPECT_EQ(out_of(shell("probe | tail -n 1")), "keyctl_32 EPERM\n");
#endif
  EXPECT_EQ(out_of(shell("unshare -r true 2>/dev/null || echo no namespaces; grep Seccomp: /proc/self/status")),
            "no namespaces\nSeccomp:\t2\n");
  ExecRequest step = shell("probe | grep -E '^(clone_user|unshare|clone3|bpf)'; grep Seccomp: /proc/self/status");
  step.security = SecurityMode::insecure;
  EXPECT_EQ(out_of(step), "bpf EINVAL\nclone3 EINVAL\nclone_user done\nunshare done\nSeccomp:\t0\n");
}

TEST_P(ExecutorSuite, capabilities_are_those_of_every_container) {
  const std::string script = "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | cut -f 2";
  const std::string none = "0000000000000000\n", usual = "00000000a80425fb\n";
  EXPECT_EQ(out_of(shell(script)), none + usual + usual + usual + none);
  ExecRequest step = shell(script);
  step.user = "worker";
  EXPECT_EQ(out_of(step), none + none + none + usual + none);
}

TEST_P(ExecutorSuite, an_insecure_step_has_all_power_and_its_mounts_end_with_it) {
  ExecRequest step = shell(
      "mkdir /m && mount -t tmpfs t /m && mount --bind /etc /m && umount /dev/mqueue && mount -o remount,ro /dev/shm && echo mounted;"
      "test -w /proc/sys/kernel/hostname && echo changed > /proc/sys/kernel/hostname && hostname; grep CapBnd /proc/self/status");
  step.security = SecurityMode::insecure;
  const std::string own = test::read_text("/proc/self/status");
  const std::size_t at = own.find("CapBnd");
  EXPECT_EQ(out_of(step), "mounted\nchanged\n" + own.substr(at, own.find('\n', at) + 1 - at));
  EXPECT_THAT(test::names_in(root_ / "m"), ::testing::IsEmpty());
}

TEST_P(ExecutorSuite, devices_are_the_ones_that_programs_expect) {
  EXPECT_EQ(out_of(shell("cd /dev; for each in null zero full random urandom tty ptmx; do test -c $each && echo -n \"$each \"; done;"
                         "head -c 4 zero | wc -c; echo gone > null; echo x > full || echo is full; echo out > stdout;"
                         "for each in fd stdin stderr; do test -L $each && echo -n \"$each \"; done; test -d mqueue && echo mqueue")),
            "null zero full random urandom tty ptmx 4\nis full\nout\nfd stdin stderr mqueue\n");
}

TEST_P(ExecutorSuite, shared_memory_has_64_mib_or_the_size_of_its_mount) {
  const std::string script = "set -- $(stat -f -c '%b %S %T' /dev/shm); echo $(($1 * $2)) $3; stat -c %a /dev/shm; touch /dev/shm/x";
  EXPECT_EQ(out_of(shell(script)), "67108864 tmpfs\n1777\n");
  ExecRequest step = shell(script);
  ExecMount shm;
  shm.dest = "/dev/shm";
  shm.tmpfs_size = 1 << 20;
  step.mounts.push_back(shm);
  EXPECT_EQ(out_of(step), "1048576 tmpfs\n1777\n");
}

TEST_P(ExecutorSuite, nothing_of_a_step_that_dies_is_in_a_core_file) {
  // One byte, less than any core file has: a program that is handed cores would be given them with a limit of 0.
  EXPECT_EQ(out_of(shell("grep 'Max core file size' /proc/self/limits | tr -s ' '; cd /tmp && sh -c 'kill -SEGV $$'; ls /tmp | wc -l")),
            "Max core file size 1 1 bytes \n0\n");
  ExecRequest asks = shell("grep 'Max core file size' /proc/self/limits | tr -s ' '");
  asks.ulimits = {{"core", 4096, 8192}};
  EXPECT_EQ(out_of(asks), "Max core file size 4096 8192 bytes \n");
}

TEST_P(ExecutorSuite, ulimits_are_set_for_any_user) {
  for (const char* user : {"", "worker"}) {
    ExecRequest step = shell("ulimit -n; ulimit -Hn; ulimit -c; ulimit -s");
    step.user = user;
    step.ulimits = {{"nofile", 100, 200}, {"core", 0, 0}, {"stack", -1, -1}};
    EXPECT_EQ(out_of(step), "100\n200\n0\nunlimited\n") << user;
  }
  ExecRequest above = shell("true");
  above.ulimits = {{"nofile", 200, 100}};
  EXPECT_FALSE(run(above).exit) << "a soft limit above the hard one";
}

}  // namespace cairn::solver
