// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "libcache/account/metric_text.h"
#include "libcache/tiers.h"

namespace cairn::cache {

namespace {

constexpr std::array<std::string_view, tier_faults> fault_names = {"io", "busy", "unavailable", "corrupt", "other"};

template <class Statistics>
struct Counter {
  std::string_view name, type, help;
  std::uint64_t (*value)(const Statistics& one);
};

constexpr Counter<TierStatistics> counters[] = {
    {"cairn_tier_hits_total", "counter", "Entries that a tier had.", [](const auto& tier) { return tier.hits; }},
    {"cairn_tier_misses_total", "counter", "Entries that it had not.", [](const auto& tier) { return tier.misses; }},
    {"cairn_tier_blobs_in_total", "counter", "Blobs that came from it.",
     [](const auto& tier) { return tier.blobs_in; }},
    {"cairn_tier_bytes_in_total", "counter", "Bytes that came from it.",
     [](const auto& tier) { return tier.bytes_in; }},
    {"cairn_tier_entries_out_total", "counter", "Entries that it took.",
     [](const auto& tier) { return tier.entries_out; }},
    {"cairn_tier_blobs_out_total", "counter", "Blobs that it took.", [](const auto& tier) { return tier.blobs_out; }},
    {"cairn_tier_bytes_out_total", "counter", "Bytes sent to it.", [](const auto& tier) { return tier.bytes_out; }},
    {"cairn_tier_hedges_total", "counter", "Requests begun because another took long.",
     [](const auto& tier) { return tier.hedges; }},
    {"cairn_tier_skipped_total", "counter", "Calls not made because it rested.",
     [](const auto& tier) { return tier.skipped; }},
    {"cairn_tier_dropped_total", "counter", "Entries that were not sent.",
     [](const auto& tier) { return tier.dropped; }},
    {"cairn_tier_packs_out_total", "counter", "Packs of small objects that it took.",
     [](const auto& tier) { return tier.packing.packs_out; }},
    {"cairn_tier_pack_bytes_out_total", "counter", "Bytes of those packs.",
     [](const auto& tier) { return tier.packing.pack_bytes_out; }},
    {"cairn_tier_known_objects", "gauge", "Objects known to be in it.",
     [](const auto& tier) { return tier.packing.objects_known; }},
    {"cairn_tier_lookups_spared_total", "counter", "Lookups answered without a request to it.",
     [](const auto& tier) { return tier.packing.lookups_spared; }},
    {"cairn_tier_puts_spared_total", "counter", "Blobs not sent because they are known to be there.",
     [](const auto& tier) { return tier.packing.puts_spared; }},
    {"cairn_tier_unsent", "gauge", "Entries that wait to be sent.",
     [](const auto& tier) -> std::uint64_t { return tier.unsent; }},
    {"cairn_tier_reading_state", "gauge", "0: it is read; 1: it is tried; 2: it rests.",
     [](const auto& tier) -> std::uint64_t { return static_cast<std::uint64_t>(tier.reading); }},
    {"cairn_tier_writing_state", "gauge", "0: it is written; 1: it is tried; 2: it rests.",
     [](const auto& tier) -> std::uint64_t { return static_cast<std::uint64_t>(tier.writing); }},
};

constexpr Counter<TierPeerStatistics> peer_counters[] = {
    {"cairn_tier_peer_requests_total", "counter", "Requests made of a peer.",
     [](const auto& peer) { return peer.requests; }},
    {"cairn_tier_peer_errors_total", "counter", "Those that failed, or that another peer overtook.",
     [](const auto& peer) { return peer.errors; }},
    {"cairn_tier_peer_hedges_total", "counter", "Those made because another peer took long.",
     [](const auto& peer) { return peer.hedges; }},
    {"cairn_tier_peer_missed_total", "counter", "Reads of what it had not and its mirror had.",
     [](const auto& peer) { return peer.missed; }},
    {"cairn_tier_peer_bytes_in_total", "counter", "Bytes that came from it.",
     [](const auto& peer) { return peer.bytes_in; }},
    {"cairn_tier_peer_bytes_out_total", "counter", "Bytes sent to it.",
     [](const auto& peer) { return peer.bytes_out; }},
    {"cairn_tier_peer_state", "gauge", "0: it is asked; 1: it is tried; 2: it rests.",
     [](const auto& peer) -> std::uint64_t { return static_cast<std::uint64_t>(peer.state); }},
};

}  // namespace

std::string_view to_string(BreakerState state) {
  constexpr std::array<std::string_view, 3> names = {"closed", "half open", "open"};
  return names[static_cast<std::size_t>(state)];
}

std::string prometheus_text(std::span<const TierStatistics> tiers) {
  std::string text, faults;
  for (const auto& counter : counters) {
    std::string samples;
    for (const TierStatistics& tier : tiers)
      samples += fmt::format("{}{{tier=\"{}\"}} {}\n", counter.name, metric_label(tier.name), counter.value(tier));
    text += metric_family(counter.name, counter.type, counter.help, samples);
  }
  for (const auto& counter : peer_counters) {
    std::string samples;
    for (const TierStatistics& tier : tiers)
      for (const TierPeerStatistics& peer : tier.peers)
        samples += fmt::format("{}{{tier=\"{}\",peer=\"{}\"}} {}\n", counter.name, metric_label(tier.name),
                               metric_label(peer.name), counter.value(peer));
    if (!samples.empty()) text += metric_family(counter.name, counter.type, counter.help, samples);
  }
  for (const TierStatistics& tier : tiers)
    for (std::size_t i = 0; i < tier_faults; ++i)
      faults += fmt::format("cairn_tier_faults_total{{tier=\"{}\",kind=\"{}\"}} {}\n", metric_label(tier.name),
                            fault_names[i], tier.faults[i]);
  return text + metric_family("cairn_tier_faults_total", "counter", "What went wrong with it.", faults);
}

}  // namespace cairn::cache
