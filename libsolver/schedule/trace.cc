// SPDX-License-Identifier: Apache-2.0
// What a solve has asked for, for the trace of its store: each output of each step, what came of it, and what it was made of.
// Steps that nobody had to ask for are in it, too, by the keys that are known of them: in a smaller store they would have been.
#include <algorithm>

#include "libcache/trace.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {

using cache::TracedLookup;

namespace {

constexpr std::size_t traced_keys_max = 32;

void add_keys(TracedLookup& traced, const std::vector<KeyDigest>& keys) {
  for (const KeyDigest& key : keys) {
    const cache::TracedKey one = cache::traced(key);
    if (traced.keys.size() == traced_keys_max) return;
    if (std::find(traced.keys.begin(), traced.keys.end(), one) == traced.keys.end()) traced.keys.push_back(one);
  }
}

TracedLookup::Ended ended(const Graph::Edge& edge, UseCache use_cache, const std::optional<cache::Counters>& counted) {
  const bool is_there = edge.state.phase == Phase::complete;
  if (use_cache == UseCache::no) return is_there ? TracedLookup::Ended::forced : TracedLookup::Ended::failed;
  if (!counted) return TracedLookup::Ended::not_asked;
  if (counted->hits > 0) return TracedLookup::Ended::hit;
  return is_there ? TracedLookup::Ended::made : TracedLookup::Ended::failed;
}

}  // namespace

void Run::trace(base::WallTime started, std::chrono::nanoseconds duration) const {
  cache::TracedSolve solve{.started = started, .duration = duration, .project = request_.owner.project};
  std::unordered_map<EdgeIndex, std::uint32_t> place;
  for (NodeIndex node = 0; node < graph_.nodes(); ++node) {
    for (const auto& [output, index] : graph_.node(node).edges) {
      const Graph::Edge& edge = graph_.edge(index);
      if (index >= lookups_.size() || edge.into) continue;  // nothing began; or another one did everything for it
      TracedLookup traced;
      traced.ended = ended(edge, graph_.node(node).use_cache, lookups_[index].counted);
      if (edge.state.phase == Phase::complete && refs_[index]) traced.record = refs_[index]->id();
      add_keys(traced, edge.state.keys);
      add_keys(traced, edge.stored_keys);
      const Graph::Node& step = graph_.node(node);
      for (std::size_t input = 0; input < step.inputs.size(); ++input) {
        const auto found = place.find(graph_.leader_of(step.inputs[input]));
        if (found == place.end()) continue;
        const bool by_content = input < step.content.size() && step.content[input].doing != Graph::Doing::idle;
        traced.inputs.push_back({found->second, by_content});
      }
      place.emplace(index, static_cast<std::uint32_t>(solve.lookups.size()));
      solve.lookups.push_back(std::move(traced));
    }
  }
  shared_.trace->add(std::move(solve));
}

}  // namespace cairn::solver
