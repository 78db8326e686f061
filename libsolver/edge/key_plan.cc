// SPDX-License-Identifier: Apache-2.0
// What is stored with a step's results: its keys, and the links that lead from every known key of its inputs to them.
#include <algorithm>

#include "libsolver/cache_key.h"
#include "libsolver/edge/graph.h"

namespace cairn::solver {

// There is one namespace of trust until stores are shared between tenants; it is in the key so that it can be told later.
constexpr std::uint32_t trust_namespace = 0;

namespace {

void add_new(std::vector<KeyDigest>& keys, const KeyDigest& key) {
  if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
}

}  // namespace

// Every key that leads from one input: its stored keys under the selector, its content key without one. The first is what
// the step's own key is made of. For an input that was made anew that is the content if it decides: its stored keys are
// those of its earlier results, too, and what was made of other content must not be found by this one.
std::vector<KeyInput> Graph::keys_of_input(const Node& node, std::uint32_t input) const {
  const CacheMapDep& dep = node.maps.back().deps[input];
  const Edge& edge = edges_[node.inputs[input]];
  const base::Sha256Bytes selector = dep.selector ? dep.selector->bytes() : base::Sha256Bytes{};
  std::vector<KeyInput> keys;
  for (const KeyDigest& key : edge.stored_keys) keys.push_back({key, selector});
  const std::optional<KeyDigest>& content = node.content[input].key;
  if (content) keys.insert(edge.renewed ? keys.begin() : keys.end(), {*content, {}});
  return keys;
}

void Graph::plan_links(const Node& node, std::uint32_t output, const std::vector<KeyDigest>& keys, KeyPlan& plan) const {
  for (std::uint32_t i = 0; i < node.inputs.size(); ++i) {
    for (const KeyInput& from : keys_of_input(node, i)) {
      const cache::KeyLink link{.from = from.key, .input = i, .operation = node.maps.back().digest.hash, .output = output,
                                .selector = from.selector};
      for (const KeyDigest& key : keys) plan.links.emplace_back(link, key);
    }
  }
}

void Graph::plan_output(NodeIndex index, std::uint32_t output, KeyPlan& plan) const {
  const Node& node = nodes_[index];
  std::vector<KeyDigest>& keys = plan.results[output];
  if (node.inputs.empty()) {
    for (const CacheMap& map : node.maps) {
      if (map.digest.scope == OpDigest::Scope::portable) add_new(keys, root_key(map.digest, output));
    }
    for (const KeyDigest& key : node.extra_keys) add_new(keys, key);
    return;
  }
  std::vector<KeyInput> primary;
  for (std::uint32_t i = 0; i < node.inputs.size(); ++i) {
    const std::vector<KeyInput> from = keys_of_input(node, i);
    if (from.empty()) return;  // an input has no key, so this step cannot be found again
    primary.push_back(from.front());
  }
  keys.push_back(combined_key(trust_namespace, node.maps.back().digest, output, primary));
  const auto edge = node.edges.find(output);
  if (edge != node.edges.end()) {
    for (const KeyDigest& key : edges_[edge->second].stored_keys) add_new(keys, key);
  }
  plan_links(node, output, keys, plan);
  if (edge == node.edges.end()) return;
  // Those that were merged into it are found by their own inputs, too.
  for (const EdgeIndex follower : edges_[edge->second].followers) {
    const Node& other = nodes_[edges_[follower].node];
    if (!other.inputs.empty()) plan_links(other, output, keys, plan);
  }
}

KeyPlan Graph::plan_keys(NodeIndex index, std::uint32_t outputs) const {
  KeyPlan plan;
  plan.results.resize(outputs);
  for (std::uint32_t output = 0; output < outputs; ++output) plan_output(index, output, plan);
  return plan;
}

KeyPlan Graph::plan_found(EdgeIndex index) {
  KeyPlan plan;
  plan.results.resize(edges_[index].output + 1);
  plan.results[edges_[index].output] = edges_[index].stored_keys;
  // The whole way there: the own store may know none of it.
  std::vector<EdgeIndex> open = {index};
  while (!open.empty()) {
    Edge& edge = edges_[open.back()];
    open.pop_back();
    const Node& node = nodes_[edge.node];
    if (edge.way_planned || node.inputs.empty() || node.maps.empty()) continue;
    edge.way_planned = true;
    plan_links(node, edge.output, edge.stored_keys, plan);
    open.insert(open.end(), node.inputs.begin(), node.inputs.end());
  }
  return plan;
}

bool Graph::made_anew(NodeIndex index) const {
  const Node& node = nodes_[index];
  return node.use_cache == UseCache::no || std::any_of(node.inputs.begin(), node.inputs.end(),
                                                       [&](EdgeIndex input) { return edges_[input].renewed; });
}

}  // namespace cairn::solver
