// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain/recipe_reader.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace cairn::cache {

using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t inputs_compared_max = 64;  // of a step that may have thousands, to find the nearest

// A row that cannot be read is as good as none.
template <class Row>
Result<std::optional<Row>> unless_corrupt(Result<std::optional<Row>> row) {
  if (!row && row.error().code == ErrorCode::corrupt) return std::optional<Row>();
  return row;
}

Result<std::size_t> differing_inputs(RecipeReader& reader, const RecipeRow& a, const RecipeRow& b) {
  std::size_t differing = std::max(a.inputs.size(), b.inputs.size()) - std::min(a.inputs.size(), b.inputs.size());
  for (std::size_t i = 0; i < std::min({a.inputs.size(), b.inputs.size(), inputs_compared_max}); ++i)
    if (!TRY(reader.same(a.inputs[i], b.inputs[i]))) ++differing;
  return differing;
}

// How far one is from another: what differs, then whether it is said to be something else, then how long ago it was.
struct Distance {
  std::size_t differing = 0;
  bool other_vertex = false, other_name = false;
  base::WallTime made{};
  bool nearer_than(const Distance& other) const {
    return std::tuple(differing, other_vertex, other_name, other.made) < std::tuple(other.differing, other.other_vertex, other.other_name, made);
  }
};

}  // namespace

Result<const KnownRecipe*> RecipeReader::find(RecordId record) {
  const auto [place, is_new] = known_.try_emplace(record);
  if (is_new && record) {
    ++counts_.rows_read;
    auto row = TRY(unless_corrupt(txn_.get(table::recipes, record)));
    if (row) {
      ++counts_.rows_read;
      auto text = TRY(unless_corrupt(txn_.get(table::recipe_texts, std::string(raw_of(row->text)))));
      if (text) place->second = KnownRecipe{record, std::move(*row), std::move(text->text)};
    }
  }
  return place->second ? &*place->second : nullptr;
}

Result<std::vector<RecordId>> RecipeReader::look_up(RecipeIndex index, std::string_view digest) {
  ++counts_.rows_read;
  const BucketPlace place = bucket_of(index, digest);
  std::vector<RecordId> found;
  const auto bucket = TRY(unless_corrupt(txn_.get(table::recipe_index, place.bucket)));
  if (!bucket) return found;
  for (const RecipeBucket::Entry& entry : bucket->entries)
    if (entry.hash == place.hash) found.push_back(entry.record);
  return found;
}

Result<std::optional<ShortDigest>> RecipeReader::key_of(const RecipeRow::Input& input) {
  if (input.key) return input.key;
  const KnownRecipe* recipe = TRY(find(input.record));
  return recipe != nullptr ? std::optional<ShortDigest>(recipe->row.key) : std::optional<ShortDigest>();
}

Result<bool> RecipeReader::same(const RecipeRow::Input& a, const RecipeRow::Input& b) {
  if (a.record == b.record && a.record) return true;
  if (a.content && b.content && *a.content == *b.content) return true;
  const auto key = TRY(key_of(a)), other = TRY(key_of(b));
  if (!key && !other) return !a.record && !b.record;
  return key && other && *key == *other;
}

Result<const KnownRecipe*> nearest_earlier(RecipeReader& reader, const KnownRecipe& now) {
  std::set<RecordId> alike, beside;  // beside: it has nothing in common but the first input
  const std::string name = spread(now.text.name);
  for (const auto& [index, digest] : {std::pair(RecipeIndex::vertex, raw_of(now.row.vertex)), std::pair(RecipeIndex::name, std::string_view(name)),
                                      std::pair(RecipeIndex::operation, raw_of(now.text.operation))})
    for (const RecordId record : TRY(reader.look_up(index, digest))) alike.insert(record);
  if (!now.row.inputs.empty()) {
    const auto key = TRY(reader.key_of(now.row.inputs.front()));
    if (key)
      for (const RecordId record : TRY(reader.look_up(RecipeIndex::first_input, raw_of(*key)))) beside.insert(record);
  }
  beside.insert(alike.begin(), alike.end());
  const KnownRecipe* nearest = nullptr;
  Distance best;
  for (const RecordId record : beside) {
    const KnownRecipe* recipe = TRY(reader.find(record));
    if (recipe == nullptr || record == now.record || recipe->row.made > now.row.solve_began()) continue;
    const auto fields = differing_fields(recipe->text.fields, now.text.fields);
    if (!alike.contains(record) && !are_akin(fields)) continue;
    const bool other_content = now.row.inputs.empty() && !now.row.further && recipe->row.key != now.row.key;
    const Distance distance{.differing = fields.size() + TRY(differing_inputs(reader, recipe->row, now.row)) + (other_content ? 1 : 0),
                            .other_vertex = recipe->row.vertex != now.row.vertex,
                            .other_name = recipe->text.name != now.text.name,
                            .made = recipe->row.made};
    if (nearest != nullptr && !distance.nearer_than(best)) continue;
    nearest = recipe;
    best = distance;
  }
  return nearest;
}

}  // namespace cairn::cache
