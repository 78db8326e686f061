// SPDX-License-Identifier: Apache-2.0
// What a solve that is over leaves to exporters.
#include <algorithm>

#include "libsolver/key_graph.h"
#include "libsolver/schedule/run.h"

namespace cairn::solver {

// The sources of one edge, by the inputs of its own node and of those that were merged into it.
void Run::keep_inputs(NodeIndex index, KeyGraph::Edge& kept) const {
  const Graph::Node& node = graph_.node(index);
  if (node.maps.empty()) return;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    kept.inputs[i].push_back({graph_.leader_of(node.inputs[i]), node.maps.back().deps[i].selector});
    if (node.content[i].key) kept.contents[i].push_back(*node.content[i].key);
  }
}

std::shared_ptr<const KeyGraph> Run::keep_keys() {
  auto graph = std::make_shared<KeyGraph>();
  graph->result = graph_.leader_of(*target_);
  const base::Status read = shared_.results.keys().read([&](Reader& reader) -> base::Status {
    for (EdgeIndex e = 0; e < graph_.edges(); ++e) {
      const Graph::Edge& edge = graph_.edge(e);
      const Graph::Node& node = graph_.node(edge.node);
      KeyGraph::Edge& kept = graph->edges.emplace_back();
      for (const CacheMap& map : node.maps) kept.operations.push_back(map.digest);
      kept.output = edge.output;
      kept.inputs.resize(node.inputs.size());
      kept.contents.resize(node.inputs.size());
      keep_inputs(edge.node, kept);
      for (const EdgeIndex follower : edge.followers) {
        if (graph_.node(graph_.edge(follower).node).inputs.size() == kept.inputs.size()) {
          keep_inputs(graph_.edge(follower).node, kept);
        }
      }
      // Keys that nothing is stored under lead nobody anywhere.
      for (const KeyDigest& key : edge.stored_keys) {
        if (TRY(reader.exists(key))) kept.ids.push_back(key);
      }
      kept.complete = edge.state.phase == Phase::complete;
      kept.ref = refs_[e];
      if (const auto& set = steps_[edge.node].vertex->metadata.export_cache) kept.export_result = set->value;
    }
    return {};
  });
  if (!read) return nullptr;
  return graph;
}

}  // namespace cairn::solver
