// SPDX-License-Identifier: Apache-2.0
// A crash point marks a place where a durable step has been half done. In production it costs one load of a flag.
// With CAIRN_CRASH_TRACE=FILE each pass appends "<name> <ordinal>\n" to FILE; with CAIRN_CRASH_AT=<name>#<ordinal>
// the process kills itself with SIGKILL there (ordinals count passes of one name from 1). The crash suite lists every
// CRASH_POINT in the source and fails if one of them is never passed.
#pragma once

namespace cairn::base {

extern bool crash_points_armed;  // set once at start from the environment
void pass_crash_point(const char* name);

}  // namespace cairn::base

// The name is a literal "<library>.<step>.<what has just been done>", unique in the tree.
#define CRASH_POINT(name)                                                              \
  do {                                                                                 \
    if (::cairn::base::crash_points_armed) [[unlikely]] ::cairn::base::pass_crash_point(name); \
  } while (false)
