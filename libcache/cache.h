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

struct Store;  // private
class StatCache;
enum class StatsOf : std::uint8_t;

class Publication {
 public:
  // Filled by MutableRef::commit; a record that already exists may be named by results without being added.
  void add_result(const KeyDigest& key, std::optional<ImmutableRef> result);  // nullopt: scratch
  void add_link(const KeyLink& link, const KeyDigest& target);
  // The record needs this blob (an image its manifest and config): the blob stays as long as the record. The blob exists
  // already; if it does not when the publication takes effect, the whole publication fails.
  void add_blob(const ImmutableRef& ref, const BlobDigest& blob);
  bool empty() const;

 private:
  friend class Cache;
  friend class MutableRef;
  struct Result {
    KeyDigest key;
    std::optional<ImmutableRef> ref;
  };
  std::vector<ImmutableRef> records_;
  std::vector<Result> results_;
  std::vector<std::pair<KeyLink, KeyDigest>> links_;
  std::vector<std::pair<ImmutableRef, BlobDigest>> blobs_;
};

struct PruneOptions {
  bool all = false;      // also what a key leads to; without it only what no key leads to any more
  bool dry_run = false;  // selects with the same code and changes nothing
};
struct PruneReport {
  std::vector<RecordInfo> records;  // removed (or would be), in the order of removal: children before parents
  std::uint64_t blobs = 0;          // removed with them: blobs that no record names any more
  std::int64_t freed_bytes = 0;     // of trees and blobs; what an earlier, stopped prune left in the trash included
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

// Reading a store beside its owner: no lock, no hold, LMDB snapshots only (renewed every 10,000 rows). Records come in
// id order; the visitor must not write output or wait (collect first). disk_usage measures active trees by walking
// them; which they are it learns from the names in trees/, so beside an owner it costs O(trees) names, no more.
base::Status each_record(base::lmdb::Env& env, const base::HostPath& root,
                         const std::function<base::Status(const RecordInfo&)>& visit);
base::Result<DiskUsage> disk_usage(base::lmdb::Env& env, const base::HostPath& root);

// A broken invariant found by check(): its number in docs/invariants.md, and what is wrong with what.
struct Finding {
  int invariant = 0;
  std::string text;
};
// Compares metadata with the disk in both directions (I1, I3, I5, I6). Nothing else uses the store. O(rows + trees); reads
// no contents.
base::Result<std::vector<Finding>> check(base::lmdb::Env& env, const base::HostPath& root);

struct ScrubOptions {
  std::uint64_t bytes_per_second = 0;  // on the average; 0: as fast as it goes
  enum class From { last_stop, beginning } from = From::last_stop;
};
struct ScrubReport {
  std::uint64_t blobs = 0, bytes = 0;  // read back and compared with their names
  std::uint64_t damaged = 0;           // of them: quarantined, and misses from now on
  bool reached_end = false;
};

// Thread-safe.
class Cache {
 public:
  // All collaborators outlive the cache. The caller holds the store's lock.
  static base::Result<std::unique_ptr<Cache>> open(const base::HostPath& root, base::lmdb::Env& env,
                                                   base::lmdb::GroupWriter& writer, snapshot::Snapshotter& snapshots,
                                                   const base::Clock& clock);
  ~Cache();  // no ref may be alive; waits until what it has queued is durable

  // A new writable tree on parent (nullopt: empty).
  base::Result<MutableRef> create(std::optional<ImmutableRef> parent);

  // A hold on the record, taken in the same step as the check that it exists (I4); nullopt if it is gone. Marks it used.
  // O(1), never waits for I/O of others. Inside KeyStore::read on the same thread it uses that reader's version and
  // costs no transaction of its own.
  base::Result<std::optional<ImmutableRef>> find(RecordId id);
  // The unpacked image layer chain, if some record holds it.
  base::Result<std::optional<ImmutableRef>> find_chain(const ChainId& chain);

  // Queues all rows of the publication as one change. Its keys are found by others at once; its records and keys survive
  // together or not at all. Returns the number to wait for (0 if the publication is empty). If its group fails, its
  // records lose their keys but stay usable for whoever holds them.
  base::Result<base::lmdb::SequenceNumber> publish(Publication publication);
  // The number that must be durable before a solve that used `ref` may report success; 0 if it is durable, or was never
  // published. The number of a publication that failed stays: waiting for it gives its error.
  base::lmdb::SequenceNumber sequence_of(const ImmutableRef& ref) const;
  base::lmdb::GroupWriter& writer();

  KeyStore& keys();
  BlobStore& blobs();
  // What is known of files of plain directories, for a digest or a sync that begins now. Gone before the cache is.
  std::unique_ptr<StatCache> remember_files(StatsOf of);

  // Removes what nothing holds, in small transactions; lookups and commits go on meanwhile. One prune at a time (a second
  // one waits). Stopping returns what has been done so far. Errors: io, corrupt, cancelled (nothing was done).
  base::Result<PruneReport> prune(const PruneOptions& options, std::stop_token stop = {});
  // Moves what lives out of packs of which more than half is dead, and deletes those (docs/formats/packs.md): in small
  // steps, one caller at a time (a second one waits). Returns the bytes that are free now and were not. Errors: io,
  // no_space.
  base::Result<std::int64_t> compact_packs(std::stop_token stop = {});
  // Reads blobs back, in the idle class of the disk, from where the last scrub stopped up to the last one. A damaged one
  // becomes a miss (docs/formats/store.md, quarantine), which the report counts. Stopping keeps the place. Errors: io.
  base::Result<ScrubReport> scrub(const ScrubOptions& options, std::stop_token stop = {});
  // Blobs that were found damaged and have not been forgotten since.
  base::Result<std::uint64_t> quarantined();
  // Writes all facts into the packs anew and gives the space of the journal before that back (docs/formats/journal.md).
  // checkpoint_if_due() does it when the journal has grown by 16 MiB and by twice the last checkpoint; true: it did.
  // Errors: io, no_space, cancelled, corrupt (a row is damaged; the last checkpoint stays, for a rebuild).
  base::Status checkpoint(std::stop_token stop = {});
  base::Result<bool> checkpoint_if_due(std::stop_token stop = {});
  // For a full disk: gives dead blocks of packs back where they are, which needs no space. Errors: io, unavailable.
  base::Result<std::int64_t> punch_packs(std::stop_token stop = {});
  // As the functions above, with what this process knows already: use times, and its own active trees by id.
  base::Status each_record(const std::function<base::Status(const RecordInfo&)>& visit);
  base::Result<DiskUsage> disk_usage();  // active trees are measured at most once a second

  // As check(), from the process that owns the store: its active trees are no findings. Nothing is created, published or
  // pruned meanwhile, and what was queued is durable.
  base::Result<std::vector<Finding>> check();

  // Writes what may ride along without a sync of its own (use times) where the next open finds it. Losing it is allowed.
  void save_late_facts();

  struct Counts {
    std::uint64_t trees_mounted = 0;    // through refs, content digests included
    std::uint64_t tree_bytes_read = 0;  // by content digests
    DigestCounts digests;               // what content digests have cost
  };
  Counts counts() const;

 private:
  friend class ImmutableRef;
  friend class MutableRef;
  Cache();
  std::unique_ptr<Store> state_;
};

}  // namespace cairn::cache
