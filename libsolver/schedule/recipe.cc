// SPDX-License-Identifier: Apache-2.0
#include "libsolver/schedule/recipe.h"

#include "libbase/hash/sha256.h"
#include "libsolver/ops/recipe_fields.h"

namespace cairn::solver {
namespace {

// What a session has to do with its sources is no part of what they are.
base::Sha256Bytes operation_of(const CacheMap& map, const std::vector<cache::RecipeField>& fields) {
  if (map.digest.scope == OpDigest::Scope::portable) return map.digest.hash;
  std::string text;
  for (const cache::RecipeField& field : fields) text += field.name + '\0' + field.value + '\0';
  return base::sha256(text);
}

}  // namespace

std::shared_ptr<const cache::Recipe> make_recipe(const Graph& graph, NodeIndex index, const Vertex& vertex, std::span<const OptionalRef> inputs,
                                                 base::WallTime solve_began) {
  const Graph::Node& node = graph.node(index);
  if (node.maps.empty()) return nullptr;
  auto recipe = std::make_shared<cache::Recipe>();
  recipe->vertex = vertex.digest.bytes();
  recipe->name = vertex.name;
  recipe->fields = recipe_fields(vertex, node.maps);
  recipe->operation = operation_of(node.maps.back(), recipe->fields);
  recipe->solve_began = solve_began;
  recipe->asked_anew = node.use_cache == UseCache::no;
  for (std::uint32_t i = 0; i < inputs.size(); ++i) {
    cache::RecipeInput& input = recipe->inputs.emplace_back();
    if (inputs[i]) input.record = inputs[i]->id();
    const Graph::Edge& edge = graph.edge(node.inputs[i]);
    if (!edge.stored_keys.empty()) input.key = edge.stored_keys.front();
    input.content = node.content[i].key;
    if (const auto& content = node.maps.back().deps[i].content) input.selections = *content;
  }
  return recipe;
}

}  // namespace cairn::solver
