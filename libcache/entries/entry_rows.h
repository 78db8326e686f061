// SPDX-License-Identifier: Apache-2.0
// The table of entries: what a record without a tree is the value of. What it needs is among the blobs of its record.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/sync.h"
#include "libcache/promotion.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

struct EntryRow {
  BlobDigest value;
  std::uint64_t value_bytes = 0;
  std::string attributes;
  bool in_namespace = false;  // that of its name has the value and the closure: it was put so
  bool operator==(const EntryRow&) const = default;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::EntryRow> {
  static std::string encode(const cache::EntryRow& row);
  static Result<cache::EntryRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<RecordId, EntryRow> entries{{"cache.entries", base::lmdb::Precious::persistent}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// Rows that are on their way to disk: found by others at once. Thread-safe.
class FreshEntries {
 public:
  void add(RecordId record, EntryRow row) { rows_.lock()->emplace(record, std::move(row)); }
  void remove(RecordId record) { rows_.lock()->erase(record); }  // the table has it now, or never will
  std::optional<EntryRow> find(RecordId record) {
    auto rows = rows_.lock();
    const auto found = rows->find(record);
    return found == rows->end() ? std::nullopt : std::optional(found->second);
  }

 private:
  base::Guarded<std::unordered_map<RecordId, EntryRow>> rows_;
};

// An entry as a publication writes it.
struct BatchEntry {
  RecordId record;
  KeyDigest key;
  EntryRow row;
  std::int64_t bytes = 0;  // of value and closure
  std::optional<Promotion> promotion{};
  std::optional<KeyDigest> instead_of{};  // of what was promoted
};

// With the row of its record and the names of its blobs: what else its key, or that of what was promoted, leads to leads
// nowhere any more.
base::Status put_entry(base::lmdb::WriteTxn& txn, const BatchEntry& entry);
// With the record's row.
base::Status erase_entry_of(base::lmdb::WriteTxn& txn, RecordId record);

}  // namespace cairn::cache
