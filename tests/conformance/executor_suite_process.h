// SPDX-License-Identifier: Apache-2.0
// What a step sees of itself: arguments, environment, directory, user, host name, network.
#pragma once

#include "tests/conformance/executor_fixture.h"

namespace cairn::solver {

TEST_P(ExecutorSuite, runs_a_program_and_tells_its_streams_apart) {
  const Ran ran = run(shell("echo to out; echo to err >&2"));
  ASSERT_TRUE(ran.exit) << ran.message();
  EXPECT_EQ(ran.exit->code, 0);
  EXPECT_TRUE(ran.exit->valid);
  EXPECT_EQ(ran.out, "to out\n");
  EXPECT_EQ(ran.err, "to err\n");
  EXPECT_EQ(processes_run(), 1u);
}

TEST_P(ExecutorSuite, standard_input_is_empty) { EXPECT_EQ(out_of(shell("wc -c")), "0\n"); }

TEST_P(ExecutorSuite, arguments_arrive_as_they_are) {
  EXPECT_EQ(out_of(request({"printf", "%s|", "a b", "", "\"q\"", "\xc3\xa4", "$HOME", "x\ny"})),
            "a b||\"q\"|\xc3\xa4|$HOME|x\ny|");
}

TEST_P(ExecutorSuite, path_has_a_default_and_the_environment_is_the_request_s) {
  ExecRequest with_default = shell("echo $PATH $A");
  with_default.env = {"A=one two"};
  EXPECT_EQ(out_of(with_default), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin one two\n");
  ExecRequest with_path = request({"/bin/sh", "-c", "echo $PATH"});
  with_path.env = {"PATH=/bin"};
  EXPECT_EQ(out_of(with_path), "/bin\n");
  EXPECT_EQ(out_of(shell("echo $HOME")), "/root\n");
  ExecRequest of_worker = shell("echo $HOME");
  of_worker.user = "1000:1000";
  EXPECT_EQ(out_of(of_worker), "/home/worker\n");
  ExecRequest of_nobody = shell("echo $HOME");
  of_nobody.user = "4242";
  EXPECT_EQ(out_of(of_nobody), "/\n");
  ExecRequest with_home = shell("echo $HOME");
  with_home.env = {"HOME=/mine"};
  EXPECT_EQ(out_of(with_home), "/mine\n");
  ASSERT_EQ(::setenv("CAIRN_TEST_LEAK", "1", 1), 0);
  EXPECT_EQ(out_of(shell("echo [$CAIRN_TEST_LEAK]")), "[]\n");
}

TEST_P(ExecutorSuite, text_that_is_not_utf8_arrives_or_is_refused) {
  const Ran ran = run(request({"printf", "%s", "\xff"}));
  if (ran.exit) {
    EXPECT_EQ(ran.out, "\xff");
  } else {
    EXPECT_EQ(ran.error(), base::ErrorCode::invalid_argument);
  }
}

TEST_P(ExecutorSuite, requests_that_no_process_can_have_are_refused) {
  EXPECT_EQ(run(request({"echo", std::string("a\0b", 3)})).error(), base::ErrorCode::invalid_argument);
  EXPECT_EQ(run(request({})).error(), base::ErrorCode::invalid_argument);
  ExecRequest bad_id = shell("true");
  bad_id.id = "../x";
  EXPECT_EQ(run(bad_id).error(), base::ErrorCode::invalid_argument);
  ExecRequest relative = shell("true");
  relative.cwd = "src";
  EXPECT_EQ(run(relative).error(), base::ErrorCode::invalid_argument);
  ExecRequest bad_host = shell("true");
  bad_host.extra_hosts = {{"a\n1.2.3.4 b", "127.0.0.1"}};
  EXPECT_EQ(run(bad_host).error(), base::ErrorCode::invalid_argument);
  ExecRequest long_name = shell("true");
  long_name.hostname = std::string(65, 'x');
  EXPECT_EQ(run(long_name).error(), base::ErrorCode::invalid_argument);
  ExecRequest no_ulimit = shell("true");
  no_ulimit.ulimits = {{"no-such", 1, 1}};
  EXPECT_EQ(run(no_ulimit).error(), base::ErrorCode::invalid_argument);
  EXPECT_EQ(processes_run(), 0u);
}

TEST_P(ExecutorSuite, the_working_directory_is_made_for_the_user) {
  ExecRequest step = shell("pwd; stat -c '%a %u:%g' . ..; touch made-here");
  step.cwd = "/work/deep";
  step.user = "worker";
  EXPECT_EQ(out_of(step), "/work/deep\n755 1000:1000\n755 1000:1000\n");
  EXPECT_THAT(test::names_in(root_ / "work/deep"), ::testing::ElementsAre("made-here"));
}

TEST_P(ExecutorSuite, an_existing_working_directory_stays_as_it_is) {
  ExecRequest step = shell("pwd; stat -c '%a %u' .");
  step.cwd = "/tmp";
  step.user = "worker";
  EXPECT_EQ(out_of(step), "/tmp\n1777 0\n");
  ExecRequest in_file = shell("pwd");
  in_file.cwd = "/etc/passwd";
  EXPECT_EQ(run(in_file).error(), base::ErrorCode::invalid_argument);
}

TEST_P(ExecutorSuite, users_are_resolved_in_the_root) {
  struct Case {
    std::string user, expected;
  };
  // id prints the groups that the kernel has; the names come from the root's /etc/group.
  for (const Case& each :
       {Case{"", "0 0 [0 2000]"}, Case{"root", "0 0 [0 2000]"}, Case{"worker", "1000 1000 [1000 50 2000]"},
        Case{"1000", "1000 1000 [1000 50 2000]"}, Case{"4242", "4242 0 [0]"}, Case{"1000:50", "1000 50 [50]"},
        Case{"4242:4243", "4242 4243 [4243]"}, Case{"worker:builders", "1000 2000 [2000]"},
        Case{"lone", "1001 100 [100]"}}) {
    ExecRequest step = shell("echo $(id -u) $(id -g) [$(id -G)]");
    step.user = each.user;
    EXPECT_EQ(out_of(step), each.expected + "\n") << each.user;
  }
  for (const char* user : {"nobody-here", "worker:no-such-group"}) {
    ExecRequest step = shell("true");
    step.user = user;
    EXPECT_EQ(run(step).error(), base::ErrorCode::invalid_argument) << user;
  }
}

TEST_P(ExecutorSuite, host_name_and_hosts) {
  EXPECT_EQ(out_of(shell("hostname; cat /etc/hosts")),
            "buildkitsandbox\n127.0.0.1\tlocalhost buildkitsandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n");
  ExecRequest step = shell("hostname; tail -n 1 /etc/hosts; echo 1.2.3.4 x >> /etc/hosts || echo refused");
  step.hostname = "builder";
  step.extra_hosts = {{"db", "10.0.0.9"}};
  EXPECT_EQ(out_of(step), "builder\n10.0.0.9\tdb\nrefused\n");
}

TEST_P(ExecutorSuite, name_servers_are_the_host_s) {
  EXPECT_EQ(out_of(shell("cat /etc/resolv.conf")), test::read_text("/etc/resolv.conf"));
}

}  // namespace cairn::solver
