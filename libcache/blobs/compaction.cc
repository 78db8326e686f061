// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/compaction.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/journal.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::uint64_t step_bytes_max = 4u << 20;
constexpr std::uint64_t block = 4096;

struct Candidate {
  std::uint64_t pack = 0;
  PackRow row;
};

Status commit(Store& store, base::lmdb::GroupWriter::Entry entry) {
  return store.writer.wait_durable(TRY(enqueue(store, std::move(entry))));
}

Result<std::vector<Candidate>> packs_that(Store& store, const std::function<bool(const PackRow&)>& wanted) {
  std::vector<Candidate> found;
  TRY(store.env.view([&](ReadTxn& txn) {
    return scan_rows(txn, table::packs, {}, [&](const PackId& id, const PackRow& row) -> Result<Scan> {
      if (id != PackId(0) && wanted(row)) found.push_back({id.value(), row});
      return Scan::next;
    });
  }));
  return found;
}

bool names(const BlobRow& row, const PackLocation& at, EntryKind kind) {
  if (row.at != at) return false;
  return kind == (row.place == BlobPlace::pack ? EntryKind::blob : EntryKind::checksums);
}

struct LiveEntry {
  std::uint64_t offset = 0;
  EntryHeader header;
  PackLocation to;
};

// Entries of the pack that rows name, in order. The rest of what the row calls live is the journal's.
Result<std::vector<LiveEntry>> live_entries(Store& store, const PackFile& pack) {
  std::vector<LiveEntry> entries;
  TRY(scan_pack(pack.file.get(), pack.identity.salt, 0, [&](std::uint64_t offset, const EntryHeader& header) -> Result<Scan> {
    if (header.kind == EntryKind::blob || header.kind == EntryKind::checksums) entries.push_back({offset, header, {}});
    return Scan::next;
  }));
  std::vector<LiveEntry> live;
  for (std::size_t from = 0; from < entries.size(); from += rows_per_view) {
    const std::size_t to = std::min(entries.size(), from + rows_per_view);
    TRY(store.env.view([&](ReadTxn& txn) -> Status {
      for (std::size_t i = from; i < to; ++i) {
        const auto row = TRY(txn.get(table::blobs, entries[i].header.digest));
        if (row && names(*row, {pack.identity.id, entries[i].offset}, entries[i].header.kind)) live.push_back(entries[i]);
      }
      return {};
    }));
  }
  return live;
}

// Rows that still name the old place name the new one.
base::lmdb::GroupWriter::Change move_rows(std::uint64_t pack, std::shared_ptr<const std::vector<LiveEntry>> moved) {
  return [pack, moved](WriteTxn& txn) -> Status {
    for (const LiveEntry& entry : *moved) {
      auto row = TRY(txn.get(table::blobs, entry.header.digest));
      if (!row || !names(*row, {pack, entry.offset}, entry.header.kind)) continue;
      row->at = entry.to;
      TRY(put_blob(txn, entry.header.digest, *row));
    }
    return {};
  };
}

Status move_step(Store& store, const PackFile& pack, std::span<const LiveEntry> step, Compaction& done) {
  const auto moved = std::make_shared<std::vector<LiveEntry>>();
  base::lmdb::GroupWriter::Entry entry;
  std::vector<Appended> copies;
  for (const LiveEntry& live : step) {
    const auto payload = read_payload(pack.file.get(), live.offset, live.header);
    if (!payload && payload.error().code == ErrorCode::corrupt) {
      base::log_warning("pack {} is not compacted: {}", pack_name(pack.identity.id), payload.error().message);
      continue;
    }
    if (!payload) return tl::unexpected(payload.error());
    LiveEntry copy = live;
    copies.push_back(TRY(store.packs->append(live.header, *payload)));
    copy.to = copies.back().at();
    if (const auto token = Packs::token(copy.to.pack); entry.data.empty() || entry.data.back() != token)
      entry.data.push_back(token);
    done.moved_bytes += entry_bytes(live.header.size);
    ++done.moved_entries;
    moved->push_back(copy);
  }
  CRASH_POINT("cache.compact.entries_copied");
  entry.change = move_rows(pack.identity.id, moved);
  TRY(commit(store, std::move(entry)));
  CRASH_POINT("cache.compact.rows_moved");
  return {};
}

// Deletes the pack if nothing in it lives. I1: its row goes first.
Status drop_pack(Store& store, std::uint64_t pack, Compaction& done) {
  const auto gone = std::make_shared<std::int64_t>(0);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [pack, gone](WriteTxn& txn) -> Status {
    *gone = 0;
    const auto row = TRY(txn.get(table::packs, PackId(pack)));
    if (!row || row->live != 0) return {};
    *gone = static_cast<std::int64_t>((row->end + block - 1) / block * block - row->punched);
    return txn.erase(table::packs, PackId(pack));
  };
  TRY(commit(store, std::move(entry)));
  if (*gone == 0) return {};
  CRASH_POINT("cache.compact.row_erased");
  TRY(store.packs->remove(pack));
  done.freed_bytes += *gone;
  ++done.packs;
  return {};
}

Status compact(Store& store, std::uint64_t id, std::stop_token stop, Compaction& done) {
  const auto pack = store.packs->open_pack(id);
  if (!pack && pack.error().code != ErrorCode::not_found) return tl::unexpected(pack.error());
  if (pack) {
    const std::vector<LiveEntry> live = TRY(live_entries(store, **pack));
    for (std::size_t from = 0; from < live.size();) {
      if (stop.stop_requested()) return {};
      std::size_t to = from;
      for (std::uint64_t bytes = 0; to < live.size() && bytes < step_bytes_max; ++to) bytes += live[to].header.size;
      TRY(move_step(store, **pack, std::span(live).subspan(from, to - from), done));
      from = to;
    }
  }
  return drop_pack(store, id, done);
}

}  // namespace

Result<SettledPacks> settle_packs(Store& store) {
  SettledPacks settled{store.packs->seal(), 0};
  const auto number = std::make_shared<std::uint64_t>(0);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [number](WriteTxn& txn) -> Status {
    *number = TRY(txn.get(table::journal, "last")).value_or(JournalRow{}).number;
    return {};
  };
  TRY(commit(store, std::move(entry)));
  settled.journal_number = *number;
  return settled;
}

Result<Compaction> compact_packs(Store& store, std::stop_token stop) {
  const std::lock_guard turn(store.compaction_turn);
  Compaction done;
  // The journal is not moved: what it takes goes with the next checkpoint.
  const auto half_dead = [](const PackRow& row) { return row.journal == 0 && row.live < (row.end - row.punched) / 2; };
  if (TRY(packs_that(store, half_dead), "compact packs").empty()) return done;
  const std::uint64_t first_open = TRY(settle_packs(store), "compact packs").first_open;
  std::vector<Candidate> candidates = TRY(packs_that(store, half_dead), "compact packs");
  std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.row.live < b.row.live; });
  for (const Candidate& candidate : candidates) {
    if (stop.stop_requested()) break;
    if (candidate.pack >= first_open) continue;
    TRY(compact(store, candidate.pack, stop, done), "compact pack {}", pack_name(candidate.pack));
  }
  done.freed_bytes -= static_cast<std::int64_t>(done.moved_bytes);
  return done;
}

namespace {

struct Hole {
  std::uint64_t begin = 0, end = 0;
};

// The whole blocks between entries that live. The journal lives.
Result<std::vector<Hole>> dead_blocks(Store& store, const PackFile& pack, std::uint64_t end) {
  std::vector<Hole> live;
  for (const LiveEntry& entry : TRY(live_entries(store, pack)))
    live.push_back({entry.offset, entry.offset + entry_bytes(entry.header.size)});
  TRY(scan_pack(pack.file.get(), pack.identity.salt, 0, [&](std::uint64_t offset, const EntryHeader& header) -> Result<Scan> {
    if (header.number != 0) live.push_back({offset, offset + entry_bytes(header.size)});
    return Scan::next;
  }));
  live.push_back({0, pack_header_size});
  live.push_back({end, end});
  std::sort(live.begin(), live.end(), [](const Hole& a, const Hole& b) { return a.begin < b.begin; });
  std::vector<Hole> holes;
  for (std::size_t i = 1; i < live.size(); ++i) {
    const std::uint64_t begin = (live[i - 1].end + block - 1) / block * block;
    const std::uint64_t to = live[i].begin / block * block;
    if (begin < to) holes.push_back({begin, to});
  }
  return holes;
}

Result<std::int64_t> punch(Store& store, std::uint64_t id, const PackRow& before) {
  const auto pack = TRY(open_pack_file(store.packs->path_of(id), id, O_RDWR));
  const std::vector<Hole> holes = TRY(dead_blocks(store, *pack, before.end));
  const auto blocks_before = TRY(base::stat_fd(pack->file.get())).st_blocks;
  for (const Hole& hole : holes)
    if (::fallocate(pack->file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<::off_t>(hole.begin),
                    static_cast<::off_t>(hole.end - hole.begin)) != 0)
      return base::fail_errno(errno, "punch");
  CRASH_POINT("cache.punch.punched");
  const auto blocks_after = TRY(base::stat_fd(pack->file.get())).st_blocks;
  const std::int64_t freed = std::int64_t{blocks_before - blocks_after} * 512;
  base::lmdb::GroupWriter::Entry entry;
  std::uint64_t punched = 0;
  for (const Hole& hole : holes) punched += hole.end - hole.begin;
  entry.change = [id, punched](WriteTxn& txn) -> Status {
    auto row = TRY(txn.get(table::packs, PackId(id)));
    if (!row) return {};
    row->punched = punched;
    return txn.put(table::packs, PackId(id), *row);
  };
  TRY(commit(store, std::move(entry)));
  return freed;
}

}  // namespace

Result<std::int64_t> punch_packs(Store& store, std::stop_token stop) {
  const std::lock_guard turn(store.compaction_turn);
  const auto tenth_dead = [](const PackRow& row) { return row.end - row.live - row.punched > row.end / 10; };
  if (TRY(packs_that(store, tenth_dead), "punch packs").empty()) return std::int64_t{0};
  const std::uint64_t first_open = TRY(settle_packs(store), "punch packs").first_open;
  std::int64_t freed = 0;
  for (const Candidate& candidate : TRY(packs_that(store, tenth_dead), "punch packs")) {
    if (stop.stop_requested()) break;
    if (candidate.pack < first_open) freed += TRY(punch(store, candidate.pack, candidate.row), "punch pack {}", pack_name(candidate.pack));
  }
  return freed;
}

Status erase_unnamed_packs(Store& store) {
  const std::vector<std::uint64_t> ids = TRY(list_packs(store.root));
  for (const std::uint64_t id : ids) {
    if (id == ids.back()) break;
    const auto row = TRY(store.env.view([&](ReadTxn& txn) { return txn.get(table::packs, PackId(id)); }));
    if (!row) TRY(store.packs->remove(id));
  }
  return {};
}

}  // namespace cairn::cache
