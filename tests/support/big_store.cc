// SPDX-License-Identifier: Apache-2.0
#include "tests/support/big_store.h"

#include <fcntl.h>

#include <algorithm>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libcache/account/totals.h"
#include "libcache/gc/candidates.h"
#include "libcache/keys/key_rows.h"
#include "libcache/keys/operations.h"
#include "libcache/records/record_rows.h"
#include "libsnapshot/meta/id_pool.h"
#include "libsnapshot/meta/totals.h"

namespace cairn::test {
namespace {

using base::Status;
using base::lmdb::Env;
using base::lmdb::WriteTxn;
using cache::RecordId;
using snapshot::SnapshotId;

constexpr std::uint64_t rows_per_update = 100'000;

void must(const Status& status) { CHECK(status.has_value(), "fill a big store: {}", status.error().message); }
template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "fill a big store: {}", result.error().message);
  return std::move(*result);
}

class Filler {
 public:
  Filler(Env& env, const base::HostPath& root, const BigStoreOptions& options)
      : env_(env), root_(root), options_(options), keys_(options.records), usage_(tree_usage()) {}

  void fill() {
    for (std::uint64_t n = 0; n < options_.records; ++n) keys_[n] = {big_store_key(n), n};
    std::sort(keys_.begin(), keys_.end());
    fill_records();
    fill_keys();
    fill_links();
    must(env_.update([&](WriteTxn& txn) { return finish(txn); }));
  }

 private:
  struct Key {
    KeyDigest digest;
    std::uint64_t n = 0;
    auto operator<=>(const Key&) const = default;
  };

  bool has_parent(std::uint64_t n) const { return n % options_.chain != 0; }

  // Each n of a range, in pieces of one transaction.
  template <class F>
  void each(std::uint64_t count, F&& f) {
    for (std::uint64_t from = 0; from < count; from += rows_per_update)
      must(env_.update([&](WriteTxn& txn) -> Status {
        for (std::uint64_t n = from; n < std::min(count, from + rows_per_update); ++n) TRY(f(txn, n));
        return {};
      }));
  }

  snapshot::Usage tree_usage() {
    if (options_.files == 0) return {options_.tree_bytes, 2, options_.tree_bytes};
    make_tree(0);
    const base::Fd dir = must(base::open_host_dir(root_ / ("trees/" + std::to_string(big_store_record(0).value()))));
    const auto size = must(base::measure_tree(dir.get()));
    return {size.bytes, static_cast<std::int64_t>(options_.files) + 2, static_cast<std::int64_t>(options_.files) * 100};
  }

  void make_tree(std::uint64_t n) {
    const base::HostPath tree = root_ / ("trees/" + std::to_string(big_store_record(n).value()));
    must(base::make_host_dirs(tree / "fs"));
    const std::string bytes(100, 'x');
    for (std::uint64_t i = 0; i < options_.files; ++i) {
      const base::Fd file = must(base::open_host(tree / ("fs/file" + std::to_string(i)), O_CREAT | O_WRONLY, 0644));
      must(base::write_full(file.get(), std::string_view(bytes)));
    }
  }

  cache::RecordRow record(std::uint64_t n) const {
    cache::RecordRow row;
    row.snapshot = SnapshotId(big_store_record(n).value());
    if (has_parent(n)) row.parents.push_back(big_store_record(n - 1));
    row.facts.description = "exec step number " + std::to_string(n);
    row.facts.owner = {.project = "project-" + std::to_string(n % options_.projects),
                       .build = "build-" + std::to_string(n * options_.builds / options_.records),
                       .step = "step-" + std::to_string(n % options_.steps)};
    row.facts.build_time = std::chrono::milliseconds(10 + n % 5000);
    row.usage = usage_;
    row.created = row.last_used = options_.begin + options_.apart * static_cast<std::int64_t>(n);
    row.use_count = n % 7;
    row.space = {.exclusive_bytes = usage_.bytes, .exclusive_inodes = usage_.inodes};
    return row;
  }

  snapshot::SnapshotRow snapshot_row(std::uint64_t n) const {
    snapshot::SnapshotRow row;
    if (has_parent(n)) row.parent = SnapshotId(big_store_record(n - 1).value());
    row.usage = row.exclusive = usage_;
    row.depth = static_cast<std::uint32_t>(n % options_.chain) + 1;
    row.shape = snapshot::Shape::stacked;
    row.created = row.updated = options_.begin + options_.apart * static_cast<std::int64_t>(n);
    return row;
  }

  void fill_records() {
    each(options_.records, [&](WriteTxn& txn, std::uint64_t n) -> Status {
      const cache::RecordRow row = record(n);
      cache::count_record(totals_, row);
      return txn.put(cache::table::records, big_store_record(n), row);
    });
    each(options_.records, [&](WriteTxn& txn, std::uint64_t n) -> Status {
      const SnapshotId id(big_store_record(n).value());
      trees_ += usage_;
      return txn.put(snapshot::snapshot_table, id, snapshot_row(n));
    });
    each(options_.records, [&](WriteTxn& txn, std::uint64_t n) -> Status {
      if (!has_parent(n)) return {};
      const RecordId parent = big_store_record(n - 1), child = big_store_record(n);
      TRY(txn.put(snapshot::child_table, {SnapshotId(parent.value()), SnapshotId(child.value())}, snapshot::Present{}));
      return txn.put(cache::table::children, {parent, child}, cache::Present{});
    });
    for (std::uint64_t n = 1; options_.files > 0 && n < options_.records; ++n) make_tree(n);
  }

  void fill_keys() {
    each(options_.records, [&](WriteTxn& txn, std::uint64_t i) -> Status {
      const auto& [key, n] = keys_[i];
      const base::WallTime created = options_.begin + options_.apart * static_cast<std::int64_t>(n);
      return txn.put(cache::table::key_results, {key, big_store_record(n)}, cache::KeyResultRow{created});
    });
    each(options_.records, [&](WriteTxn& txn, std::uint64_t n) -> Status {
      return txn.put(cache::table::record_keys, {big_store_record(n), big_store_key(n)}, cache::Present{});
    });
  }

  void fill_links() {
    const base::Sha256Bytes operation = big_store_operation();
    const auto link_from = [&](const KeyDigest& from) { return cache::KeyLink{.from = from, .operation = operation}; };
    each(options_.records, [&](WriteTxn& txn, std::uint64_t i) -> Status {
      const auto& [key, n] = keys_[i];
      if (n + 1 >= options_.records || !has_parent(n + 1)) return {};
      ++links_;
      return txn.put(cache::table::key_links, {key, cache::way_of(link_from(key)), big_store_key(n + 1)},
                     cache::KeyLinkRow{.operation = operation});
    });
    each(options_.records, [&](WriteTxn& txn, std::uint64_t i) -> Status {
      const auto& [key, n] = keys_[i];
      if (!has_parent(n)) return {};
      const KeyDigest from = big_store_key(n - 1);
      return txn.put(cache::table::key_backlinks, {key, from, cache::way_of(link_from(from))}, cache::Present{});
    });
  }

  Status finish(WriteTxn& txn) {
    for (const auto& [key, row] : totals_) TRY(txn.put(cache::table::totals, key, row));
    TRY(txn.put(snapshot::total_table, snapshot::committed_total, snapshot::TotalRow{trees_}));
    if (links_ > 0) {
      const cache::OperationDigest operation(big_store_operation());
      TRY(txn.put(cache::table::operations, {operation, cache::OutputNumber(0)}, cache::OperationRow{links_}));
    }
    // The next id is that of the block behind this one.
    const std::uint64_t last = big_store_record(options_.records).value();
    const std::uint64_t block = (last - 1) / snapshot::ids_per_block * snapshot::ids_per_block + 1;
    TRY(txn.put(snapshot::block_table, SnapshotId(block), snapshot::Present{}));
    return cache::rebuild_candidates(txn);
  }

  Env& env_;
  const base::HostPath& root_;
  const BigStoreOptions& options_;
  std::vector<Key> keys_;  // in the order of their digests
  const snapshot::Usage usage_;
  cache::TotalMap totals_;
  snapshot::Usage trees_;
  std::uint64_t links_ = 0;
};

}  // namespace

KeyDigest big_store_key(std::uint64_t n) { return base::digest_of<KeyDigest>("big store key " + std::to_string(n)); }

RecordId big_store_record(std::uint64_t n) { return RecordId(n + 1); }

base::Sha256Bytes big_store_operation() { return base::sha256("big store operation"); }

void fill_big_store(Env& env, const base::HostPath& root, const BigStoreOptions& options) {
  Filler(env, root, options).fill();
}

}  // namespace cairn::test
