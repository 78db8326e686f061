// SPDX-License-Identifier: Apache-2.0
// What the crash suites know of crash points (libbase/crash_point.h): those in the source, and those that a run passed.
#pragma once

#include <set>
#include <string>
#include <vector>

namespace cairn::test {

// One time that a run came to a crash point; str() is what CAIRN_CRASH_AT takes.
struct Pass {
  std::string name;
  unsigned ordinal = 0;
  std::string str() const { return name + "#" + std::to_string(ordinal); }
};

// Of a file that CAIRN_CRASH_TRACE named, in their order.
std::vector<Pass> passes_in(const std::string& trace);
// Of each point the first two passes and the last: a loop's middle is like its beginning.
std::vector<Pass> ends_of(const std::vector<Pass>& passes);

// The names that the sources below these directories give to CRASH_POINT.
std::set<std::string> crash_points_in(const std::vector<std::string>& directories);

}  // namespace cairn::test
