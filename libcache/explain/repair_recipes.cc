// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain/repair_recipes.h"

#include <algorithm>

#include "libcache/explain/recipe_writer.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

// Records come in ascending order.
void add(RecipeTables& tables, RecipeIndex index, std::string_view digest, RecordId record) {
  const BucketPlace place = bucket_of(index, digest);
  std::vector<RecipeBucket::Entry>& entries = tables.index[place.bucket].entries;
  const auto same = [&](const auto& entry) { return entry.hash == place.hash; };
  if (static_cast<std::size_t>(std::count_if(entries.begin(), entries.end(), same)) >= index_entries_max)
    entries.erase(std::find_if(entries.begin(), entries.end(), same));
  if (entries.size() >= bucket_entries_max) entries.erase(entries.begin());
  entries.push_back({place.hash, record});
}

std::optional<ShortDigest> first_key(const RecipeTables& tables, const RecipeRow& row) {
  if (row.inputs.empty()) return std::nullopt;
  if (row.inputs.front().key) return row.inputs.front().key;
  const auto recipe = tables.recipes.find(row.inputs.front().record);
  return recipe == tables.recipes.end() ? std::nullopt : std::optional(recipe->second.key);
}

}  // namespace

Result<RecipeTables> consistent_recipes(const ReadTxn& txn) {
  RecipeTables tables;
  TRY(scan_rows(txn, table::recipe_texts, {}, [&](const std::string& name, const RecipeTextRow& row) -> Result<Scan> {
    tables.texts.emplace(name, RecipeTextRow{0, row.text});
    return Scan::next;
  }));
  TRY(scan_rows(txn, table::recipes, {}, [&](const RecordId& record, const RecipeRow& row) -> Result<Scan> {
    const auto text = tables.texts.find(std::string(raw_of(row.text)));
    if (text == tables.texts.end() || text->second.text.inputs.size() != row.inputs.size()) return Scan::next;
    ++text->second.users;
    tables.recipes.emplace(record, row);
    return Scan::next;
  }));
  std::erase_if(tables.texts, [](const auto& text) { return text.second.users == 0; });
  for (const auto& [record, row] : tables.recipes) {
    if (row.further) continue;
    const RecipeText& text = tables.texts.at(std::string(raw_of(row.text))).text;
    add(tables, RecipeIndex::vertex, raw_of(row.vertex), record);
    add(tables, RecipeIndex::name, spread(text.name), record);
    add(tables, RecipeIndex::operation, raw_of(text.operation), record);
    if (const auto key = first_key(tables, row)) add(tables, RecipeIndex::first_input, raw_of(*key), record);
  }
  return tables;
}

}  // namespace cairn::cache
