// SPDX-License-Identifier: Apache-2.0
// How steps end: by themselves, not at all, or because they must. In every case nothing of them is left.
#pragma once

#include <signal.h>

#include <thread>

#include "tests/conformance/executor_fixture.h"

namespace cairn::solver {

TEST_P(ExecutorSuite, exit_codes_are_the_program_s) {
  const Ran three = run(shell("exit 3"));
  ASSERT_TRUE(three.exit) << three.message();
  EXPECT_EQ(three.exit->code, 3);
  EXPECT_FALSE(three.exit->valid);
  ExecRequest allowed = shell("exit 3");
  allowed.valid_exit_codes = {0, 3};
  EXPECT_TRUE(run(allowed).exit->valid);
  ExecRequest only_three = shell("exit 0");
  only_three.valid_exit_codes = {3};
  EXPECT_FALSE(run(only_three).exit->valid);
  EXPECT_EQ(run(shell("exit 1")).code(), 1) << "not an error of the runtime";
  EXPECT_EQ(run(shell("exit 127")).code(), 127);
}

TEST_P(ExecutorSuite, a_signal_is_128_and_its_number) {
  EXPECT_EQ(run(shell("sh -c 'kill -SEGV $$'; exit $?")).code(), 128 + SIGSEGV);
  std::jthread killer([] {
    std::optional<int> pid;
    test::eventually([&] { return (pid = test::find_process("100017")).has_value(); });
    if (pid) ::kill(*pid, SIGKILL);
  });
  EXPECT_EQ(run(request({"sleep", "100017"})).code(), 128 + SIGKILL);
}

TEST_P(ExecutorSuite, a_program_that_cannot_be_run_is_named) {
  for (const char* program : {"no-such-program", "/bin/no-such-program"}) {
    const Ran ran = run(request({program}));
    ASSERT_FALSE(ran.exit);
    EXPECT_EQ(ran.error(), base::ErrorCode::invalid_argument) << ran.message();
    EXPECT_THAT(ran.message(), ::testing::HasSubstr(std::string("run \"") + program + "\": not found"));
  }
  ASSERT_TRUE(test::put_file(root_, "plain", "text", 0644));
  const Ran plain = run(request({"/plain"}));
  ASSERT_FALSE(plain.exit);
  EXPECT_EQ(plain.error(), base::ErrorCode::invalid_argument);
  EXPECT_THAT(plain.message(), ::testing::HasSubstr("run \"/plain\": not executable"));
  ASSERT_TRUE(test::put_file(root_, "garbage", "text", 0755));
  const Ran garbage = run(request({"/garbage"}));
  ASSERT_FALSE(garbage.exit);
  EXPECT_EQ(garbage.error(), base::ErrorCode::invalid_argument) << garbage.message();
  EXPECT_THAT(garbage.message(), ::testing::HasSubstr("run \"/garbage\": not a program"));
  ASSERT_TRUE(test::put_file(root_, "script", "#!/no/shell\n", 0755));
  const Ran script = run(request({"/script"}));
  ASSERT_FALSE(script.exit);
  EXPECT_THAT(script.message(), ::testing::HasSubstr("run \"/script\": "));
}

TEST_P(ExecutorSuite, no_output_is_lost) {
  constexpr std::size_t size = 10 << 20;
  const Ran ran = run(shell("yes out | head -c 10485760; yes err | head -c 10485760 >&2"));
  ASSERT_EQ(ran.code(), 0) << ran.message();
  EXPECT_EQ(ran.out.size(), size);
  EXPECT_EQ(ran.err.size(), size);
  EXPECT_TRUE(ran.out.ends_with("out\nout\n"));
}

TEST_P(ExecutorSuite, closing_its_output_does_not_end_a_step) {
  const Ran ran = run(shell("exec >&- 2>&-; sleep 0.2; exit 5"));
  EXPECT_EQ(ran.code(), 5) << ran.message();
}

TEST_P(ExecutorSuite, what_a_step_left_running_is_dead_when_it_ends) {
  EXPECT_EQ(out_of(shell("setsid sh -c 'sleep 100018' >/dev/null 2>&1 & setsid sleep 100019 & "
                         "while ! ps | grep -q 'sleep 10001[9]'; do usleep 1000; done; echo left")),
            "left\n");
  EXPECT_EQ(test::find_process("100018"), std::nullopt);
  EXPECT_EQ(test::find_process("100019"), std::nullopt);
}

TEST_P(ExecutorSuite, a_stop_request_kills_everything_at_once) {
  std::stop_source source;
  std::jthread stopper([&source] {
    test::eventually([] { return test::find_process("100021").has_value(); });
    source.request_stop();
  });
  const Ran ran = run(
      shell("trap '' TERM INT HUP; setsid sleep 100020 & setsid sh -c 'trap \"\" TERM; sleep 100021'; sleep 100022"),
      source.get_token());
  ASSERT_FALSE(ran.exit);
  EXPECT_EQ(ran.error(), base::ErrorCode::cancelled);
  for (const char* left : {"100020", "100021", "100022"}) EXPECT_EQ(test::find_process(left), std::nullopt) << left;
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "tmp"));
}

TEST_P(ExecutorSuite, a_step_stopped_before_it_began_does_not_run) {
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(run(shell("touch /ran"), source.get_token()).error(), base::ErrorCode::cancelled);
  EXPECT_EQ(processes_run(), 0u);
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "tmp"));
}

TEST_P(ExecutorSuite, many_steps_run_at_once) {
  constexpr int count = 16;
  std::vector<ExecRequest> steps;
  for (int i = 0; i < count; ++i) {
    const base::HostPath own_root = temp_ / ("root-" + std::to_string(i));
    ASSERT_TRUE(test::make_busybox_root(own_root));
    ExecRequest step = shell(
        "echo $0 > /data/me; until [ $(ls /all | wc -l) = 16 ]; do touch /all/$0; usleep 5000; done; "
        "cat /data/me");
    step.args.push_back("step" + std::to_string(i));
    step.mounts.clear();
    step.mounts.push_back(bind("/", own_root));
    step.mounts.push_back(bind("/data", make_dir("data-" + std::to_string(i))));
    if (i == 0) make_dir("all");
    step.mounts.push_back(bind("/all", temp_ / "all"));
    steps.push_back(std::move(step));
  }
  std::vector<Ran> results(count);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back([&, i] { results[i] = run(steps[i]); });
  }
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(results[i].code(), 0) << results[i].message() << results[i].err;
    EXPECT_EQ(results[i].out, "step" + std::to_string(i) + "\n");
  }
  EXPECT_EQ(processes_run(), static_cast<std::uint64_t>(count));
}

TEST_P(ExecutorSuite, an_id_in_use_is_busy) {
  std::stop_source source;
  ExecRequest first = request({"sleep", "100024"}), second = shell("true");
  first.id = second.id = "same";
  std::jthread runner([&] { run(first, source.get_token()); });
  ASSERT_TRUE(test::eventually([] { return test::find_process("100024").has_value(); }));
  EXPECT_EQ(run(second).error(), base::ErrorCode::busy);
  source.request_stop();
  runner.join();
  second.mounts.clear();
  second.mounts.push_back(bind("/", root_));
  EXPECT_EQ(run(second).code(), 0) << "the id is free again";
}

}  // namespace cairn::solver
