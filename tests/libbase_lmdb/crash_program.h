// SPDX-License-Identifier: Apache-2.0
// What the crash tests run in a process of its own: two groups with data, in a given order of names and data.
#pragma once

#include <string>

namespace cairn::test {

// order: "data_first" or "names_first". The exit code is 0 where all went well.
int crash_program(const std::string& dir, const std::string& order);

}  // namespace cairn::test
