// SPDX-License-Identifier: Apache-2.0
// Recipes as they are looked up for an explanation: in one version, each once.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "libcache/explain.h"
#include "libcache/explain/compare.h"
#include "libcache/explain/recipe_rows.h"

namespace cairn::cache {

struct KnownRecipe {
  RecordId record;
  RecipeRow row;
  RecipeText text;
};

class RecipeReader {
 public:
  RecipeReader(const base::lmdb::ReadTxn& txn, ExplainCounts& counts) : txn_(txn), counts_(counts) {}
  // nullptr: there is none that can be read. Stays as long as the reader does.
  base::Result<const KnownRecipe*> find(RecordId record);
  // What the index has under a digest; the lowest record first.
  base::Result<std::vector<RecordId>> look_up(RecipeIndex index, std::string_view digest);
  // The key that an input of a step stood for, if that is known.
  base::Result<std::optional<ShortDigest>> key_of(const RecipeRow::Input& input);
  // Whether they stand for the same thing in a key.
  base::Result<bool> same(const RecipeRow::Input& a, const RecipeRow::Input& b);

 private:
  const base::lmdb::ReadTxn& txn_;
  ExplainCounts& counts_;
  std::map<RecordId, std::optional<KnownRecipe>> known_;
};

// Of all that was made before the solve began in which this one was: what is the least different in its fields and inputs, and the
// newest of those. nullptr: there is none. O(entries of the index).
base::Result<const KnownRecipe*> nearest_earlier(RecipeReader& reader, const KnownRecipe& now);

}  // namespace cairn::cache
