// SPDX-License-Identifier: Apache-2.0
// How an explanation is said: in a line and some paths, or as JSON (docs/formats/cachectl-json.md).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "libcache/explain.h"

namespace cairn::cachectl {

// What is to blame, without the name of the step: `argument 2: "a" became "b"`.
std::string reason_line(const cache::Explanation& explanation, base::WallTime now);
// A line for each path, indented; "" if there are none.
std::string path_lines(const cache::Reason& reason);
nlohmann::ordered_json explanation_json(const cache::Explanation& explanation);
nlohmann::ordered_json reason_json(const cache::Reason& reason);

}  // namespace cairn::cachectl
