// SPDX-License-Identifier: Apache-2.0
// How files go: abandoned trees at once, retired ones from the trash, those of a dead owner at open. A name is always
// gone before its files are (I1), so each of these may stop anywhere and go on later.
#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;
using base::lmdb::Scan;

// How much of the trash is read in one transaction, and how many rows one change removes.
constexpr std::size_t trash_batch = 256;

struct Trash {
  SnapshotId id;
  Usage usage;
};

base::Result<std::vector<Trash>> read_trash(base::lmdb::Env& env, SnapshotId after) {
  return env.view([&](base::lmdb::ReadTxn& txn) -> base::Result<std::vector<Trash>> {
    std::vector<Trash> trash;
    const auto from = base::Codec<SnapshotId>::encode(SnapshotId(after.value() + 1));
    TRY(txn.scan_raw(trash_table, {}, from, [&](std::string_view key, std::string_view value) -> base::Result<Scan> {
      const auto id = TRY(base::Codec<SnapshotId>::decode(key), "snapshot.trash key");
      trash.push_back({id, TRY(base::Codec<TrashRow>::decode(value), "snapshot.trash row").usage});
      return trash.size() < trash_batch ? Scan::next : Scan::stop;
    }));
    return trash;
  });
}

base::Result<base::lmdb::SequenceNumber> drop_rows(base::lmdb::GroupWriter& writer, std::vector<SnapshotId> ids) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [ids = std::move(ids)](base::lmdb::WriteTxn& txn) -> Status {
    for (const auto id : ids) TRY(txn.erase(trash_table, id));
    CRASH_POINT("snapshot.erase.row_gone");
    return {};
  };
  return writer.enqueue(std::move(entry));
}

}  // namespace

Status TreeSnapshotter::abandon(SnapshotId id) {
  const auto phase = TRY(live_.lock()->begin_abandon(id));
  if (phase == Phase::view) {  // nothing of it is on the disk
    live_.lock()->remove(id);
    ids_.settle(id);
    return {};
  }
  const auto erase = [&]() -> Status {
    const auto row = TRY(env_.view([&](base::lmdb::ReadTxn& txn) { return find_snapshot(txn, id); }));
    if (row) return fail(ErrorCode::invalid_argument, "abandon snapshot {}: it has been published", id);
    TRY(trees_.erase(id), "abandon");
    CRASH_POINT("snapshot.abandon.files_gone");
    return {};
  };
  const auto erased = erase();
  auto live = live_.lock();
  if (!erased) {
    live->end_abandon(id, phase);
    return erased;
  }
  live->forget_flat(id);
  live->remove(id);
  ids_.settle(id);
  return {};
}

base::Result<std::int64_t> TreeSnapshotter::erase_trash(base::lmdb::GroupWriter& writer, std::stop_token stop) {
  std::int64_t freed = 0;
  SnapshotId last;
  base::lmdb::SequenceNumber number = 0;
  while (!stop.stop_requested()) {
    const auto trash = TRY(read_trash(env_, last));
    if (trash.empty()) break;
    std::vector<SnapshotId> gone;
    Status outcome;
    for (const auto& [id, usage] : trash) {
      if (stop.stop_requested()) break;
      chains_.forget(id);
      outcome = trees_.erase(id);
      if (!outcome) break;
      CRASH_POINT("snapshot.erase.files_gone");
      live_.lock()->forget_flat(id);
      freed += usage.bytes;
      gone.push_back(id);
    }
    if (!gone.empty()) {
      // Else a power cut could bring files back that no row speaks of any more.
      TRY(trees_.sync_names(), "make an erasure durable");
      CRASH_POINT("snapshot.erase.synced");
      number = TRY(drop_rows(writer, std::move(gone)));
    }
    TRY(std::move(outcome));
    last = trash.back().id;
  }
  // The rows are gone when this returns, so that the next call does not count their bytes again.
  if (number != 0) TRY(writer.wait_durable(number));
  return freed;
}

base::Result<std::vector<std::uint64_t>> recover(const TreeDirs& trees, base::lmdb::Env& env) {
  auto blocks = TRY(read_blocks(env));
  std::vector<SnapshotId> there;
  for (const auto first : blocks) {
    for (std::uint64_t value = first; value < first + ids_per_block; ++value) {
      if (TRY(trees.exists(SnapshotId(value)))) there.push_back(SnapshotId(value));
    }
  }
  std::vector<SnapshotId> unnamed;
  TRY(env.view([&](base::lmdb::ReadTxn& txn) -> Status {
    unnamed.clear();
    for (const auto id : there) {
      const bool named = TRY(txn.get(snapshot_table, id)).has_value() || TRY(txn.get(trash_table, id)).has_value();
      if (!named) unnamed.push_back(id);
    }
    return {};
  }));
  for (const auto id : unnamed) {
    TRY(trees.erase(id), "erase what a dead owner left");
    CRASH_POINT("snapshot.recover.erased");
  }
  if (!unnamed.empty()) base::log_info("erased {} unfinished trees of an earlier owner", unnamed.size());
  return blocks;
}

}  // namespace cairn::snapshot
