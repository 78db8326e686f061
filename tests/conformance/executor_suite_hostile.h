// SPDX-License-Identifier: Apache-2.0
// Steps that do harm, to the machine, to others or to themselves; and what must not be told to anybody.
#pragma once

#include <thread>

#include "tests/conformance/executor_fixture.h"

namespace cairn::solver {

TEST_P(ExecutorSuite, a_step_may_delete_its_own_root) {
  EXPECT_EQ(out_of(shell("rm -rf /bin /etc /tmp 2> /dev/null; echo gone")), "gone\n");
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("etc")) << "the mounts in it were busy";
  EXPECT_THAT(test::names_in(root_ / "etc"), ::testing::IsEmpty());
  EXPECT_EQ(run(shell("true")).error(), base::ErrorCode::invalid_argument) << "there is no program any more";
}

TEST_P(ExecutorSuite, a_fork_bomb_stops_at_the_limit) {
  const auto limited = GetParam().open(temp_ / "state", StepLimits{.processes = 40});
  ASSERT_TRUE(limited) << limited.error().message;
  executor_ = limited->get();
  const Ran bomb = run(shell("i=0; while [ $i -lt 200 ]; do sleep 100 & i=$((i+1)); done; echo all"));
  ASSERT_TRUE(bomb.exit) << bomb.message();
  // Where no cgroup holds processes, there is no limit, which doctor says.
  if (why_no_step_limits().empty()) {
    EXPECT_NE(bomb.code(), 0) << bomb.out;
    EXPECT_EQ(bomb.exit->note, tells_limits() ? "the limit of 40 processes was reached" : "");
  } else {
    EXPECT_EQ(bomb.out, "all\n");
  }
  EXPECT_EQ(out_of(shell("echo others go on")), "others go on\n");
  executor_ = nullptr;
}

TEST_P(ExecutorSuite, a_step_that_takes_too_much_memory_is_killed_and_told_so) {
  const auto limited = GetParam().open(temp_ / "state", StepLimits{.memory_bytes = 32 << 20});
  ASSERT_TRUE(limited) << limited.error().message;
  executor_ = limited->get();
  // 64 MiB in a variable.
  const Ran hungry = run(shell("x=$(head -c 67108864 /dev/zero | tr '\\0' x); echo ${#x}"));
  ASSERT_TRUE(hungry.exit) << hungry.message();
  if (why_no_step_limits().empty()) {
    EXPECT_NE(hungry.code(), 0);
    EXPECT_EQ(hungry.exit->note, tells_limits() ? "a process was killed, for the memory limit of 33554432 bytes was reached" : "");
  } else {
    EXPECT_EQ(hungry.code(), 0);
  }
  executor_ = nullptr;
}

// How much of it is kept is for those to say who start steps; here nothing is held back or piled up.
TEST_P(ExecutorSuite, output_without_end_is_handed_over_in_small_pieces) {
  constexpr std::size_t size = 64 << 20, piece_max = 64 << 10;
  std::size_t arrived = 0, largest = 0;
  const auto exit = executor_->run(
      shell("yes | head -c 67108864"),
      [&](Stream, std::string_view text) {
        arrived += text.size();
        largest = std::max(largest, text.size());
      },
      {});
  ASSERT_TRUE(exit) << exit.error().message;
  EXPECT_EQ(arrived, size);
  EXPECT_LE(largest, piece_max);
}

TEST_P(ExecutorSuite, a_secret_is_where_it_was_mounted_and_nowhere_else) {
  const std::string secret = "a-word-that-nobody-else-uses-4711";
  const base::HostPath kept = make_dir("kept");
  put(kept, "secret", secret);
  ASSERT_EQ(::chmod((kept / "secret").c_str(), 0400), 0);
  ASSERT_EQ(::chown((kept / "secret").c_str(), 1000, 1000), 0);
  ExecRequest step = shell("cat /run/secret; stat -c ' %a %u' /run/secret; test \"$TOKEN\" = $(cat /run/secret) && sleep 100023");
  step.user = "worker";
  step.env = {"TOKEN=" + secret};
  step.mounts.push_back(bind("/run/secret", kept, "secret"));
  step.mounts.back().read_only = true;
  std::stop_source source;
  std::vector<std::string> told_to, written;
  std::jthread looker([&] {
    test::eventually([] { return test::find_process("100023").has_value(); });
    for (const std::string& pid : test::names_in(*base::HostPath::parse("/proc"))) {
      if (test::read_text("/proc/" + pid + "/cmdline").find(secret) != std::string::npos) told_to.push_back(pid);
    }
    written = test::names_in(state_ / step.id);
    source.request_stop();
  });
  const Ran ran = run(step, source.get_token());
  looker.join();
  EXPECT_EQ(ran.error(), base::ErrorCode::cancelled);
  EXPECT_EQ(ran.out, secret + " 400 1000\n");
  EXPECT_THAT(told_to, ::testing::IsEmpty()) << "command lines";
  EXPECT_THAT(written, ::testing::IsEmpty()) << "on the disk";
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "run", "tmp")) << "made for the mount, with nothing in it";
  EXPECT_THAT(test::names_in(root_ / "run"), ::testing::IsEmpty());
}

}  // namespace cairn::solver
