// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/scrub_trees.h"

#include <unordered_map>
#include <vector>

#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libbase/log/log.h"
#include "libcache/account/account.h"
#include "libcache/pages/page_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;
using snapshot::SnapshotId;

namespace {

constexpr std::int64_t step_bytes = 16 << 20;
constexpr std::size_t step_records = 1024;
constexpr std::size_t marks_per_change = 256;
constexpr int tries = 3;
constexpr std::size_t kept_pages_max = 64 << 20;  // of one tree, to be compared with those of its record

struct NewSeal {
  RecordId record;
  SnapshotId snapshot;
  SealRow row;
};

// Of the record, if its tree is here and not known to be damaged.
Result<std::optional<ToScrub>> load(ReadTxn& txn, RecordId id, const RecordRow& row) {
  if (!row.snapshot || TRY(is_damaged(txn, id))) return std::optional<ToScrub>();
  ToScrub tree{.record = id, .snapshot = row.snapshot, .sealed = {}, .pages = {}};
  if (const auto info = TRY(snapshot::find_snapshot(txn, row.snapshot))) tree.flattened = info->flattened;
  tree.sealed = TRY(txn.get(table::tree_seals, row.snapshot));
  if (tree.sealed && tree.sealed->rules != seal_rules) tree.sealed.reset();
  if (tree.sealed) return std::optional<ToScrub>(std::move(tree));
  if (const auto root = TRY(txn.get(table::page_roots, {id, digest_path_name("")}))) tree.pages = root->page;
  return std::optional<ToScrub>(std::move(tree));
}

}  // namespace

Result<std::vector<ToScrub>> next_trees(base::lmdb::Env& env, RecordId& next) {
  std::vector<ToScrub> trees;
  RecordId after;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    trees.clear();
    after = RecordId();
    std::int64_t bytes = 0;
    std::size_t seen = 0;
    return txn.scan_all(
        table::records, base::Codec<RecordId>::encode(next),
        [&](std::string_view key, std::string_view value) -> Result<Scan> {
          const auto id = TRY(base::Codec<RecordId>::decode(key));
          if (bytes >= step_bytes || seen++ == step_records) {
            after = id;
            return Scan::stop;
          }
          const auto row = TRY(base::Codec<RecordRow>::decode(value));
          if (auto tree = TRY(load(txn, id, row))) trees.push_back(std::move(*tree));
          bytes += row.usage.logical_bytes;
          return Scan::next;
        },
        [](std::string_view) {});  // a row whose value is damaged is for fsck
  }));
  next = after;
  return trees;
}

namespace {

Result<bool> is_still_there(ReadTxn& txn, RecordId record, SnapshotId snapshot) {
  const auto row = TRY(txn.get(table::records, record));
  return row && row->snapshot == snapshot;
}

class TreeScrub {
 public:
  TreeScrub(Store& store, ScrubPace& pace, ScrubReport& report)
      : store_(store), report_(report), comparison_(store.env, store.root, [&](std::uint64_t bytes) {
          report.tree_bytes += bytes;
          pace.read(bytes);
        }, pace.stop()) {}

  // Compares, or makes a seal. An error ends the scrub.
  Status look_at(const ToScrub& tree);
  // Queues the new seals, and the place where the next scrub begins.
  Status save(RecordId next);
  // Returns when what was saved is durable.
  Status settle() { return last_ == 0 ? Status() : store_.writer.wait_durable(last_); }

 private:
  Store& store_;
  ScrubReport& report_;
  TreeComparison comparison_;
  std::vector<NewSeal> seals_;
  base::lmdb::SequenceNumber last_ = 0;
};

}  // namespace

// A tree is read beside whoever uses it: a merge that links its files changes them for a moment.
Result<TreeComparison::Look> TreeComparison::look(const ToScrub& tree, const char* part, const PageSink& pages) {
  const SealOptions options{.read = read_, .pages = pages, .stop = stop_};
  std::string why;
  for (int i = 0; i < tries; ++i) {
    const auto directory = base::open_host_dir(tree_path(root_, tree.snapshot) / part);
    auto seal = directory ? seal_of(directory->get(), options) : tl::unexpected(directory.error());
    if (seal) return Look{*seal, {}};
    const ErrorCode code = seal.error().code;
    if (code != ErrorCode::io && code != ErrorCode::not_found) return tl::unexpected(std::move(seal).error());
    why = code == ErrorCode::not_found ? fmt::format("{}/ is missing", part) : seal.error().message;
  }
  return Look{{}, why};
}

Result<std::string> TreeComparison::compare_with_pages(const ToScrub& tree, const TreeSeal& own,
                                                       const std::unordered_map<PageName, std::string>& pages) {
  const PageLoad read_own = [&](const PageName& name) -> Result<std::string> {
    const auto found = pages.find(name);
    if (found == pages.end()) return base::fail(ErrorCode::corrupt, "page {} is missing", name);
    return found->second;
  };
  const PageLoad read_whole = [&](const PageName& name) -> Result<std::string> {
    auto row = TRY(env_.view([&](ReadTxn& txn) { return txn.get(table::pages, name); }));
    if (!row) return base::fail(ErrorCode::corrupt, "page {} is missing", name);
    return std::move(row->bytes);
  };
  auto path = first_difference(PageName(own.bytes()), read_own, *tree.pages, read_whole);
  // Pages that are gone meanwhile, or damaged, say nothing of the tree.
  if (!path && path.error().code == ErrorCode::corrupt) return std::string();
  if (!path) return tl::unexpected(std::move(path).error());
  return path->empty() ? std::string() : fmt::format("\"{}\" is not what came in", *path);
}

Result<std::string> TreeComparison::compare(const ToScrub& tree, SealRow& now) {
  std::unordered_map<PageName, std::string> pages;
  std::size_t bytes = 0;
  PageSink keep;
  if (!tree.sealed && tree.pages) {
    keep = [&](const PageName& name, std::string page) {
      bytes += page.size();
      if (bytes <= kept_pages_max) pages.emplace(name, std::move(page));
    };
  }
  const Look changes = TRY(look(tree, "fs", keep));
  if (!changes.seal) return changes.wrong;
  now.changes = *changes.seal;
  if (tree.sealed && tree.sealed->changes != now.changes) return std::string("fs/ is not what its seal says");
  if (keep && bytes <= kept_pages_max)
    if (std::string wrong = TRY(compare_with_pages(tree, now.changes, pages)); !wrong.empty()) return wrong;
  if (!tree.flattened) return std::string();
  const Look flat = TRY(look(tree, "flat", {}));
  if (!flat.seal) return flat.wrong;
  now.flat = flat.seal;
  if (tree.sealed && tree.sealed->flat && tree.sealed->flat != now.flat) return std::string("flat/ is not what its seal says");
  return std::string();
}

namespace {

Status TreeScrub::look_at(const ToScrub& tree) {
  SealRow now;
  auto wrong = comparison_.compare(tree, now);
  // The files of what was retired meanwhile go: rows first (I1).
  const bool there = TRY(store_.env.view([&](ReadTxn& txn) { return is_still_there(txn, tree.record, tree.snapshot); }));
  if (!there) return {};
  if (!wrong) return tl::unexpected(std::move(wrong).error());
  ++report_.trees;
  if (!wrong->empty()) {
    ++report_.damaged_trees;
    report_.quarantined_records += TRY(quarantine_record(store_, tree.record, *wrong));
    return {};
  }
  if (tree.sealed == now) return {};
  if (!tree.sealed) ++report_.sealed;
  seals_.push_back({tree.record, tree.snapshot, now});
  return {};
}

Status TreeScrub::save(RecordId next) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [seals = std::exchange(seals_, {}), next](WriteTxn& txn) -> Status {
    for (const NewSeal& seal : seals)
      if (TRY(is_still_there(txn, seal.record, seal.snapshot))) TRY(txn.put(table::tree_seals, seal.snapshot, seal.row));
    TRY(txn.put(table::tree_scrub, tree_scrub_key, TreeScrubRow{next}));
    CRASH_POINT("cache.scrub.trees_sealed");
    return {};
  };
  last_ = TRY(enqueue(store_, std::move(entry)));
  return {};
}

// What a quarantine still has to mark, the next one last; what is built on a record is marked before it, so that nothing
// that is built on a damaged record is ever sound. Owned by the change that works on it, which may run twice.
struct Marking {
  std::vector<RecordId> before, after;
  std::uint64_t marked = 0;
};

Result<std::vector<RecordId>> unmarked_children(const ReadTxn& txn, RecordId on) {
  std::vector<RecordId> found;
  TRY(scan_rows(txn, table::children, key_prefix(on), [&](const auto& key, const Present&) -> Result<Scan> {
    const RecordId child = std::get<1>(key);
    if (!TRY(is_damaged(txn, child))) found.push_back(child);
    return found.size() < marks_per_change ? Scan::next : Scan::stop;
  }));
  return found;
}

Status mark_some(WriteTxn& txn, Marking& marking, const std::string& reason, base::WallTime when) {
  marking.after = marking.before;
  marking.marked = 0;
  const RecordId first = marking.before.front();
  while (!marking.after.empty() && marking.marked < marks_per_change) {
    const RecordId record = marking.after.back();
    const auto children = TRY(unmarked_children(txn, record));
    marking.after.insert(marking.after.end(), children.begin(), children.end());
    if (!children.empty()) continue;
    marking.after.pop_back();
    const bool is_marked = TRY(is_damaged(txn, record));  // it is built on two of them
    if (is_marked || !TRY(txn.get(table::records, record))) continue;
    TRY(mark_damaged(txn, record, {when, record == first ? reason : fmt::format("it is built on record {}", first)}));
    ++marking.marked;
  }
  CRASH_POINT("cache.quarantine.records_marked");
  return {};
}

}  // namespace

Result<std::uint64_t> quarantine_record(Store& store, RecordId record, const std::string& reason) {
  std::uint64_t all = 0;
  for (std::vector<RecordId> left = {record}; !left.empty();) {
    const auto marking = std::make_shared<Marking>();
    marking->before = std::move(left);
    base::lmdb::GroupWriter::Entry entry;
    entry.change = [marking, reason, when = store.clock.now()](WriteTxn& txn) { return mark_some(txn, *marking, reason, when); };
    TRY(store.writer.wait_durable(TRY(enqueue(store, std::move(entry)))));
    all += marking->marked;
    left = std::move(marking->after);
  }
  if (all > 0) base::log_warning("the tree of record {} is damaged, and {} records become misses: {}", record, all, reason);
  return all;
}

Status save_tree_position(Store& store, RecordId next) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [next](WriteTxn& txn) { return txn.put(table::tree_scrub, tree_scrub_key, TreeScrubRow{next}); };
  TRY(enqueue(store, std::move(entry)));
  return {};
}

Result<bool> scrub_trees(Store& store, ScrubOptions::From from, ScrubPace& pace, ScrubReport& report) {
  const auto row = store.env.view([](ReadTxn& txn) { return txn.get(table::tree_scrub, tree_scrub_key); });
  RecordId next = row && *row && from == ScrubOptions::From::last_stop ? (*row)->next : RecordId();
  TreeScrub scrub(store, pace, report);
  do {
    for (const ToScrub& tree : TRY(next_trees(store.env, next))) {
      const Status looked = pace.is_stopped() ? base::fail(ErrorCode::cancelled, "scrub") : scrub.look_at(tree);
      if (!looked && looked.error().code == ErrorCode::cancelled) {
        TRY(scrub.save(tree.record));
        TRY(scrub.settle());
        return false;
      }
      TRY(Status(looked));
    }
    TRY(scrub.save(next));
  } while (next);
  TRY(scrub.settle());
  return true;
}

}  // namespace cairn::cache
