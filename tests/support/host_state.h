// SPDX-License-Identifier: Apache-2.0
// Looking at the machine from a test: files as they are, and which processes run.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/path.h"

namespace cairn::test {

std::string read_text(const std::string& path);                // "" if it cannot be read
std::vector<std::string> names_in(const base::HostPath& dir);  // sorted; empty if there is no such directory
std::optional<int> find_process(std::string_view argument);    // one that has this argument, not a zombie
// Asks until it holds. False after the bound, which is there only so that a failing test ends.
bool eventually(const std::function<bool()>& holds, std::chrono::seconds bound = std::chrono::seconds(30));

}  // namespace cairn::test
