// SPDX-License-Identifier: Apache-2.0
// Statistics of a solve. What it asks for of one output of a step is one lookup, and ends as a hit or as a miss: as a hit
// when a stored result is taken, as a miss when the step has to run (also if it fails, or somebody else runs it). What
// nobody had to ask for, because a later step was found, is no lookup; nor is what ignores the cache, or was merged into
// another step. It is counted at the end of the solve, in memory.
#include "libsolver/schedule/count.h"

#include <algorithm>
#include <set>
#include <utility>

#include "libcache/history.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {

using cache::MissCause;

Missed why_missed(cache::Cache& cache, const KeyPlan& plan) {
  Missed missed;
  const base::Status read = cache.keys().read([&](cache::KeyStore::Reader&) -> base::Status {
    for (const std::vector<KeyDigest>& keys : plan.results) {
      for (const KeyDigest& key : keys) {
        missed.evicted = TRY(cache.find_tombstone(key));
        if (!missed.evicted) continue;
        missed.cause = missed.evicted->rule == cache::damage_rule ? MissCause::error : MissCause::evicted;
        return {};
      }
    }
    std::set<std::pair<base::Sha256Bytes, std::uint32_t>> asked;
    for (const auto& [link, target] : plan.links) {
      if (!asked.emplace(link.operation, link.output).second) continue;
      const bool known = TRY(cache.knows_operation(link.operation, link.output));
      if (known) missed.cause = MissCause::key_differs;
    }
    return {};
  });
  if (!read) return Missed{};
  return missed;
}

std::string owner_label(std::string_view name) {
  std::size_t size = std::min(name.size(), cache::owner_label_bytes_max);
  if (size < name.size()) {
    while (size > 0 && (static_cast<unsigned char>(name[size]) & 0xc0u) == 0x80u) --size;
  }
  return std::string(name.substr(0, size));
}

// An error says more than that what was found is gone.
void Run::note_error(EdgeIndex edge, std::size_t store, const base::Error& error) {
  lookups_[edge].trouble = stores_[store]->cause_of(error);
}

void Run::note_gone(EdgeIndex edge) {
  if (!lookups_[edge].trouble) lookups_[edge].trouble = MissCause::evicted;
}

void Run::count_hit(EdgeIndex edge, const OptionalRef& ref) {
  Lookup& lookup = lookups_[edge];
  lookup.counted = ref ? shared_.cache.one_hit(*ref) : cache::Counters{.hits = 1};
  const cache::RecordId taken = ref ? ref->id() : cache::RecordId();
  for (const auto& [record, key] : lookup.found) {
    if (record == taken) lookup.hit = key;
  }
}

// Before the graph hears of it.
void Run::count_executed(NodeIndex node, const OpOutputs& outputs) {
  if (graph_.node(node).use_cache == UseCache::no) return;
  for (const auto& [output, edge] : graph_.node(node).edges) {
    if (graph_.edge(edge).state.work != EdgeState::Work::execute) continue;
    if (outputs.found) {
      count_hit(edge, outputs.refs[output]);
    } else {
      lookups_[edge].counted = cache::one_miss(lookups_[edge].trouble.value_or(outputs.cause));
    }
  }
}

void Run::count_lookups() {
  cache::Counters all;
  for (NodeIndex node = 0; node < steps_.size(); ++node) {
    bool saved_time = steps_[node].ran;  // one output was found, and it ran for another: no time was saved
    for (const auto& [output, edge] : graph_.node(node).edges) {
      if (edge >= lookups_.size()) continue;  // the solve failed before it began
      std::optional<cache::Counters>& counted = lookups_[edge].counted;
      const EdgeState& state = graph_.edge(edge).state;
      if (!counted && state.work == EdgeState::Work::execute && state.use_cache == UseCache::yes) {
        // It had to run, and has not come to an end.
        const auto cause = lookups_[edge].trouble;
        counted = cache::one_miss(
            cause ? *cause : why_missed(shared_.cache, graph_.plan_keys(node, steps_[node].op->outputs())).cause);
      }
      if (!counted) continue;
      if (counted->hits > 0 && std::exchange(saved_time, true)) counted->time_saved = {};
      all += *counted;
    }
  }
  shared_.cache.count(all, request_.owner);
}

void Run::note_lookups(SolveOutcome& outcome) const {
  for (NodeIndex node = 0; node < steps_.size(); ++node) {
    StepResult& step = outcome.steps[node];
    for (const auto& [output, edge] : graph_.node(node).edges) {
      if (edge >= lookups_.size()) continue;  // the solve failed before it began
      const Lookup& lookup = lookups_[edge];
      const EdgeState& state = graph_.edge(edge).state;
      step.keys_tried += state.keys_read;
      for (std::size_t key = 0; key < state.keys_read && step.keys.size() < cache::tried_keys_max; ++key) step.keys.push_back(state.keys[key]);
      if (lookup.hit) step.hit = lookup.hit;
      for (std::size_t cause = 0; lookup.counted && cause < cache::miss_causes; ++cause) {
        if (lookup.counted->misses[cause] != 0) step.missed = static_cast<MissCause>(cause);
      }
    }
  }
}

}  // namespace cairn::solver
