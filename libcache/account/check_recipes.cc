// SPDX-License-Identifier: Apache-2.0
// I9: texts of recipes are counted, and the index leads to what it says. Its entries of recipes that are gone are those below the
// lowest.
#include <map>

#include "libcache/account/check.h"
#include "libcache/explain/recipe_rows.h"
#include "libcache/explain/recipe_writer.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;

namespace {

struct Known {
  RecipeRow row;
  BucketPlace vertex, name, operation;
};

bool is_place(const BucketPlace& place, const BucketId& bucket, std::uint32_t hash) { return place.bucket == bucket && place.hash == hash; }

bool leads_to(const Known& known, RecipeIndex index, const BucketId& bucket, std::uint32_t hash) {
  switch (index) {
    case RecipeIndex::vertex: return is_place(known.vertex, bucket, hash);
    case RecipeIndex::name: return is_place(known.name, bucket, hash);
    case RecipeIndex::operation: return is_place(known.operation, bucket, hash);
    case RecipeIndex::first_input: return !known.row.inputs.empty();
  }
  return false;
}

}  // namespace

Status check_recipes(CheckState& state) {
  std::map<RecordId, Known> recipes;
  std::map<std::string, std::uint64_t> users;
  TRY(each_row(state.env, table::recipes, [&](ReadTxn& txn, const RecordId& id, const RecipeRow& row) -> Status {
    const std::string text(raw_of(row.text));
    ++users[text];
    const auto known = TRY(txn.get(table::recipe_texts, text));
    if (!known) state.found(9, "recipe of record {}: its text is not stored", id);
    const RecipeText named = known ? known->text : RecipeText();
    if (known && known->text.inputs.size() != row.inputs.size())
      state.found(9, "recipe of record {}: {} inputs, and {} by its text", id, row.inputs.size(), known->text.inputs.size());
    recipes.emplace(id, Known{row, bucket_of(RecipeIndex::vertex, raw_of(row.vertex)), bucket_of(RecipeIndex::name, spread(named.name)),
                              bucket_of(RecipeIndex::operation, raw_of(named.operation))});
    return {};
  }));
  TRY(each_row(state.env, table::recipe_texts, [&](ReadTxn&, const std::string& name, const RecipeTextRow& row) -> Status {
    const auto counted = users.find(name);
    const std::uint64_t count = counted == users.end() ? 0 : counted->second;
    if (row.users != count) state.found(9, "text of {} recipes: {} are counted", count, row.users);
    if (std::string(raw_of(name_of_text(row.text))) != name) state.found(2, "text of recipes: it is another than its name says");
    return {};
  }));
  TRY(each_row(state.env, table::recipe_index, [&](ReadTxn&, const BucketId& bucket, const RecipeBucket& row) -> Status {
    for (const RecipeBucket::Entry& entry : row.entries) {
      if (recipes.empty() || entry.record < recipes.begin()->first) continue;
      const auto known = recipes.find(entry.record);
      const auto index = static_cast<RecipeIndex>(bucket.value() >> 16);
      if (known == recipes.end() || !leads_to(known->second, index, bucket, entry.hash))
        state.found(9, "index of recipes, bucket {}: it leads to record {}, which is another", bucket, entry.record);
    }
    return {};
  }));
  const std::uint64_t kept = TRY(state.env.view([](ReadTxn& txn) { return txn.count(table::recipe_trees); }));
  if (kept > kept_trees_max) state.found(9, "{} trees of records that are gone are kept, {} at most should be", kept, kept_trees_max);
  return {};
}

}  // namespace cairn::cache
