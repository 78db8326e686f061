// SPDX-License-Identifier: Apache-2.0
// How a record is printed with --json (docs/formats/cachectl-json.md).
#pragma once

#include <nlohmann/json.hpp>

#include "tools/cachectl/command.h"

namespace cairn::cachectl {

inline nlohmann::ordered_json record_json(const cache::RecordInfo& record) {
  nlohmann::ordered_json parents = nlohmann::ordered_json::array();
  for (cache::RecordId parent : record.parents) parents.push_back(std::to_string(parent.value()));
  return {{"id", std::to_string(record.id.value())},
          {"type", std::string(cache::to_string(record.facts.type))},
          {"bytes", record.usage.bytes},
          {"parents", std::move(parents)},
          {"last_used", rfc3339(record.last_used)},
          {"created", rfc3339(record.created)},
          {"description", record.facts.description}};
}

}  // namespace cairn::cachectl
