// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/journal.h"

#include <algorithm>
#include <map>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/compaction.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::Precious;
using base::lmdb::RawTableSpec;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

const std::string journal_key = "last";
constexpr std::uint64_t due_bytes = 16u << 20;
constexpr std::uint64_t gap_bytes = std::uint64_t{1} << 60;  // makes a checkpoint due
constexpr std::size_t piece_bytes_max = 4u << 20;
constexpr std::size_t piece_rows_max = 10'000;
constexpr char op_put = 1, op_erase = 2;

// Large, and made again when they are wanted; and the space of packs, which a rebuild counts.
constexpr std::string_view begins_empty[] = {"cache.pages",      "cache.page_counts",  "cache.page_roots",
                                             "cache.page_trash", "cache.tree_digests", "cache.packs"};

// The row may be damaged as any other. The number then is the highest that a pack has.
Result<JournalRow> last_row(const ReadTxn& txn, Packs& packs) {
  auto row = txn.get(table::journal, journal_key);
  if (row) return row->value_or(JournalRow{});
  if (row.error().code != ErrorCode::corrupt) return tl::unexpected(row.error());
  JournalRow found;
  for (const std::uint64_t id : TRY(list_packs_in(packs.dir()))) {
    const auto pack = packs.open_pack(id);
    if (!pack) continue;
    TRY(scan_pack((*pack)->file.get(), (*pack)->identity.salt, 0, [&](std::uint64_t, const EntryHeader& header) -> Result<Scan> {
      found.number = std::max(found.number, header.number);
      return Scan::next;
    }));
  }
  base::log_warning("the row of the journal is damaged; it goes on from number {}", found.number);
  return found;
}

Result<std::uint64_t> append_changes(Packs& packs, WriteTxn& txn, std::string_view changes) {
  JournalRow row = TRY(last_row(txn, packs), "journal");
  ++row.number;
  const std::uint64_t bytes = entry_bytes(changes.size());
  row.bytes += bytes;
  const auto appended = packs.append({.kind = EntryKind::changes, .number = row.number, .digest = {}}, changes);
  if (!appended && appended.error().code == ErrorCode::no_space) {
    // What makes room must not need room. The gap in the numbers is seen by a rebuild, and a checkpoint is due.
    base::log_warning("transaction {} is not in the journal: {}", row.number, appended.error().message);
    row.bytes = gap_bytes;
    TRY(txn.put(table::journal, journal_key, row));
    return Packs::token(0);
  }
  if (!appended) return tl::unexpected(base::add_context(appended.error(), "journal"));
  TRY(txn.put(table::journal, journal_key, row));
  TRY(count_journal(txn, appended->at().pack, appended->at().offset + bytes, bytes));
  return Packs::token(appended->at().pack);
}

}  // namespace

bool is_journaled(const RawTableSpec& table) {
  if (table.precious == Precious::ephemeral) return false;
  return std::find(std::begin(begins_empty), std::end(begins_empty), std::string_view(table.name)) ==
         std::end(begins_empty);
}

std::vector<const RawTableSpec*> journaled_tables() {
  std::vector<const RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
  all.insert(all.end(), tables().begin(), tables().end());
  std::erase_if(all, [](const RawTableSpec* table) { return !is_journaled(*table); });
  return all;
}

base::lmdb::ChangeJournal make_journal(std::shared_ptr<Packs> packs) {
  return {.wants = is_journaled, .append = [packs](WriteTxn& txn, std::string_view changes) {
            return append_changes(*packs, txn, changes);
          }};
}

std::string encode_put(std::string_view table, std::string_view key, std::string_view value) {
  return base::ByteWriter().u8(op_put).string(table).string(key).string(value).take();
}

Status each_change(std::string_view changes, const std::function<Status(const RowChange&)>& visit) {
  base::ByteReader reader(changes);
  while (!reader.at_end()) {
    const std::uint8_t op = TRY(reader.u8());
    if (op != op_put && op != op_erase) return base::fail(ErrorCode::corrupt, "changes: operation {}", op);
    RowChange change;
    change.table = TRY(reader.string());
    change.key = TRY(reader.string());
    if (op == op_put) change.value = TRY(reader.string());
    TRY(visit(change));
  }
  return {};
}

std::string encode_checkpoint_end(const CheckpointEnd& end) {
  return base::ByteWriter().u64(end.first_pack).u64(end.entries).take();
}

Result<CheckpointEnd> decode_checkpoint_end(std::string_view bytes) {
  base::ByteReader reader(bytes);
  CheckpointEnd end;
  end.first_pack = TRY(reader.u64());
  end.entries = TRY(reader.u64());
  TRY(reader.expect_end());
  return end;
}

Result<bool> checkpoint_is_due(base::lmdb::Env& env) {
  return env.view([](ReadTxn& txn) -> Result<bool> {
    const auto row = TRY(txn.get(table::journal, journal_key));
    if (!row) return TRY(txn.count(table::records)) != 0;
    return row->bytes > due_bytes && row->bytes > 2 * row->checkpoint_bytes;
  });
}

namespace {

// Appends the pieces of a checkpoint, and keeps count of where they are.
class CheckpointWriter {
 public:
  CheckpointWriter(Store& store, std::uint64_t number, std::uint64_t first_pack)
      : store_(store), number_(number), end_{first_pack, 0} {}

  Status write_table(const RawTableSpec& table, std::stop_token stop) {
    std::string from;
    for (bool more = true; more;) {
      if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "checkpoint");
      std::string piece;
      more = TRY(collect(table, from, piece));
      if (piece.empty()) continue;
      TRY(append(EntryKind::rows, piece));
      ++end_.entries;
    }
    return {};
  }
  Status finish() { return append(EntryKind::checkpoint_end, encode_checkpoint_end(end_)); }

  // Counts what was written, and what is needless now.
  base::lmdb::GroupWriter::Entry entry() const {
    base::lmdb::GroupWriter::Entry entry;
    for (const auto& [pack, place] : places_) entry.data.push_back(Packs::token(pack));
    entry.change = [places = places_, first = end_.first_pack, number = number_](WriteTxn& txn) -> Status {
      JournalRow row = TRY(txn.get(table::journal, journal_key)).value_or(JournalRow{});
      row.number = std::max(row.number, number);
      row.bytes = 0;
      row.first_pack = first;
      row.checkpoint_bytes = 0;
      for (const auto& [pack, place] : places) {
        row.checkpoint_bytes += place.bytes;
        TRY(count_journal(txn, pack, place.end, place.bytes));
      }
      TRY(forget_journal(txn, first));
      return txn.put(table::journal, journal_key, row);
    };
    return entry;
  }

 private:
  struct Place {
    std::uint64_t end = 0, bytes = 0;
  };

  // Rows from `from` on, which moves behind them. False: there are no more.
  Result<bool> collect(const RawTableSpec& table, std::string& from, std::string& piece) {
    bool more = false;
    std::size_t rows = 0;
    const auto visit = [&](std::string_view key, std::string_view value) -> Result<Scan> {
      if (rows == piece_rows_max || piece.size() >= piece_bytes_max) {
        from.assign(key);
        more = true;
        return Scan::stop;
      }
      piece += encode_put(table.name, key, value);
      ++rows;
      return Scan::next;
    };
    // A damaged row may be whole in the last checkpoint; a new one must not make that needless.
    TRY(store_.env.view([&](ReadTxn& txn) { return txn.scan_raw(table, {}, from, visit); }));
    return more;
  }

  Status append(EntryKind kind, std::string_view payload) {
    const Appended appended = TRY(store_.packs->append({.kind = kind, .number = number_, .digest = {}}, payload));
    Place& place = places_[appended.at().pack];
    place.end = appended.at().offset + entry_bytes(payload.size());
    place.bytes += entry_bytes(payload.size());
    return {};
  }

  Store& store_;
  std::uint64_t number_;
  CheckpointEnd end_;
  std::map<std::uint64_t, Place> places_;
};

}  // namespace

Status write_checkpoint(Store& store, std::stop_token stop) {
  const std::lock_guard turn(store.compaction_turn);
  const SettledPacks settled = TRY(settle_packs(store), "checkpoint");
  CheckpointWriter writer(store, settled.journal_number, settled.first_open);
  for (const RawTableSpec* table : journaled_tables()) TRY(writer.write_table(*table, stop), "checkpoint");
  CRASH_POINT("cache.checkpoint.rows_written");
  TRY(writer.finish(), "checkpoint");
  CRASH_POINT("cache.checkpoint.end_written");
  TRY(store.writer.wait_durable(TRY(enqueue(store, writer.entry()))), "checkpoint");
  CRASH_POINT("cache.checkpoint.old_forgotten");
  return {};
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::JournalRow>::encode(const cache::JournalRow& row) {
  return ByteWriter()
      .u8(cache::row_version)
      .u64(row.number)
      .u64(row.bytes)
      .u64(row.first_pack)
      .u64(row.checkpoint_bytes)
      .take();
}

Result<cache::JournalRow> Codec<cache::JournalRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::JournalRow row;
  row.number = TRY(reader.u64());
  row.bytes = TRY(reader.u64());
  row.first_pack = TRY(reader.u64());
  row.checkpoint_bytes = TRY(reader.u64());
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
