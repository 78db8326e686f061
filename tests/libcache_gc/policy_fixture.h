// SPDX-License-Identifier: Apache-2.0
// Records with sizes, ages and costs that a test says, and what is live of them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "libcache/policy.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {

struct PolicyStore : OpenStore {
  using OpenStore::OpenStore;
  struct Wanted {
    std::size_t bytes = 4096;
    std::optional<KeyDigest> key{};
    RecordType type = RecordType::regular;
    std::chrono::nanoseconds build_time{std::chrono::seconds(1)};
    std::string description{};
    std::vector<KeyDigest> made_of{};  // keys that lead on to `key`
  };

  // Not durable yet: sync() or a prune waits.
  ImmutableRef add(std::optional<ImmutableRef> parent, const Wanted& wanted) {
    Publication publication;
    RecordFacts facts;
    facts.type = wanted.type;
    facts.build_time = wanted.build_time;
    facts.description = wanted.description;
    ImmutableRef ref =
        commit(publication, std::move(parent), "file" + std::to_string(++files), std::string(wanted.bytes, 'x'), facts);
    if (wanted.key) publication.add_result(*wanted.key, ref);
    for (std::uint32_t i = 0; i < wanted.made_of.size(); ++i)
      publication.add_link({.from = wanted.made_of[i], .input = i}, *wanted.key);
    last = must(cache->publish(std::move(publication)));
    return ref;
  }
  void sync() { must(writer->wait_durable(last)); }
  void use(RecordId id) { EXPECT_TRUE(must(cache->find(id))); }
  bool has(RecordId id) { return must(cache->find(id)).has_value(); }

  // What ceilings and floors compare.
  std::int64_t live() { return must(cache->disk_usage()).live_bytes(); }
  static DiskSpace disk(std::int64_t free_bytes = 90'000'000) {
    return {.total_bytes = 100'000'000, .free_bytes = free_bytes};
  }
  PruneReport run(const Policy& policy, const DiskSpace& on = disk()) {
    return must(cache->prune({.policy = policy, .disk = on}));
  }
  PruneReport rehearse(const Policy& policy, const DiskSpace& on = disk()) {
    return must(cache->prune({.dry_run = true, .policy = policy, .disk = on}));
  }

  std::size_t files = 0;
  base::lmdb::SequenceNumber last = 0;
};

inline std::vector<RecordId> ids_of(const PruneReport& report) {
  std::vector<RecordId> ids;
  for (const PrunedRecord& record : report.records) ids.push_back(record.id);
  return ids;
}

inline Policy policy_of(std::vector<PolicyRule> rules, PolicyOrder order = PolicyOrder::cost) {
  Policy policy;
  policy.order = order;
  policy.rules = std::move(rules);
  return policy;
}

inline RecordFilter filter(std::string_view text) { return must(RecordFilter::parse(text)); }

}  // namespace cairn::cache
