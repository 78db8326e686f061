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
#include "libcache/account.h"
#include "libcache/blob_store.h"
#include "libcache/key_store.h"
#include "libcache/layer_blob.h"
#include "libcache/lease.h"
#include "libcache/ledger.h"
#include "libcache/options.h"
#include "libcache/prune.h"
#include "libcache/ref.h"
#include "libcache/statistics.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::cache {

struct Store;  // private
struct Recipe;  // recipe.h
class StatCache;
class CacheMountNames;  // cache_mounts.h
struct ResolvedSource;  // resolved_source.h
enum class StatsOf : std::uint8_t;

class Publication {
 public:
  // Filled by MutableRef::commit; a record that already exists may be named by results without being added.
  void add_result(const KeyDigest& key, std::optional<ImmutableRef> result);  // nullopt: scratch
  void add_link(const KeyLink& link, const KeyDigest& target);
  // The record needs this blob (an image its manifest and config): the blob stays as long as the record. The blob exists
  // already; if it does not when the publication takes effect, the whole publication fails.
  void add_blob(const ImmutableRef& ref, const BlobDigest& blob);
  // What it took to make the records of this publication: what losing them costs. Facts that say it themselves stay.
  void took(std::chrono::nanoseconds build_time) { build_time_ = build_time; }
  // Whose its records are. Facts that say it themselves stay.
  void owned_by(Owner owner) { owner_ = std::move(owner); }
  // This step has just made its results, which are those that are added from here on: if their keys led to others, the ledger
  // says in what they differ.
  void executed(ExecutedStep step);
  // What those results were made of; kept beside them, as long as there is room (CacheOptions::recipes_max).
  void made_of(std::shared_ptr<const Recipe> recipe) { recipe_ = std::move(recipe); }
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
  std::vector<std::pair<ImmutableRef, LayerBlob>> layers_;
  std::vector<std::shared_ptr<const Reopened>> reopened_;
  std::chrono::nanoseconds build_time_{0};
  Owner owner_;
  std::optional<ExecutedStep> step_;
  std::size_t results_of_step_ = 0;  // the first of them
  std::shared_ptr<const Recipe> recipe_;
};

// What is given is set, the rest stays.
struct RecordChanges {
  std::optional<std::string> description{};
  std::optional<RecordType> type{};
  std::optional<Owner> owner{};
  std::optional<std::chrono::nanoseconds> build_time{};
  std::optional<base::WallTime> created{};  // an image may say when it was made
};

struct LeaseRequest {
  std::string owner;  // at most lease_owner_bytes_max
  std::optional<base::WallTime> expires{};
  std::vector<ImmutableRef> records{};
  std::vector<BlobDigest> blobs{};  // each exists, and is put by this process or named by a record that is held
};
struct LeaseMade {
  LeaseId id;
  base::lmdb::SequenceNumber sequence = 0;
};

// The tables of this library, for Env::open.
std::span<const base::lmdb::RawTableSpec* const> tables();

// Reading a store beside its owner: no lock, no hold, LMDB snapshots only (renewed every 10,000 rows). Records come in
// id order; the visitor must not write output or wait (collect first).
base::Status each_record(base::lmdb::Env& env, const base::HostPath& root,
                         const std::function<base::Status(const RecordInfo&)>& visit);

// A broken invariant found by check(): its number in docs/invariants.md, and what is wrong with what.
struct Finding {
  int invariant = 0;
  std::string text;
};
// Compares metadata with the disk in both directions, and sums with what they sum up (I1, I3, I5, I6, I9). Nothing else uses the store. O(rows + trees); reads
// no contents.
base::Result<std::vector<Finding>> check(base::lmdb::Env& env, const base::HostPath& root);

struct ScrubOptions {
  std::uint64_t bytes_per_second = 0;  // on the average; 0: as fast as it goes
  enum class From { last_stop, beginning } from = From::last_stop;
};
struct ScrubReport {
  std::uint64_t blobs = 0, bytes = 0;  // read back and compared with their names
  std::uint64_t damaged = 0;           // of them: quarantined, and misses from now on
  std::uint64_t trees = 0, tree_bytes = 0;   // read back; each is what a record has for itself
  std::uint64_t sealed = 0;                  // of them: for the first time, so that there was no seal to compare with
  std::uint64_t damaged_trees = 0;           // of them: not what they were, or not there
  std::uint64_t quarantined_records = 0;     // that became misses for that: those of these trees, and what is built on them
  bool reached_end = false;
};

struct BlobRepair {
  std::uint64_t missed = 0;       // blobs that became misses
  std::uint64_t stray_files = 0;  // deleted
  std::int64_t freed_bytes = 0;   // by that
};

struct TreeRepair {
  std::uint64_t stray_trees = 0;          // directories that no row named; erased
  std::int64_t freed_bytes = 0;           // by that
  std::uint64_t missing_trees = 0;        // of records whose directory is not there
  std::uint64_t quarantined_records = 0;  // that became misses for that, and what is built on them
};

// Thread-safe.
class Cache {
 public:
  // All collaborators outlive the cache. The caller holds the store's lock. Errors: invalid_argument (options), io, no_space.
  static base::Result<std::unique_ptr<Cache>> open(const base::HostPath& root, base::lmdb::Env& env,
                                                   base::lmdb::GroupWriter& writer, snapshot::Snapshotter& snapshots,
                                                   const base::Clock& clock, const CacheOptions& options = {});
  ~Cache();  // no ref may be alive; waits until what it has queued is durable

  // A new writable tree on parent (nullopt: empty).
  base::Result<MutableRef> create(std::optional<ImmutableRef> parent);
  // The tree of a retained record, open for writing again: a fork of it, so nothing is copied where a fork copies nothing,
  // and a crash, or dropping the ref, leaves the record as it was. While it is open, nobody else finds the record. What is
  // committed and published takes its place: it gets the facts it is given (retained again, if it shall be reopened), the
  // keys of the old record lead nowhere any more, and the old one is its parent. When 32 that were replaced lie below it, the
  // tree is copied, so that they can go. Waits until the record is durable.
  // Errors: not_found; invalid_argument (not retained, a merge or diff, or lazy); busy (somebody holds it, has it open, or has
  // built upon it); no_space, cancelled, io.
  base::Result<MutableRef> get_mutable(RecordId id, std::stop_token stop = {});
  // The same of any record with a tree of its own, and for several at a time: others find it and may reopen it, too, and the first
  // that is published takes its place. A lineage of trees (decision 16) moves on like this.
  // Errors: invalid_argument (a merge or diff, or lazy); no_space, cancelled, io.
  base::Result<MutableRef> reopen(ImmutableRef record, std::stop_token stop = {});

  // A record of the trees of all inputs, one over the other, later ones on top. Merges among them are replaced by what
  // they merge. No input gives nothing, one gives itself. Usable at once, as after MutableRef::commit. The inputs are
  // its parents. Errors: unavailable (a lazy one without its blobs), no_space, cancelled, io.
  base::Result<std::optional<ImmutableRef>> merge(std::vector<ImmutableRef> inputs, Publication& into, RecordFacts facts,
                                                  std::stop_token stop = {});
  // A record of what makes `upper` (nullopt: the empty tree) out of `lower`: what is removed is remembered by merges of
  // it. If upper's layers begin with all of lower's and have more than one more, it is the merge of the diffs of each.
  base::Result<ImmutableRef> diff(const ImmutableRef& lower, std::optional<ImmutableRef> upper, Publication& into,
                                  RecordFacts facts, std::stop_token stop = {});

  // A record whose tree is not here: a layer on parent that is pulled when somebody needs it.
  base::Result<ImmutableRef> add_lazy(const LazyLayer& layer, std::optional<ImmutableRef> parent, Publication& into,
                                      RecordFacts facts);
  // Gives a lazy record its tree, and each lazy parent before it; nothing if it has one. Of many callers one works, and
  // the others get its outcome. provider: asked for what is not here, up to 4 blobs at a time while lower layers are
  // unpacked; may be empty. The first error ends all.
  // Errors: unavailable (blobs are nowhere; they are named), corrupt (they are others, or hold another diff), no_space,
  // cancelled, io, and those of the provider.
  base::Status unlazy(const ImmutableRef& ref, const BlobProvider& provider, std::stop_token stop = {});
  // The blobs that `ref` and its parents need and that are not here, lowest first.
  base::Result<std::vector<BlobDigest>> missing_blobs(const ImmutableRef& ref);

  // The layer of a record in this compression: found, or made from another compression of it, or from the tree. Made
  // once, however many ask. The record names the blob from then on.
  base::Result<LayerBlob> layer_blob(const ImmutableRef& ref, base::Compression compression, std::stop_token stop = {});
  // Those that are known, of all records with this diff; a lazy one's blob may be elsewhere.
  base::Result<std::vector<LayerBlob>> layer_blobs(const ImmutableRef& ref);

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
  CacheMountNames& cache_mounts();
  // What is known of files of plain directories, for a digest or a sync that begins now. Gone before the cache is.
  std::unique_ptr<StatCache> remember_files(StatsOf of);

  // What a remote side has said, by what was asked; losing it costs asking anew. Errors: io, corrupt.
  base::Result<std::optional<ResolvedSource>> find_resolved(const KeyDigest& question);
  // Replaces what was known. Found at once here, by other processes within a second; nobody waits for it, and what cannot
  // be kept is logged. Beyond resolved_sources_max the older half goes.
  void remember_resolved(const KeyDigest& question, std::string_view name, std::string facts);

  // Queues one change of what is said of a published record and returns its number; sums by type and owner move with it.
  // Refs that are held meanwhile keep what they saw. Errors: invalid_argument (a long label), io; the change itself:
  // not_found (never published).
  base::Result<base::lmdb::SequenceNumber> change_record(const ImmutableRef& ref, RecordChanges changes);

  // Leases. Each of these queues one change and returns its number; the change fails with not_found if what it names does
  // not exist when it takes effect (or if the lease is over), and then has done nothing. The lease keeps what it names
  // from then on, across restarts, until it expires or is released; what is given as refs is held until then.
  // Errors: invalid_argument (a long owner), no_space, io.
  base::Result<LeaseMade> create_lease(LeaseRequest request);
  base::Result<base::lmdb::SequenceNumber> add_to_lease(LeaseId id, std::vector<ImmutableRef> records,
                                                        std::vector<BlobDigest> blobs);
  base::Result<base::lmdb::SequenceNumber> extend_lease(LeaseId id, std::optional<base::WallTime> expires);
  base::Result<base::lmdb::SequenceNumber> release_lease(LeaseId id);
  base::Result<std::vector<LeaseInfo>> leases();  // those that are not over; what is queued is not in it yet

  // Removes what nothing holds, in small transactions; lookups and commits go on meanwhile. One prune at a time (a second
  // one waits). Stopping returns what has been done so far. Errors: io, corrupt, cancelled (nothing was done).
  base::Result<PruneReport> prune(const PruneOptions& options, std::stop_token stop = {});
  // Moves what lives out of packs of which more than half is dead, and deletes those (docs/formats/packs.md): in small
  // steps, one caller at a time (a second one waits). Returns the bytes that are free now and were not. Errors: io,
  // no_space.
  base::Result<std::int64_t> compact_packs(std::stop_token stop = {});
  // Reads blobs and then trees back, in the idle class of the disk, from where the last scrub stopped up to the last one. A
  // damaged blob becomes a miss (docs/formats/store.md, quarantine), and so does a record whose tree is not what its seal
  // says, with all that is built on it; the report counts them. A tree that has no seal yet gets one. Whoever holds such a
  // record keeps it. Stopping keeps the place, but for the tree that was being read. Errors: io.
  base::Result<ScrubReport> scrub(const ScrubOptions& options, std::stop_token stop = {});
  // The same on a thread of its own, as the options say, from now until it is stopped; at most one. Stopping ends what it is at.
  void start_scrubber(const BackgroundScrub& options);
  void stop_scrubber();
  void settle_scrubber();  // returns when it rests, or does not run
  // Makes what is on the disk for blobs agree with their rows, without reading contents: a blob whose file, entry or
  // chunks are missing or have another size becomes a miss, and a file that no row names goes, unless somebody is just
  // putting it. What is no blob by its name is left alone. O(blobs). Stopping leaves the rest for the next call. Errors: io.
  base::Result<BlobRepair> repair_blobs(std::stop_token stop = {});
  // The same for trees: a record whose directory is missing becomes a miss, with all that is built on it, and a directory
  // below trees/ that no row names and whose id is not reserved goes through the trash. What has no tree's name is left
  // alone. Others may use the store meanwhile. O(records); waits for the files. Errors: io.
  base::Result<TreeRepair> repair_trees(std::stop_token stop = {});
  // Records that were quarantined for their trees, or for one that they are built on, and have not been collected yet.
  base::Result<std::uint64_t> damaged_records();
  // Blobs that were found damaged and have not been forgotten since.
  base::Result<std::uint64_t> quarantined();
  // Writes all facts into the packs anew and gives the space of the journal before that back (docs/formats/journal.md).
  // checkpoint_if_due() does it when the journal has grown by 16 MiB and by twice the last checkpoint; true: it did.
  // Errors: io, no_space, cancelled, corrupt (a row is damaged; the last checkpoint stays, for a rebuild).
  base::Status checkpoint(std::stop_token stop = {});
  base::Result<bool> checkpoint_if_due(std::stop_token stop = {});
  // For a full disk: gives dead blocks of packs back where they are, which needs no space. Errors: io, unavailable.
  base::Result<std::int64_t> punch_packs(std::stop_token stop = {});
  // Keeps the store within a policy, in the background, until stop_collector() or the end: live bytes are back under a
  // ceiling within a second of the publication that took them over it, and never below a floor. Once.
  void start_collector(CollectorOptions options);
  // What was begun comes to an end first, as far as rows go; a second at most.
  void stop_collector();
  void settle_collector();  // returns when it has nothing to do
  // Compares what steps make again with what they had made, in the background, until stop_ledger() or the end (ledger.h). Once.
  // Until then both records are held, so a prune waits for it.
  void start_ledger(const LedgerOptions& options);
  // What waits is compared first, for some seconds at most, and then counted as not compared.
  void stop_ledger();
  // Returns when all that was published before is compared, and is in the ledger.
  void settle_ledger(std::stop_token stop = {});
  // For whoever found the disk full: takes what the policy's floors let go, whatever its ceilings say, until `bytes` more
  // are free, and waits for the files. Returns the bytes freed; 0 without a collector. Errors: io, corrupt, cancelled.
  base::Result<std::int64_t> make_room(std::int64_t bytes, std::stop_token stop = {});
  // What is remembered of a key that leads nowhere any more because its record was taken. O(1).
  base::Result<std::optional<Tombstone>> find_tombstone(const KeyDigest& key);
  base::Result<Regret> regret();

  // As the functions above, with what this process knows already: use times, and its own active trees by id.
  base::Status each_record(const std::function<base::Status(const RecordInfo&)>& visit);
  // What has no row is measured at most once a second; in between it costs a look at the ids that are reserved, if any tree
  // is active.
  base::Result<DiskUsage> disk_usage();

  // As check(), from the process that owns the store: its active trees are no findings. Nothing is created, published or
  // pruned meanwhile, and what was queued is durable.
  base::Result<std::vector<Finding>> check();
  // Makes rows that follow from others anew where they differ, and takes away those that name what does not exist: of
  // leases, of layers, of operations, of statistics, and the sums by type and owner. Returns how many rows it changed; they
  // are durable. Nothing else uses the store. O(rows). Errors: io, no_space, corrupt (a row cannot be read).
  base::Result<std::uint64_t> repair_rows();

  // What whoever looks up tells when he knows the outcome. Writes nothing, reads nothing.
  void count(const Counters& counted, const Owner& asked_by);
  Counters one_hit(const ImmutableRef& ref) const;  // one hit, and what it saved
  // Whether a step of this operation has been stored for this output, with whatever inputs (KeyLink). O(1).
  base::Result<bool> knows_operation(const base::Sha256Bytes& operation, std::uint32_t output);
  // As the function above, with what waits to be written.
  base::Result<std::vector<ProjectCounters>> statistics();

  // Writes what may ride along without a sync of its own (use times) where the next open finds it. Losing it is allowed.
  void save_late_facts();

  struct Counts {
    std::uint64_t trees_mounted = 0;    // through refs, content digests included
    std::uint64_t tree_bytes_read = 0;  // by content digests
    DigestCounts digests;               // what content digests have cost
    std::uint64_t layers_unpacked = 0;   // lazy records that got their tree
    std::uint64_t layers_written = 0;    // blobs made from trees
    std::uint64_t layers_converted = 0;  // blobs made from other blobs
    CollectorCounts collector;
    std::uint64_t dropped_writes = 0;   // publications that the disk had no room for: their results are not cached
  };
  Counts counts() const;

 private:
  friend class ImmutableRef;
  friend class MutableRef;
  Cache();
  base::Result<MutableRef> fork_reopened(std::shared_ptr<const Reopened> reopened, std::stop_token stop);
  std::unique_ptr<Store> state_;
};

}  // namespace cairn::cache
