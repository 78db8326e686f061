// SPDX-License-Identifier: Apache-2.0
// Keeping recipes: in the transaction that writes the record, in that which takes it, and nowhere else. What is wrong with a row
// of a recipe is no reason to fail either: it is left out.
#pragma once

#include "libbase/lmdb/env.h"
#include "libcache/prune.h"
#include "libcache/recipe.h"

namespace cairn::cache {

struct NewRecipe {
  RecordId record;
  KeyDigest key;  // the first that it is stored under
  const Recipe& recipe;
  base::WallTime made{};
  std::chrono::nanoseconds took{0};
  DigestRules rules = DigestRules::scan;
  bool further = false;  // another result of the same step has been put before
};

inline constexpr std::size_t index_entries_max = 16;       // of one hash; older ones go
inline constexpr std::size_t bucket_entries_max = 4096;
inline constexpr std::size_t recipe_fields_bytes_max = 64u << 10;  // of one text; of the rest its SHA-256 is kept
// Of local sources and others without inputs whose records are gone: their pages stay, so that it can be said what has changed
// since. Pages are shared with what is there, so it is what differs that they take.
inline constexpr std::uint64_t kept_trees_max = 16;

// O(log n), and a row for each input.
base::Status put_recipe(base::lmdb::WriteTxn& txn, const NewRecipe& recipe, std::uint64_t recipes_max);
base::Result<bool> has_recipe(const base::lmdb::ReadTxn& txn, RecordId record);
// The record is taken, and its keys lead nowhere any more.
base::Status note_evicted(base::lmdb::WriteTxn& txn, RecordId record, const Tombstone& tombstone);
// The record goes, and its pages with it: before they do.
base::Status keep_tree_of(base::lmdb::WriteTxn& txn, RecordId record);

}  // namespace cairn::cache
