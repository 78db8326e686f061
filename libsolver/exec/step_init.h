// SPDX-License-Identifier: Apache-2.0
// What the engine tells the first program of a bubblewrap step (step_init/main.cc), and what that program answers. Both are
// of one build, so there is no version: the header, then groups, then limits, then texts that each end with a NUL (the
// working directory, the arguments, the environment).
#pragma once

#include <cstdint>

namespace cairn::solver::step_init {

// Descriptors that it is started with. The filter is bubblewrap's, which loads it, where a step has one.
enum : int { program_fd = 3, plan_fd = 4, report_fd = 5, call_filter_fd = 6 };

struct Header {
  std::uint64_t capabilities;
  std::uint32_t uid, gid;
  std::uint32_t groups, limits, arguments, variables;  // how many
  std::uint32_t raise_loopback;                        // 1: the network is the step's own and has nothing yet
  std::uint32_t uncover_proc;                          // 1: take away what bubblewrap puts over parts of /proc
};

struct Limit {
  std::uint64_t soft, hard;
  std::uint32_t resource, unused;
};

enum class Stage : std::uint32_t {
  started,        // the sandbox is complete; said first, and alone if nothing fails
  network,
  proc,
  limit,          // detail: which
  directory,
  groups,
  user,
  capabilities,
  not_found,      // of the program
  not_executable,
  not_a_program,
  no_interpreter,
  execute,        // any other reason
};

struct Report {
  Stage stage;
  std::int32_t error;  // errno
  std::uint32_t detail;
};

}  // namespace cairn::solver::step_init
