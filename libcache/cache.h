// SPDX-License-Identifier: Apache-2.0
// The cache manager: every durable fact of a store, and the only way to change one. It joins the snapshotter, the group
// writer and the tables; libsolver and tools see records, keys and blobs through it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/lmdb/env.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/path.h"
#include "libcache/blob_store.h"
#include "libcache/key_store.h"
#include "libcache/ref.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::cache {

class Publication {
 public:
  // Filled by MutableRef::commit; a record that already exists may be named by results without being added.
  void add_result(const KeyDigest& key, std::optional<ImmutableRef> result);  // nullopt: scratch
  void add_link(const KeyLink& link, const KeyDigest& target);
  bool empty() const;

 private:
  friend class Cache;
  friend class MutableRef;
  struct Record {
    RecordInfo info;
    ImmutableRef ref;
  };
  struct Result {
    KeyDigest key;
    std::optional<ImmutableRef> ref;
  };
  std::vector<Record> records_;
  std::vector<Result> results_;
  std::vector<std::pair<KeyLink, KeyDigest>> links_;
};

struct PruneOptions {
  bool all = false;      // also what a key leads to; without it only what nothing can find any more
  bool dry_run = false;  // selects with the same code and changes nothing
};
struct PruneReport {
  std::vector<RecordInfo> records;  // removed (or would be), in the order of removal: children before parents
  std::int64_t freed_bytes = 0;
};

struct DiskUsage {
  std::int64_t total_bytes = 0;  // allocated bytes of everything under the root: the sum of the lines below
  std::int64_t tree_bytes = 0;   // committed trees, flat copies included
  std::int64_t active_bytes = 0; // active and frozen trees
  std::int64_t trash_bytes = 0;  // being freed
  std::int64_t blob_bytes = 0;
  std::int64_t metadata_bytes = 0;
  std::int64_t other_bytes = 0;  // reserve, tmp, lock and version files, the directories themselves
  std::uint64_t records = 0;
};

// The tables of this library, for Env::open.
std::span<const base::lmdb::RawTableSpec* const> tables();

// Reading a store beside its owner: no lock, no hold, LMDB snapshot only. Records come in id order; the visitor must not
// write output or wait (collect first).
base::Status each_record(base::lmdb::Env& env, const base::HostPath& root,
                         const std::function<base::Status(const RecordInfo&)>& visit);
base::Result<DiskUsage> disk_usage(base::lmdb::Env& env, const base::HostPath& root);

// A broken invariant found by check(): its number in docs/invariants.md, and what is wrong with what.
struct Finding {
  int invariant = 0;
  std::string text;
};
// Compares metadata with the disk in both directions. Nothing else uses the store.
base::Result<std::vector<Finding>> check(base::lmdb::Env& env, const base::HostPath& root);

// Thread-safe.
class Cache {
 public:
  // All collaborators outlive the cache. The caller holds the store's lock.
  static base::Result<std::unique_ptr<Cache>> open(const base::HostPath& root, base::lmdb::Env& env,
                                                   base::lmdb::GroupWriter& writer, snapshot::Snapshotter& snapshots,
                                                   const base::Clock& clock);
  ~Cache();  // no ref may be alive

  // A new writable tree on parent (nullopt: empty).
  base::Result<MutableRef> create(std::optional<ImmutableRef> parent);

  // A hold on the record, taken in the same step as the check that it exists (I4); nullopt if it is gone. Marks it used.
  // O(1), never waits for I/O of others.
  base::Result<std::optional<ImmutableRef>> find(RecordId id);
  // The unpacked image layer chain, if some record holds it.
  base::Result<std::optional<ImmutableRef>> find_chain(const ChainId& chain);

  // Queues all rows of the publication as one change. Its keys are found by others at once; its records and keys survive
  // together or not at all. Returns the number to wait for (0 if the publication is empty). If its group fails, its
  // records lose their keys but stay usable for whoever holds them.
  base::Result<base::lmdb::SequenceNumber> publish(Publication publication);
  // The number that must be durable before a solve that used `ref` may report success.
  base::lmdb::SequenceNumber sequence_of(const ImmutableRef& ref) const;
  base::lmdb::GroupWriter& writer();

  KeyStore& keys();
  BlobStore& blobs();

  base::Result<PruneReport> prune(const PruneOptions& options, std::stop_token stop = {});
  base::Result<DiskUsage> disk_usage();

  // Writes what may ride along without a sync of its own (use times) where the next open finds it.
  void save_late_facts();

  struct Counts {
    std::uint64_t trees_mounted = 0;
    std::uint64_t tree_bytes_read = 0;  // by content digests
  };
  Counts counts() const;

 private:
  friend class ImmutableRef;
  friend class MutableRef;
  Cache();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache
