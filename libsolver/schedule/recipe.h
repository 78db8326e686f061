// SPDX-License-Identifier: Apache-2.0
// What a step is about to make its results of, for explanations.
#pragma once

#include <memory>
#include <span>

#include "libcache/recipe.h"
#include "libsolver/edge/graph.h"
#include "libsolver/definition.h"
#include "libsolver/result_store.h"

namespace cairn::solver {

// Its maps are known, and its inputs are complete.
std::shared_ptr<const cache::Recipe> make_recipe(const Graph& graph, NodeIndex node, const Vertex& vertex, std::span<const OptionalRef> inputs,
                                                 base::WallTime solve_began);

}  // namespace cairn::solver
