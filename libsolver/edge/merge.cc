// SPDX-License-Identifier: Apache-2.0
// Finds edges that turn out equal: the same operation and output, and inputs that are the same edge or have a key in
// common. One of them is parked and mirrors the other.
#include <algorithm>
#include <cstring>

#include "libsolver/edge/graph.h"

namespace cairn::solver {
namespace {

std::uint64_t word_of(const base::Sha256Bytes& bytes) {
  std::uint64_t word;
  std::memcpy(&word, bytes.data(), sizeof word);
  return word;
}

// Digests are uniform, so a multiplication by an odd number keeps apart what comes after what.
std::uint64_t mix(std::uint64_t seed, std::uint64_t word) { return (seed ^ word) * 0x9e3779b97f4a7c15u; }

base::Sha256Bytes selector_of(const CacheMapDep& dep) { return dep.selector ? dep.selector->bytes() : base::Sha256Bytes{}; }

bool share_key(const EdgeState& a, const EdgeState& b) {
  for (std::size_t i = a.keys_begin; i < a.keys.size(); ++i) {
    if (std::find(b.keys.begin() + b.keys_begin, b.keys.end(), a.keys[i]) != b.keys.end()) return true;
  }
  return false;
}

}  // namespace

// Each token is a way in which another edge could be equal to this one. Two edges with a token in common are compared.
std::vector<std::uint64_t> Graph::tokens(EdgeIndex index) const {
  const Edge& edge = edges_[index];
  const Node& node = nodes_[edge.node];
  std::vector<std::uint64_t> found;
  for (std::uint32_t m = 0; m < edge.state.maps; ++m) {
    const CacheMap& map = node.maps[m];
    const std::uint64_t operation =
        mix(word_of(map.digest.hash), (std::uint64_t{edge.output} << 8) | static_cast<std::uint8_t>(map.digest.scope));
    if (node.inputs.empty()) {
      found.push_back(operation);
      continue;
    }
    const std::uint64_t way = mix(operation, word_of(selector_of(map.deps.front())));
    found.push_back(mix(way, leader_of(node.inputs.front())));
    const EdgeState& input = edges_[node.inputs.front()].state;
    for (std::size_t k = input.keys_begin; k < input.keys.size(); ++k) {
      found.push_back(mix(way, word_of(input.keys[k].bytes())));
    }
    if (const auto& content = node.content.front().key) found.push_back(mix(operation, word_of(content->bytes())));
  }
  for (const KeyDigest& key : node.extra_keys) found.push_back(mix(word_of(key.bytes()), edge.output));
  return found;
}

bool Graph::inputs_equal(const Node& a, const CacheMap& map_a, const Node& b, const CacheMap& map_b) const {
  for (std::size_t i = 0; i < a.inputs.size(); ++i) {
    if (a.content[i].key && a.content[i].key == b.content[i].key) continue;
    if (map_a.deps[i].selector != map_b.deps[i].selector) return false;
    if (leader_of(a.inputs[i]) == leader_of(b.inputs[i])) continue;
    if (!share_key(edges_[a.inputs[i]].state, edges_[b.inputs[i]].state)) return false;
  }
  return true;
}

bool Graph::equal(EdgeIndex index_a, EdgeIndex index_b) const {
  const Edge &edge_a = edges_[index_a], &edge_b = edges_[index_b];
  const Node &a = nodes_[edge_a.node], &b = nodes_[edge_b.node];
  if (edge_a.output != edge_b.output || a.inputs.size() != b.inputs.size()) return false;
  for (std::uint32_t i = 0; i < edge_a.state.maps; ++i) {
    for (std::uint32_t j = 0; j < edge_b.state.maps; ++j) {
      if (a.maps[i].digest == b.maps[j].digest && inputs_equal(a, a.maps[i], b, b.maps[j])) return true;
    }
  }
  return std::any_of(a.extra_keys.begin(), a.extra_keys.end(), [&](const KeyDigest& key) {
    return std::find(b.extra_keys.begin(), b.extra_keys.end(), key) != b.extra_keys.end();
  });
}

// May be called at any time; does something only if there is something new to compare.
void Graph::compare_with_others(EdgeIndex index) {
  Edge& edge = edges_[index];
  if (edge.state.parked || edge.into || edge.state.maps == 0) return;
  std::size_t known = edge.state.maps;
  for (const InputState& input : edge.state.inputs) {
    if (input.phase < Phase::fast) return;
    known += input.keys_end + (input.content == InputState::Content::known ? 1 : 0);
  }
  if (edge.compared == known) return;
  edge.compared = known;
  const std::vector<std::uint64_t> all = tokens(index);
  for (const std::uint64_t token : all) {
    const auto found = index_.find(token);
    if (found == index_.end()) continue;
    for (const EdgeIndex other : found->second) {
      if (leader_of(other) == index || !equal(index, other)) continue;
      merge(index, leader_of(other));
      if (edge.into) return;
    }
  }
  for (const std::uint64_t token : all) {
    std::vector<EdgeIndex>& entry = index_[token];
    if (std::find(entry.begin(), entry.end(), index) == entry.end()) entry.push_back(index);
  }
}

void Graph::merge(EdgeIndex a, EdgeIndex b) {
  // It waits for nobody: complete, or running with all inputs there.
  const auto settled = [&](EdgeIndex index) {
    const EdgeState& state = edges_[index].state;
    return state.phase == Phase::complete || (state.work == EdgeState::Work::execute && !state.stopping);
  };
  // Who waits does so for a lower node, or for a settled edge. Every wait for an input goes to a lower node, too, so no
  // circle of waiting can close.
  const auto may_park = [&](EdgeIndex from, EdgeIndex into) {
    const EdgeState& state = edges_[from].state;
    if (edges_[from].into || state.phase == Phase::complete || state.work != EdgeState::Work::none) return false;
    // What ignores the cache must not get what was made without ignoring it.
    if (state.use_cache == UseCache::no && edges_[into].state.use_cache == UseCache::yes) return false;
    return settled(into) || edges_[into].node < edges_[from].node;
  };
  if (settled(a) && may_park(b, a)) return park(b, a);
  if (may_park(a, b)) return park(a, b);
  if (may_park(b, a)) park(b, a);
}

void Graph::park(EdgeIndex from, EdgeIndex into) {
  Edge& parked = edges_[from];
  parked.into = into;
  edges_[into].followers.push_back(from);
  post(from, event::Parked{});
  for (int phase = 3; phase > 0; --phase) {
    if (parked.wishes[static_cast<std::size_t>(phase)] == 0) continue;
    change_wish(into, Phase::initial, static_cast<Phase>(phase));
    break;
  }
  mirror(into, from);
  // Who uses the two has become equal in that input.
  for (const User& user : parked.users) {
    edges_[user.edge].compared = 0;
    const auto keys = static_cast<std::uint32_t>(parked.state.keys.size());
    post(user.edge, event::InputMoved{user.input, parked.state.phase, parked.state.keys_begin, keys});
  }
}

}  // namespace cairn::solver
