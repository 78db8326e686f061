// SPDX-License-Identifier: Apache-2.0
// The tables of recipes as they should be, from the recipes themselves.
#pragma once

#include <map>

#include "libcache/explain/recipe_rows.h"

namespace cairn::cache {

struct RecipeTables {
  std::map<RecordId, RecipeRow> recipes;  // those whose texts are there
  std::map<std::string, RecipeTextRow> texts;
  std::map<BucketId, RecipeBucket> index;
};
// O(recipes), in memory. Errors: corrupt (a row cannot be read).
base::Result<RecipeTables> consistent_recipes(const base::lmdb::ReadTxn& txn);

}  // namespace cairn::cache
