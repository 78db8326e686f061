// SPDX-License-Identifier: Apache-2.0
// How answers are printed with --json: one object on one line. What is no UTF-8 in names of steps and files is replaced.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace cairn::cachectl {

inline std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}
inline std::string json_line(const nlohmann::ordered_json& json) { return json_text(json) + "\n"; }

}  // namespace cairn::cachectl
