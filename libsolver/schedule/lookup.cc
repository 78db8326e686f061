// SPDX-License-Identifier: Apache-2.0
// How an edge finds its key: a source by its root keys, any other by following links from the keys of its inputs. A key
// that all inputs lead to is one under which somebody stored this very step.
#include <algorithm>

#include "libsolver/cache_key.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {
namespace {

template <class T>
bool contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

template <class T>
bool add_new(std::vector<T>& values, const T& value) {
  if (contains(values, value)) return false;
  values.push_back(value);
  return true;
}

base::Sha256Bytes selector_bytes(const CacheMapDep& dep) {
  return dep.selector ? dep.selector->bytes() : base::Sha256Bytes{};
}

}  // namespace

base::Status Run::probe(EdgeIndex index, Reader& reader) {
  const Node& node = nodes_[edges_[index].node];
  if (node.inputs.empty()) return probe_root(index, reader);
  bool found = false;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const std::size_t before = edges_[index].probes[i].targets.size();
    TRY(probe_input(index, i, reader));
    found = found || edges_[index].probes[i].targets.size() != before;
  }
  if (found) TRY(collect_matches(index, reader));
  return {};
}

base::Status Run::probe_root(EdgeIndex index, Reader& reader) {
  Edge& edge = edges_[index];
  if (edge.root_probed) return {};
  edge.root_probed = true;
  const OpIdentity& identity = nodes_[edge.node].identity;
  std::vector<KeyDigest> keys;
  for (const CacheMap& map : identity.maps) {
    if (map.digest.scope == OpDigest::Scope::portable) keys.push_back(root_key(map.digest, edge.output));
  }
  keys.insert(keys.end(), identity.extra_keys.begin(), identity.extra_keys.end());
  for (const KeyDigest& key : keys) {
    if (!add_new(edge.keys, key)) continue;
    add_new(edge.stored_keys, key);
    for (cache::KeyResult& result : TRY(reader.results(key))) edge.candidates.push_back(result);
  }
  return {};
}

base::Status Run::probe_input(EdgeIndex index, std::size_t input, Reader& reader) {
  Edge& edge = edges_[index];
  const Node& node = nodes_[edge.node];
  DepProbe& probe = edge.probes[input];
  const std::vector<KeyDigest>& keys = edges_[node.inputs[input]].keys;
  for (const CacheMap& map : node.identity.maps) {
    cache::KeyLink link{.from = {}, .input = static_cast<std::uint32_t>(input), .operation = map.digest.hash,
                        .output = edge.output, .selector = selector_bytes(map.deps[input])};
    for (std::size_t k = probe.keys_probed; k < keys.size(); ++k) {
      link.from = keys[k];
      for (const KeyDigest& target : TRY(reader.follow(link))) add_new(probe.targets, target);
    }
    const ContentKey& content = node.content[input];
    if (content.phase == Phase::done && content.key && !probe.content_probed) {
      link.from = *content.key;
      link.selector = {};  // the selection is in the key already (spec/solver 3.6)
      for (const KeyDigest& target : TRY(reader.follow(link))) add_new(probe.targets, target);
    }
  }
  probe.keys_probed = keys.size();
  probe.content_probed = node.content[input].phase == Phase::done;
  return {};
}

base::Status Run::collect_matches(EdgeIndex index, Reader& reader) {
  Edge& edge = edges_[index];
  for (const KeyDigest& target : edge.probes.front().targets) {
    const bool in_all = std::all_of(edge.probes.begin() + 1, edge.probes.end(),
                                    [&](const DepProbe& probe) { return contains(probe.targets, target); });
    if (!in_all || !add_new(edge.keys, target)) continue;
    add_new(edge.stored_keys, target);
    for (cache::KeyResult& result : TRY(reader.results(target))) edge.candidates.push_back(result);
  }
  return {};
}

// Results are tried newest first; one that is gone is no result.
base::Result<bool> Run::try_candidates(EdgeIndex index) {
  Edge& edge = edges_[index];
  if (edge.desire < Level::complete || edge.candidates.empty()) return false;
  std::stable_sort(edge.candidates.begin(), edge.candidates.end(),
                   [](const auto& a, const auto& b) { return a.created < b.created; });
  while (!edge.candidates.empty()) {
    const cache::KeyResult best = edge.candidates.back();
    edge.candidates.pop_back();
    OptionalRef ref;
    if (best.record) {
      ref = TRY(shared_.cache.find(best.record));
      if (!ref) continue;
    }
    nodes_[edge.node].hit = true;
    complete(index, std::move(ref));
    report_finished(edge.node, StepState::cached);
    return true;
  }
  return false;
}

}  // namespace cairn::solver
