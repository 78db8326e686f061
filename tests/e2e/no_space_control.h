// SPDX-License-Identifier: Apache-2.0
// What a test and the shim in a program that it runs share (no_space_shim.cc): a mapped file that holds this alone.
#pragma once

#include <atomic>
#include <cstdint>

namespace cairn::test {

struct NoSpaceControl {
  // Numbers of the calls that take room on the disk, from 1. Those of [fail_from, fail_below) get ENOSPC.
  std::uint64_t fail_from = 0, fail_below = 0;
  std::uint64_t device = 0;        // the disk: st_dev of what lies on it
  std::uint64_t other_device = 0;  // an overlay that has nothing to do with it: that of the machine's root, if it is one
  std::atomic<std::uint64_t> calls{0}, failed{0};
  std::atomic<std::uint64_t> pauses{0};  // sleeps: somebody waits before he tries again
  char first_failed[240] = {};  // "mkdir in /…/trees"
};

inline constexpr const char* no_space_variable = "CAIRN_NO_SPACE_CONTROL";

}  // namespace cairn::test
