// SPDX-License-Identifier: Apache-2.0
// How files go: abandoned trees at once, retired ones from the trash, those of a dead owner at open. A name is always
// gone before its files are (I1), so each of these may stop anywhere and go on later.
#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libsnapshot/meta/totals.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;
using base::lmdb::Scan;

// So many abandoned trees wait to be erased, and so much of what was taken out of trees; whoever makes more of it erases it
// himself.
constexpr std::size_t doomed_max = 256;
// How much of the trash is read in one transaction, and how many rows one change removes.
constexpr std::size_t trash_batch = 256;
// How many shared inodes are given up in one change.
constexpr std::size_t claims_batch = 4096;

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

base::Result<bool> has_claims(base::lmdb::ReadTxn& txn, SnapshotId id) {
  bool any = false;
  TRY(txn.scan_raw(claim_table, base::Codec<SnapshotId>::encode(id), {},
                   [&](std::string_view, std::string_view) -> base::Result<Scan> {
                     any = true;
                     return Scan::stop;
                   }));
  return any;
}

base::Result<std::int64_t> bytes_of(base::lmdb::ReadTxn& txn, const std::vector<SnapshotId>& trash) {
  std::int64_t bytes = 0;
  for (const auto id : trash) bytes += TRY(txn.get(trash_table, id)).value_or(TrashRow{}).usage.bytes;
  return bytes;
}

base::Result<base::lmdb::SequenceNumber> drop_rows(base::lmdb::GroupWriter& writer, std::vector<SnapshotId> ids) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [ids = std::move(ids)](base::lmdb::WriteTxn& txn) -> Status {
    for (const auto id : ids) TRY(erase_trash_row(txn, id));
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
  const auto check = [&]() -> Status {
    return env_.view([&](base::lmdb::ReadTxn& txn) -> Status {
      const auto row = TRY(find_snapshot(txn, id));
      if (row) return fail(ErrorCode::invalid_argument, "abandon snapshot {}: it has been published", id);
      const auto loan = TRY(txn.get(lent_table, id));
      if (loan) return fail(ErrorCode::invalid_argument, "abandon snapshot {}: it is lent", id);
      return {};
    });
  };
  auto outcome = check();
  // No row names it, so nothing has to be written down: after a crash recovery finds it.
  if (outcome && housekeeper_.is_running() && live_.lock()->doom(id, doomed_max)) {
    housekeeper_.erase_soon();
    return {};
  }
  if (outcome) outcome = trees_.erase(id);
  CRASH_POINT("snapshot.abandon.files_gone");
  auto live = live_.lock();
  if (!outcome) {
    live->end_abandon(id, phase);
    return outcome;
  }
  live->forget_flat(id);
  live->remove(id);
  ids_.settle(id);
  return {};
}

void TreeSnapshotter::erase_doomed(const std::stop_token& stop) {
  const std::scoped_lock turn(erase_turn_);
  const auto doomed = live_.lock()->doomed();
  for (const auto id : doomed) {
    const auto erased = trees_.erase(id, stop);
    if (!erased && stop.stop_requested()) return;
    // What cannot be erased now keeps its block of ids, so the next open looks for it.
    if (!erased) base::log_warning("erase what was abandoned: {}", erased.error().message);
    live_.lock()->erased(id);
    if (erased) ids_.settle(id);
  }
}

void TreeSnapshotter::erase_taken(const std::stop_token& stop) {
  const auto erased = trees_.erase_taken(stop);
  if (!erased) base::log_warning("{}; the next open tries again", erased.error().message);
}

void TreeSnapshotter::erase_taken_soon() {
  const auto waiting = trees_.taken();
  if (waiting == 0) return;
  if (waiting <= doomed_max && housekeeper_.is_running()) return housekeeper_.erase_soon();
  erase_taken({});
}

// The files of one retired snapshot, and before them its part in what several share.
Status TreeSnapshotter::erase_tree(base::lmdb::GroupWriter& writer, SnapshotId id, const std::stop_token& stop) {
  {
    auto live = live_.lock();
    while (live->stop_flatten(id)) flattened_.wait(live.lock());
  }
  for (auto claims = Claims::left; claims == Claims::left;) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "erase tree {}", id);
    const bool any = TRY(env_.view([&](base::lmdb::ReadTxn& txn) { return has_claims(txn, id); }));
    if (!any) break;
    base::lmdb::GroupWriter::Entry entry;
    entry.change = [id, changed = exclusive_changed_](base::lmdb::WriteTxn& txn) -> Status {
      TRY(release_claims(txn, id, claims_batch, changed));
      CRASH_POINT("snapshot.erase.claims_released");
      return {};
    };
    TRY(writer.wait_durable(TRY(writer.enqueue(std::move(entry)))));
  }
  chains_.forget(id);
  TRY(trees_.erase(id, stop));
  CRASH_POINT("snapshot.erase.files_gone");
  live_.lock()->forget_flat(id);
  return {};
}

base::Result<std::int64_t> TreeSnapshotter::erase_trash(base::lmdb::GroupWriter& writer, std::stop_token stop) {
  const Housekeeper::Hurry hurry(housekeeper_);
  background_erase_.lock()->request_stop();  // what it does at the lowest priority we do at ours
  // Whoever wants space back wants that of a step that has failed for want of it, too.
  erase_doomed(stop);
  auto freed = erase_all(writer, stop);
  if (stop.stop_requested()) housekeeper_.erase_soon();  // which goes on
  return freed;
}

base::Result<std::int64_t> TreeSnapshotter::erase_all(base::lmdb::GroupWriter& writer, const std::stop_token& stop) {
  const std::scoped_lock turn(erase_turn_);
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
      outcome = erase_tree(writer, id, stop);
      if (!outcome) break;
      gone.push_back(id);
    }
    if (!gone.empty()) {
      // What a neighbour left behind may have become part of a row since it was read.
      freed += TRY(env_.view([&](base::lmdb::ReadTxn& txn) { return bytes_of(txn, gone); }));
      // Else a power cut could bring files back that no row speaks of any more.
      TRY(trees_.sync_names(), "make an erasure durable");
      CRASH_POINT("snapshot.erase.synced");
      number = TRY(drop_rows(writer, std::move(gone)));
    }
    if (!outcome && outcome.error().code == ErrorCode::cancelled) break;
    TRY(std::move(outcome));
    last = trash.back().id;
  }
  // The rows are gone when this returns, so that the next call does not count their bytes again.
  if (number != 0) TRY(writer.wait_durable(number));
  return freed;
}

namespace {

// Flat copies that an owner died over, or made and did not live to name.
Status recover_squashes(const TreeDirs& trees, base::lmdb::Env& env) {
  std::vector<SnapshotId> begun;
  TRY(env.view([&](base::lmdb::ReadTxn& txn) -> Status {
    begun.clear();
    return txn.scan(squash_table, "", [&](const SnapshotId& id, const Present&) -> base::Result<Scan> {
      begun.push_back(id);
      return Scan::next;
    });
  }));
  if (begun.empty()) return {};
  for (const auto id : begun) {
    TRY(trees.erase_part(id, "flat.tmp"), "erase what a dead owner left");
    TRY(trees.erase_part(id, "flat"), "erase what a dead owner left");
  }
  return env.update([&](base::lmdb::WriteTxn& txn) -> Status {
    for (const auto id : begun) TRY(txn.erase(squash_table, id));
    return {};
  });
}

}  // namespace

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
      const bool named = TRY(txn.get(snapshot_table, id)).has_value() || TRY(txn.get(trash_table, id)).has_value() ||
                         TRY(txn.get(lent_table, id)).has_value();
      if (!named) unnamed.push_back(id);
    }
    return {};
  }));
  for (const auto id : unnamed) {
    TRY(trees.erase(id), "erase what a dead owner left");
    CRASH_POINT("snapshot.recover.erased");
  }
  TRY(recover_squashes(trees, env));
  if (!unnamed.empty()) base::log_info("erased {} unfinished trees of an earlier owner", unnamed.size());
  return blocks;
}

}  // namespace cairn::snapshot
