// SPDX-License-Identifier: Apache-2.0
// What the rooms of this library share: the collaborators of a cache and its state in memory. Locks are never nested:
// each member below guards itself and calls nothing while it does.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "libcache/account/scrub_totals.h"
#include "libcache/account/tally.h"
#include "libcache/blobs/local_blob_store.h"
#include "libcache/cache.h"
#include "libcache/cache_mounts.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/gc/collector.h"
#include "libcache/gc/reserve.h"
#include "libcache/gc/scrubber.h"
#include "libcache/history/ledger.h"
#include "libcache/keys/local_key_store.h"
#include "libcache/pages/pending_pages.h"
#include "libcache/records/fresh_layers.h"
#include "libcache/records/holds.h"
#include "libcache/records/pending.h"
#include "libcache/records/readers.h"
#include "libcache/records/resolved_rows.h"
#include "libcache/records/turns.h"
#include "libcache/records/use_times.h"

namespace cairn::cache {

// Counts the entries of this cache that the writer has not finished, so that closing can wait for their callbacks.
class InFlight {
 public:
  void begin();
  void end();
  void wait_none();

 private:
  struct State {
    std::uint64_t count = 0;
  };
  base::Guarded<State> state_;
  std::condition_variable_any none_;
};

// What has no row, as measured last.
struct UnrowedMeasure {
  std::chrono::steady_clock::time_point when{};
  std::vector<std::pair<snapshot::SnapshotId, std::int64_t>> trees{};  // active ones; some may have got a row since
  std::int64_t temp_bytes = 0;
  std::int64_t reserve_bytes = 0;
  std::int64_t other_bytes = 0;
  bool known = false;
};

struct Store {
  Store(base::HostPath root_in, base::lmdb::Env& env_in, base::lmdb::GroupWriter& writer_in,
        snapshot::Snapshotter& snapshots_in, const base::Clock& clock_in);

  const base::HostPath root;
  base::lmdb::Env& env;
  base::lmdb::GroupWriter& writer;
  snapshot::Snapshotter& snapshots;
  const base::Clock& clock;

  Holds holds;
  Pending pending;
  PendingPages pages;
  Readers readers;
  UseTimes use_times;
  QueuedResolved queued_resolved;
  Tally tally;
  InFlight in_flight;
  LocalKeyStore keys;
  std::shared_ptr<Packs> packs;  // opened with the cache
  LocalBlobStore blobs;
  base::Guarded<UnrowedMeasure> unrowed_measure;
  std::atomic<base::lmdb::SequenceNumber> last_number{0};  // queued by this cache
  FreshLayers fresh_layers;
  Turns<RecordId> unlazy_turns, fetch_turns, layer_turns;
  std::atomic<std::uint64_t> layers_unpacked{0}, layers_written{0}, layers_converted{0};
  std::mutex prune_turn;  // held for a whole prune, and by nothing else
  std::mutex compaction_turn;  // of packs; the same
  std::atomic<std::uint64_t> trees_mounted{0}, tree_bytes_read{0};
  base::Guarded<DigestCounts> digest_counts;  // of all content digests
  std::uint64_t recipes_max = 0;  // of store.toml; set when it is opened
  std::atomic<std::uint64_t> dropped_writes{0};  // publications for which the disk had no room
  Reserve reserve{root};
  ScrubTally scrub_tally;
  CacheMountNames cache_mounts{*this};
  FreshEntries fresh_entries;
  Turns<KeyDigest> entry_turns;
  Ledger ledger{*this};
  Collector collector{*this};  // last, with the next and the one before: they use all of the above
  Scrubber scrubber{*this};
};

// The blobs of a cache are no others.
inline LocalBlobStore& local_blobs(Cache& cache) { return static_cast<LocalBlobStore&>(cache.blobs()); }

// What a row says, with the uses that no row says yet.
void add_memory(Store& store, RecordInfo& info);

// A hold on a record that exists; nullopt if it does not, or is going. hold_record: it does not count as a use.
base::Result<std::optional<ImmutableRef>> hold_record(Store& store, RecordId id);
base::Result<std::optional<ImmutableRef>> find_record(Store& store, RecordId id);
base::Result<std::optional<ImmutableRef>> find_record_of_chain(Store& store, const ChainId& chain);

// Gives a lazy record its tree if all that it takes is here; else unavailable, naming the blobs that are not.
base::Status unlazy_from_here(Store& store, const ImmutableRef& ref);

// Erases the rows of leases that are over, in small changes. Waits for the writer.
base::Status sweep_leases(Store& store, std::stop_token stop);

// Queues the counts that wait, if there are any and none are on the way. Nobody waits for them.
void enqueue_counters(Store& store);

// Hands an entry to the writer; its `done` is counted in store.in_flight and runs even if the entry is refused.
base::Result<base::lmdb::SequenceNumber> enqueue(Store& store, base::lmdb::GroupWriter::Entry entry);

}  // namespace cairn::cache
