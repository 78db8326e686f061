// SPDX-License-Identifier: Apache-2.0
// What crash_point_test runs: passes "test.first" twice and "test.second" once between them, then says so.
#include <cstdio>

#include "libbase/crash_point.h"

int main() {
  CRASH_POINT("test.first");
  CRASH_POINT("test.second");
  CRASH_POINT("test.first");
  std::puts(cairn::base::crash_points_armed ? "armed" : "not armed");
  return 0;
}
