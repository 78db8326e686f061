// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/config_order.h"

#include <algorithm>

namespace cairn::solver {

base::Result<std::vector<std::size_t>> order_of_records(const CacheConfig& config) {
  std::vector<std::size_t> waits(config.records.size(), 0), order;
  std::vector<std::vector<std::size_t>> leads_to(config.records.size());
  for (std::size_t record = 0; record < config.records.size(); ++record) {
    for (const auto& input : config.records[record].inputs) {
      for (const CacheConfig::Input& way : input) {
        leads_to[way.link].push_back(record);
        ++waits[record];
      }
    }
    if (waits[record] == 0) order.push_back(record);
  }
  for (std::size_t next = 0; next < order.size(); ++next) {
    for (const std::size_t target : leads_to[order[next]]) {
      if (--waits[target] == 0) order.push_back(target);
    }
  }
  if (order.size() == config.records.size()) return order;
  const auto stuck = std::find_if(waits.begin(), waits.end(), [](std::size_t count) { return count > 0; });
  const auto& record = config.records[static_cast<std::size_t>(stuck - waits.begin())];
  return base::fail(base::ErrorCode::corrupt, "records in a circle, at or before {}", record.digest);
}

std::vector<std::string> blobs_below(const CacheConfig& config, std::size_t layer) {
  std::vector<std::string> blobs;
  for (auto at = static_cast<std::int64_t>(layer); at >= 0; at = config.layers[static_cast<std::size_t>(at)].parent) {
    blobs.push_back(config.layers[static_cast<std::size_t>(at)].blob);
  }
  std::reverse(blobs.begin(), blobs.end());
  return blobs;
}

}  // namespace cairn::solver
