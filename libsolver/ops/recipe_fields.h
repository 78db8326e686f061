// SPDX-License-Identifier: Apache-2.0
// What an operation is, in words: the parts that its CacheMap digest is made of, one by one. Where the digests of two operations
// of a kind differ, some field does (recipe_fields_test).
#pragma once

#include <vector>

#include "libcache/recipe.h"
#include "libsolver/cache_map.h"
#include "libsolver/definition.h"

namespace cairn::solver {

// maps: of this vertex, at least one. What a source's name has of names and passwords is left out.
std::vector<cache::RecipeField> recipe_fields(const Vertex& vertex, const std::vector<CacheMap>& maps);

}  // namespace cairn::solver
