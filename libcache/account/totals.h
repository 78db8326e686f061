// SPDX-License-Identifier: Apache-2.0
// The sums that du reads instead of rows (cache.totals), and the only writers of what they sum up: rows of records here,
// rows and names of blobs in libcache/blobs/blob_rows.h. Each changes row and sums in one transaction.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "libbase/lmdb/env.h"
#include "libcache/account.h"
#include "libcache/record.h"
#include "libcache/records/record_rows.h"

namespace cairn::cache {

struct Totals {
  std::int64_t count = 0;
  std::int64_t exclusive_bytes = 0;  // of a line: all its bytes
  std::int64_t shared_bytes = 0;     // of records: what each shares, so a byte counts once for each that has it
  std::int64_t inodes = 0;

  Totals& operator+=(const Totals& other);
  Totals operator-() const { return {-count, -exclusive_bytes, -shared_bytes, -inodes}; }
  bool operator==(const Totals&) const = default;
};

// What a sum is of: the records of one type or owner label, or a line of du.
enum class TotalKind : std::uint8_t { line = 0, type = 1, project = 2, build = 3, step = 4 };
struct TotalKey {
  TotalKind kind = TotalKind::line;
  std::string name;
  auto operator<=>(const TotalKey&) const = default;
};

namespace line {
inline constexpr const char* records = "records";
inline constexpr const char* blobs = "blobs";  // all of them: files and entries of packs
inline constexpr const char* blobs_unnamed = "blobs.unnamed";  // of these, those that no record names
inline constexpr const char* blobs_shared = "blobs.shared";    // of these, those that several records name, once
}  // namespace line
inline TotalKey line_total(std::string_view name) { return {TotalKind::line, std::string(name)}; }

using TotalMap = std::map<TotalKey, Totals>;

// A row of zeros goes, unless it is a line.
base::Status change_total(base::lmdb::WriteTxn& txn, const TotalKey& key, const Totals& change);
base::Result<Totals> total_of(const base::lmdb::ReadTxn& txn, const TotalKey& key);

enum class Counting { add, take };

// Every write of a record's row: inserts or replaces it and counts it.
base::Status put_record(base::lmdb::WriteTxn& txn, RecordId id, const RecordRow& row);
// The same, with what it changes of the sums added up in `changes`, for change_totals().
base::Status put_record(base::lmdb::WriteTxn& txn, RecordId id, const RecordRow& row, TotalMap& changes);
// Of many records in one transaction: what they take from the sums is added up in `changes`, for change_totals() at its
// end.
base::Status erase_record_row(base::lmdb::WriteTxn& txn, RecordId id, TotalMap& changes);
base::Status change_totals(base::lmdb::WriteTxn& txn, const TotalMap& changes);
// Adds to what the row says of the record's space; nothing if there is no such record.
base::Status change_space(base::lmdb::WriteTxn& txn, RecordId id, const RecordSpace& change);
void add_to(RecordSpace& space, const RecordSpace& change);

// What names of blobs change of rows and sums, added up until all of it is written: many names change the same few rows.
struct SpaceChanges {
  std::map<RecordId, RecordSpace> spaces;
  TotalMap totals;
};
base::Status apply(base::lmdb::WriteTxn& txn, SpaceChanges changes);
// The part of a record's space that its snapshot has.
void set_tree_space(RecordSpace& space, const snapshot::SnapshotInfo& tree);
// For Snapshotter::on_exclusive_change.
base::Status note_exclusive_change(base::lmdb::WriteTxn& txn, const snapshot::SnapshotInfo& now);

// What the sums are if one adds up all rows. O(rows).
void count_record(TotalMap& totals, const RecordRow& row);
base::Result<TotalMap> add_up(base::lmdb::Env& env);
// A record's space from its tree (0: it has none) and its blobs.
base::Result<RecordSpace> add_up_space(base::lmdb::ReadTxn& txn, RecordId id, snapshot::SnapshotId tree);
base::Result<TotalMap> stored_totals(base::lmdb::Env& env);
// Whether the store was written by a build that kept no sums.
base::Result<bool> lacks_totals(const base::lmdb::ReadTxn& txn);
// Such a store gets them, and the space of each record with them. O(rows), once; else
// a look.
base::Status make_totals(base::lmdb::Env& env);

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::TotalKey> {  // kind, then the name
  static std::string encode(const cache::TotalKey& key);
  static Result<cache::TotalKey> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::Totals> {
  static std::string encode(const cache::Totals& row);
  static Result<cache::Totals> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<TotalKey, Totals> totals{{"cache.totals", base::lmdb::Precious::rebuildable}};

}  // namespace cairn::cache::table
