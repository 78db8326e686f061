// SPDX-License-Identifier: Apache-2.0
// The records that are in use or about to go. A lookup takes its hold here first and looks for the row after; a
// collector marks a record dying here, which fails while anybody holds it, and erases the row after. So whichever comes
// first, a hold is never on a record that goes (I4).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "libbase/lmdb/group_writer.h"
#include "libbase/sync.h"
#include "libcache/record.h"
#include "libcache/records/promises.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct Store;

// Where a record is on its way to disk.
enum class Standing : std::uint8_t {
  unpublished,  // committed into a publication that nobody has queued yet
  queued,       // others find it; not durable yet
  durable,
  failed,       // its publication failed: nobody finds it; it lives as long as its refs
};

// One hold. All copies of an ImmutableRef share it.
class Hold {
 public:
  Hold(Store& store_in, RecordInfo info_in)
      : store(store_in), info(std::move(info_in)), snapshot(info.snapshot.value()), build_time(info.facts.build_time.count()) {}
  ~Hold();
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  Store& store;
  const RecordInfo info;
  mutable std::atomic<std::uint64_t> snapshot;  // 0 while the record is lazy
  mutable std::atomic<std::int64_t> build_time;  // in ns; its publication may say it later than info
};

// Thread-safe. Of a durable record nothing is here unless it is held or dying.
class Holds {
 public:
  explicit Holds(Store& store) : store_(store) {}

  // A record that has just been made. Its parents are kept until it is durable itself: until then no row protects them.
  ImmutableRef add_unpublished(RecordInfo info, std::vector<ImmutableRef> parents);
  // Of a record that is not durable yet; else empty.
  std::vector<ImmutableRef> parents_kept_for(RecordId id);
  // For whoever holds it with one ref: false if there is another one, or it is not durable. If not, nobody else gets a
  // hold, as if it were dying, until end_take_over(); and until then he keeps his.
  bool try_take_over(RecordId id);
  void end_take_over(RecordId id);

  // The first half of a lookup: a ref that is there already, or a claim that finish() or give_up() ends.
  enum class Begin { refused, claimed, held };
  struct Begun {
    Begin outcome;
    std::optional<ImmutableRef> ref;  // when held
  };
  Begun begin(RecordId id);
  ImmutableRef finish(RecordInfo info);
  void give_up(RecordId id);

  bool is_held(RecordId id);
  // A collector leaves it alone for a while though nobody holds it. Said while it is held.
  void promise(RecordId id) { promises_.note(id.value()); }
  bool is_kept(RecordId id);  // held or promised
  void set_promise_time(std::chrono::milliseconds time) { promises_.set_time(time); }
  // False while somebody holds the record, or was promised it. Marking twice is success: a change may run twice.
  bool try_mark_dying(RecordId id);
  void unmark_dying(std::span<const RecordId> ids);

  // The outcome may have come before its number is known here; then only a failed record takes the number.
  void set_queued(RecordId id, base::lmdb::SequenceNumber sequence);
  void set_outcome(RecordId id, Standing standing);  // durable or failed
  Standing standing_of(RecordId id);
  // A lazy record that somebody holds has got a tree, which goes with its last hold unless it becomes durable.
  void set_tree(RecordId id, snapshot::SnapshotId tree);
  void set_tree_outcome(RecordId id, Standing standing);
  std::optional<snapshot::SnapshotId> find_tree(RecordId id);  // of a record that somebody holds
  // What is known of a record that somebody holds, published or not.
  std::optional<RecordInfo> find_info(RecordId id);
  base::lmdb::SequenceNumber sequence_of(RecordId id);

  // How many records are held, for ~Cache.
  std::size_t held();

 private:
  friend class Hold;
  void release(const RecordInfo& info);

  struct Entry {
    std::uint32_t holds = 0;
    bool dying = false;
    Standing standing = Standing::durable;
    base::lmdb::SequenceNumber sequence = 0;
    std::weak_ptr<const Hold> hold;
    std::vector<ImmutableRef> parents;
    snapshot::SnapshotId unnamed_tree;  // of a lazy record, until it is durable
  };
  struct State {
    std::unordered_map<RecordId, Entry> entries;

    Entry* find(RecordId id);
    // Ends one hold. Whatever must be destroyed or abandoned is returned, to be dealt with outside the lock.
    std::optional<Entry> release(RecordId id);
  };
  Store& store_;
  base::Guarded<State> state_;
  Promises promises_;
};

}  // namespace cairn::cache
