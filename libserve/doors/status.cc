// SPDX-License-Identifier: Apache-2.0
// What the store is and was good for, for people (/status) and for Prometheus (/metrics).
#include <nlohmann/json.hpp>

#include "libcache/cache.h"
#include "libcache/prometheus.h"
#include "libserve/doors/service.h"

namespace cairn::serve {

using nlohmann::ordered_json;

namespace {

ordered_json tier_document(const cache::TierStatistics& tier) {
  ordered_json peers = ordered_json::array();
  for (const cache::TierPeerStatistics& peer : tier.peers)
    peers.push_back({{"name", peer.name},
                     {"state", to_string(peer.state)},
                     {"requests", peer.requests},
                     {"errors", peer.errors},
                     {"hedges", peer.hedges},
                     {"missed", peer.missed},
                     {"bytes_in", peer.bytes_in},
                     {"bytes_out", peer.bytes_out}});
  return {{"name", tier.name},
          {"reading", to_string(tier.reading)},
          {"writing", to_string(tier.writing)},
          {"hits", tier.hits},
          {"misses", tier.misses},
          {"unsent", tier.unsent},
          {"dropped", tier.dropped},
          {"peers", std::move(peers)}};
}

}  // namespace

Reply Service::status_reply() {
  const auto usage = intake_.cache.disk_usage();
  if (!usage) return error_reply(usage.error());
  const auto statistics = intake_.cache.statistics();
  if (!statistics) return error_reply(statistics.error());
  ordered_json doors = ordered_json::array();
  for (const auto& [project, counters] : *statistics) {
    const std::uint64_t misses = counters.all_misses(), all = counters.hits + misses;
    const double rate = all == 0 ? 0 : static_cast<double>(counters.hits) / static_cast<double>(all);
    doors.push_back({{"project", project}, {"hits", counters.hits}, {"misses", misses}, {"hit_rate", rate}, {"bytes_saved", counters.bytes_saved}});
  }
  ordered_json tiers = ordered_json::array();
  if (intake_.tiers != nullptr)
    for (const auto& tier : intake_.tiers->statistics()) tiers.push_back(tier_document(tier));
  const ordered_json document = {{"format", 1},
                                 {"live_bytes", usage->live_bytes()},
                                 {"live_bytes_max", intake_.live_bytes_max},
                                 {"total_bytes", usage->total_bytes},
                                 {"records", usage->records},
                                 {"blobs", usage->blobs},
                                 {"projects", std::move(doors)},
                                 {"tiers", std::move(tiers)}};
  return {.headers = {{"Content-Type", "application/json"}},
          .text = document.dump(2, ' ', true, ordered_json::error_handler_t::replace) + "\n"};
}

Reply Service::metrics_reply() {
  cache::StoreMetrics metrics;
  if (auto statistics = intake_.cache.statistics()) metrics.projects = std::move(*statistics);
  if (const auto regret = intake_.cache.regret()) metrics.regret = *regret;
  std::string text = cache::prometheus_text(metrics);
  if (const auto usage = intake_.cache.disk_usage()) text += cache::prometheus_text(*usage);
  if (intake_.tiers != nullptr) text += cache::prometheus_text(intake_.tiers->statistics());
  return {.headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, .text = text + metrics_()};
}

}  // namespace cairn::serve
