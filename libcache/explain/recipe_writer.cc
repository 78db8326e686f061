// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain/recipe_writer.h"

#include <algorithm>

#include "libbase/log/log.h"
#include "libcache/explain/recipe_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr int oldest_per_new = 2;  // so that a lower bound is caught up with, too

std::string_view raw_of(const base::Sha256Bytes& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
std::string key_of_text(const ShortDigest& text) { return std::string(cache::raw_of(text)); }

// A row that cannot be read is as good as none.
template <class Row, class Key>
Result<std::optional<Row>> get_readable(const ReadTxn& txn, const base::lmdb::TableSpec<Key, Row>& table, const Key& key) {
  auto row = txn.get(table, key);
  if (!row && row.error().code == ErrorCode::corrupt) return std::optional<Row>();
  return row;
}

// The first key of a table, whatever its row is like.
template <class Row>
Result<std::optional<RecordId>> lowest_of(const ReadTxn& txn, const base::lmdb::TableSpec<RecordId, Row>& table) {
  std::optional<RecordId> lowest;
  const auto note = [&](std::string_view key) {
    if (const auto id = base::Codec<RecordId>::decode(key); id && !lowest) lowest = *id;
  };
  TRY(txn.scan_all(table, {}, [&](std::string_view key, std::string_view) -> Result<Scan> { return note(key), Scan::stop; }, note));
  return lowest;
}

std::string kept_value(const std::string& value) {
  if (value.size() <= recipe_value_bytes_max) return value;
  std::size_t size = recipe_value_bytes_max;
  while (size > 0 && (static_cast<unsigned char>(value[size]) & 0xc0u) == 0x80u) --size;
  return fmt::format("{}… ({} bytes, sha256:{})", value.substr(0, size), value.size(), base::to_hex(base::sha256(value)));
}

std::vector<RecipeField> kept_fields(const std::vector<RecipeField>& fields) {
  std::vector<RecipeField> kept;
  std::size_t bytes = 0;
  for (const RecipeField& field : fields) {
    RecipeField& last = kept.emplace_back(RecipeField{field.name, kept_value(field.value)});
    bytes += last.name.size() + last.value.size();
    if (bytes <= recipe_fields_bytes_max) continue;
    std::string rest;
    for (const RecipeField* each = &field; each != fields.data() + fields.size(); ++each) rest += each->name + '\0' + each->value + '\0';
    last = {"the rest", "sha256:" + base::to_hex(base::sha256(rest))};
    break;
  }
  return kept;
}

RecipeText text_of(const Recipe& recipe) {
  RecipeText text;
  text.name = recipe.name.substr(0, owner_label_bytes_max);
  text.operation = shortened(raw_of(recipe.operation));
  text.fields = kept_fields(recipe.fields);
  for (const RecipeInput& input : recipe.inputs) text.inputs.push_back({input.content.has_value(), input.selections});
  return text;
}

Result<RecipeRow> row_of(const ReadTxn& txn, const NewRecipe& made) {
  RecipeRow row;
  row.key = shortened(made.key.raw());
  row.vertex = shortened(raw_of(made.recipe.vertex));
  row.made = made.made;
  row.took = std::chrono::duration_cast<std::chrono::microseconds>(made.took);
  row.since_begin = std::chrono::floor<std::chrono::microseconds>(made.made - made.recipe.solve_began);
  row.asked_anew = made.recipe.asked_anew;
  row.rules = made.rules;
  row.further = made.further;
  for (const RecipeInput& input : made.recipe.inputs) {
    RecipeRow::Input& kept = row.inputs.emplace_back(RecipeRow::Input{.record = input.record});
    if (input.content) kept.content = shortened(input.content->raw());
    if (!input.key) continue;
    const auto of_input = TRY(get_readable(txn, table::recipes, input.record));
    const ShortDigest key = shortened(input.key->raw());
    if (!of_input || of_input->key != key) kept.key = key;
  }
  return row;
}

Status count_text(WriteTxn& txn, const ShortDigest& name, RecipeText text) {
  auto row = TRY(get_readable(txn, table::recipe_texts, key_of_text(name))).value_or(RecipeTextRow{0, std::move(text)});
  ++row.users;
  return txn.put(table::recipe_texts, key_of_text(name), row);
}

Status discount_text(WriteTxn& txn, const ShortDigest& name) {
  auto row = TRY(get_readable(txn, table::recipe_texts, key_of_text(name)));
  if (!row || row->users <= 1) return txn.erase(table::recipe_texts, key_of_text(name));
  --row->users;
  return txn.put(table::recipe_texts, key_of_text(name), *row);
}

Status erase_recipe(WriteTxn& txn, RecordId record) {
  const auto row = TRY(get_readable(txn, table::recipes, record));
  if (row) TRY(discount_text(txn, row->text));
  return txn.erase(table::recipes, record);
}

// Entries of recipes that are gone, which are those below the lowest, go when their bucket is written.
Status add_to_index(WriteTxn& txn, RecipeIndex index, std::string_view digest, RecordId record, RecordId lowest) {
  const BucketPlace place = bucket_of(index, digest);
  RecipeBucket bucket = TRY(get_readable(txn, table::recipe_index, place.bucket)).value_or(RecipeBucket{});
  std::vector<RecipeBucket::Entry>& entries = bucket.entries;
  std::erase_if(entries, [&](const auto& entry) {
    return entry.record < lowest || (entry.record == record && entry.hash == place.hash);
  });
  const auto same = [&](const auto& entry) { return entry.hash == place.hash; };
  const auto count = static_cast<std::size_t>(std::count_if(entries.begin(), entries.end(), same));
  if (count >= index_entries_max) entries.erase(std::find_if(entries.begin(), entries.end(), same));
  if (entries.size() >= bucket_entries_max) entries.erase(entries.begin());
  const auto behind = std::upper_bound(entries.begin(), entries.end(), record,
                                       [](RecordId id, const auto& entry) { return id < entry.record; });
  entries.insert(behind, {place.hash, record});
  return txn.put(table::recipe_index, place.bucket, bucket);
}

Status put_row(WriteTxn& txn, const NewRecipe& made, std::uint64_t recipes_max) {
  const Recipe& recipe = made.recipe;
  if (TRY(has_recipe(txn, made.record))) TRY(erase_recipe(txn, made.record));
  RecipeText text = text_of(recipe);
  RecipeRow row = TRY(row_of(txn, made));
  row.text = name_of_text(text);
  TRY(count_text(txn, row.text, std::move(text)));
  TRY(txn.put(table::recipes, made.record, row));
  for (int dropped = 0; dropped < oldest_per_new && TRY(txn.count(table::recipes)) > recipes_max; ++dropped)
    if (const auto oldest = TRY(lowest_of(txn, table::recipes))) TRY(erase_recipe(txn, *oldest));
  if (made.further) return {};
  const RecordId lowest = TRY(lowest_of(txn, table::recipes)).value_or(made.record);
  TRY(add_to_index(txn, RecipeIndex::vertex, raw_of(recipe.vertex), made.record, lowest));
  TRY(add_to_index(txn, RecipeIndex::name, spread(recipe.name.substr(0, owner_label_bytes_max)), made.record, lowest));
  TRY(add_to_index(txn, RecipeIndex::operation, raw_of(recipe.operation), made.record, lowest));
  if (!recipe.inputs.empty() && recipe.inputs.front().key)
    TRY(add_to_index(txn, RecipeIndex::first_input, recipe.inputs.front().key->raw(), made.record, lowest));
  return {};
}

Status keep_tree(WriteTxn& txn, RecordId record) {
  const auto row = TRY(get_readable(txn, table::recipes, record));
  if (!row || !row->inputs.empty()) return {};
  const auto root = TRY(txn.get(table::page_roots, {record, digest_path_name("")}));
  if (!root || TRY(txn.get_raw(table::recipe_trees, base::Codec<RecordId>::encode(record)))) return {};
  TRY(hold_page(txn, root->page));
  TRY(txn.put(table::recipe_trees, record, KeptTreeRow{root->page}));
  while (TRY(txn.count(table::recipe_trees)) > kept_trees_max) {
    const auto oldest = TRY(lowest_of(txn, table::recipe_trees));
    const auto kept = TRY(get_readable(txn, table::recipe_trees, *oldest));
    TRY(txn.erase(table::recipe_trees, *oldest));
    if (kept) TRY(release_page(txn, kept->page));
  }
  return {};
}

// Recipes are a help, so nothing fails for want of one.
Status unless_corrupt(const Status& status, RecordId record) {
  if (status || status.error().code != ErrorCode::corrupt) return status;
  base::log_warning("what record {} was made of is not kept: {}", record, status.error().message);
  return {};
}

}  // namespace

Result<bool> has_recipe(const ReadTxn& txn, RecordId record) {
  return TRY(get_readable(txn, table::recipes, record)).has_value();
}

Status put_recipe(WriteTxn& txn, const NewRecipe& recipe, std::uint64_t recipes_max) {
  return unless_corrupt(put_row(txn, recipe, recipes_max), recipe.record);
}

Status note_evicted(WriteTxn& txn, RecordId record, const Tombstone& tombstone) {
  auto row = TRY(get_readable(txn, table::recipes, record));
  if (!row) return {};
  row->evicted = RecipeRow::Evicted{tombstone.when, tombstone.rule};
  return txn.put(table::recipes, record, *row);
}

Status keep_tree_of(WriteTxn& txn, RecordId record) { return unless_corrupt(keep_tree(txn, record), record); }

}  // namespace cairn::cache
