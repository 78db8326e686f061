// SPDX-License-Identifier: Apache-2.0
// The contract of a snapshotter: trees that fork, are changed, frozen, published and erased.
//
//   prepare(parent)                  freeze              publish (in the caller's transaction)
//   prepare_stack(ids) ──▶ ACTIVE ──────────▶ FROZEN ───────────────────────▶ COMMITTED ──▶ squash: COMMITTED, flattened
//                            │ abandon           │ abandon                        │ retire (transaction)
//                            ▼                   ▼                                ▼
//                         (nothing)           (nothing)                         TRASH ──erase──▶ (nothing)
//   view(parent) ────────▶ VIEW ──abandon──▶ (nothing)
//
// A snapshot becomes committed in two steps, so that its name can appear in the same transaction as whatever the caller
// knows about it: freeze() makes the tree unwritable, publish() names it once its data is durable (I1). Between the two
// it can already be mounted read-only and be a parent. An active or frozen tree, or a view, never survives a restart: no
// committed row names it, so recovery erases it (I6). Retire takes the name away first, erase the files after (I1).
//
// What may be done with a snapshot, by its kind:
//
//              mount rw   mount ro   be a parent   freeze   publish   abandon   retire   labels
//   active        x          x                        x                  x                  x
//   frozen                   x            x                     x        x                  x
//   committed                x            x                                        x        x
//   view                     x                                           x                  x
//
// Ids come from durably reserved blocks of 1,024 and are never used twice, so that a name seen on disk after a crash can
// only be what it says.
//
// The conformance suite of this seam is tests/conformance/snapshotter_suite.h; every driver passes it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/fs/fd.h"
#include "libbase/id.h"
#include "libbase/lmdb/env.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/result.h"

namespace cairn::snapshot {

using SnapshotId = base::Id<struct SnapshotMeaning>;

enum class Access { read_only, read_write };
enum class Kind { view, active, frozen, committed };
std::string_view to_string(Kind kind);  // the words above

// Space on disk. An inode with several names is counted once.
struct Usage {
  std::int64_t bytes = 0;          // allocated blocks
  std::int64_t inodes = 0;
  std::int64_t logical_bytes = 0;  // sizes of the regular files, holes included

  Usage& operator+=(const Usage& other);
  Usage& operator-=(const Usage& other);
  bool operator==(const Usage&) const = default;
};

// What callers attach to a snapshot. A key has at least one byte, a key and its value 4,096 together (containerd's
// limit), and all of them together 64 KiB.
using Labels = std::map<std::string, std::string>;
base::Status check_labels(const Labels& labels);  // invalid_argument, naming the label

// What the own changes of a snapshot hold that only means something above the tree they were made on. Whoever stacks
// them elsewhere has to know: an opaque directory hides what is below it there, too, and a whiteout in a directory that
// only one layer has is listed by the kernel although it cannot be opened.
struct LayerMarks {
  bool opaque = false;     // an opaque directory
  bool whiteouts = false;  // a whiteout
  bool operator==(const LayerMarks&) const = default;
};

// A file of a tree that is a hard link to one of another snapshot.
struct HardLink {
  std::uint64_t inode = 0;
  SnapshotId source;
};

struct SnapshotInfo {
  SnapshotId id;
  SnapshotId parent;      // none: 0
  Kind kind = Kind::committed;
  Usage usage;            // of its own changes, without parents and flat copy; of an active snapshot: zero
  Usage flat;             // of the flat copy, if there is one
  Usage exclusive;        // of both together: what removing this snapshot alone would free. The rest is shared with others
  std::uint32_t depth = 1;  // layers that a mount of it stacked when it was made; flattened: 1. Squashes below make it less
  bool flattened = false;   // mounts use a flat copy instead of the chain
  LayerMarks marks;         // of its own changes; of an active snapshot: none
  // A merge: the snapshots whose own changes it stacks below its own, nearest first. It has no parent; each of these
  // counts as one.
  std::vector<SnapshotId> stacked_on;
  Labels labels;
  base::WallTime created{};  // of a committed snapshot: when it was frozen
  base::WallTime updated{};
};

// A tree that can be reached through a descriptor, without being attached anywhere: fd() is an O_PATH-free directory
// descriptor of a *detached mount* (fsmount or open_tree), good for openat2 and for move_mount or
// open_tree(OPEN_TREE_CLONE) into somebody's mount namespace. Nothing is left behind when the process dies.
// Closing it drops the mount.
class MountedTree {
 public:
  MountedTree() = default;
  explicit MountedTree(base::Fd directory) : directory_(std::move(directory)) {}
  // hold: what must live as long as the mount, and ends after the directory is closed.
  MountedTree(base::Fd directory, std::shared_ptr<void> hold)
      : hold_(std::move(hold)), directory_(std::move(directory)) {}
  MountedTree(MountedTree&&) noexcept = default;
  MountedTree& operator=(MountedTree&& other) noexcept {
    directory_ = std::move(other.directory_);  // closes the old one before its hold ends
    hold_ = std::move(other.hold_);
    return *this;
  }
  int fd() const { return directory_.get(); }
  explicit operator bool() const { return static_cast<bool>(directory_); }

 private:
  std::shared_ptr<void> hold_;
  base::Fd directory_;
};

// The directory that a snapshot has on disk. stacked: it is an overlay upper, which holds what changed on top of what lies
// below (stat() names it), with the marks of overlayfs; else the whole tree.
struct OwnDirectory {
  base::Fd directory;  // open for reading
  bool stacked = false;
};

// Runs inside a write transaction that has changed what a committed snapshot has for itself although nobody published or
// retired it: another one has come to name its inodes or has let go of them, or it got a flat copy. It writes rows, and
// nothing else; it may run twice.
using ExclusiveChanged = std::function<base::Status(base::lmdb::WriteTxn&, const SnapshotInfo& now)>;

// Thread-safe, all of it.
class Snapshotter {
 public:
  virtual ~Snapshotter() = default;

  virtual std::string_view driver() const = 0;  // "overlay", "btrfs", "reflink", "native"

  // A new active tree on a committed or frozen parent (nullopt: empty, root 0755 root:root). Nothing durable, except one
  // reservation of ids every 1,024. A parent whose chain has more than 400 layers is flattened first; nothing else is
  // waited for. O(1) on drivers that stack, whatever the parent holds.
  // Errors: not_found (parent), invalid_argument (the parent is active or a view; labels over their bounds), no_space, io.
  virtual base::Result<SnapshotId> prepare(std::optional<SnapshotId> parent, const Labels& labels) = 0;
  base::Result<SnapshotId> prepare(std::optional<SnapshotId> parent) { return prepare(parent, {}); }

  // A new active tree on the own changes of these snapshots (committed or frozen), nearest first, and on nothing else: a
  // mount of it stacks exactly their own upper directories. This is how a merge copies nothing. What they were made on
  // is not in it, so each must be of the shape that stacks, or complete and without parent; that no opaque directory in
  // one hides what the merge has to show is for the caller to know (SnapshotInfo::marks). Until this snapshot goes, none
  // of them does.
  // Errors: not_found, invalid_argument (none given; one twice; one that is still active, or not of that shape; more
  // than a mount may stack), unavailable (the driver does not stack), no_space, io.
  virtual base::Result<SnapshotId> prepare_stack(std::span<const SnapshotId> nearest_first, const Labels& labels) = 0;
  base::Result<SnapshotId> prepare_stack(std::span<const SnapshotId> nearest_first) {
    return prepare_stack(nearest_first, {});
  }

  // A read-only snapshot with an id of its own that shows what its committed or frozen parent holds, and keeps it: until
  // the view is abandoned its parent is neither retired nor abandoned. It can never be frozen, published or a parent.
  // No files. Errors: as prepare().
  virtual base::Result<SnapshotId> view(SnapshotId parent, const Labels& labels) = 0;

  // Mounts. read_write only for an active tree, at most once at a time (busy). Any snapshot can be mounted read_only.
  // Active overlays are volatile: unmounting syncs nothing. Errors: not_found, busy, invalid_argument, io.
  virtual base::Result<MountedTree> mount(SnapshotId id, Access access) = 0;

  // Makes an active tree unwritable and measures it. The caller has dropped its read_write mount. O(changed files); with
  // reflink and native O(files). With btrfs it waits for the disk, and the tree is durable afterwards.
  // Errors: not_found, invalid_argument (not active, or somebody made subvolumes in it, which do not fork), busy (still
  // mounted), no_space, io. After an error the tree is active as before.
  virtual base::Result<Usage> freeze(SnapshotId active) = 0;

  // Writes the row of a frozen snapshot. Called inside a group-commit change whose Entry::data holds data_token(id), so
  // its data is durable before it is. May run twice. The rows of its parents and of what it links to (note_links) exist before
  // or in the same transaction. Errors: not_found, invalid_argument (not frozen; one of those rows is missing), corrupt.
  virtual base::Status publish(base::lmdb::WriteTxn& txn, SnapshotId frozen) const = 0;
  // For whoever puts hard links to files of other snapshots into an active tree: the inodes that it linked, and the
  // committed or frozen snapshot that each came from, which is published first or not at all. They are looked for when the tree is
  // frozen, so that space is counted once and what is exclusive stays exact. Errors: not_found, invalid_argument (not
  // active).
  virtual base::Status note_links(SnapshotId active, std::span<const HardLink> links) = 0;

  // Tells the snapshotter that the transaction of publish() is durable (in memory only).
  virtual void published(SnapshotId id) = 0;

  virtual base::lmdb::DataToken data_token(SnapshotId id) const { return id.value(); }
  // The DataSync of the group writer: makes these frozen trees durable. One syncfs if no other tree is active, else the
  // files of these trees alone. Tokens that are not snapshots are ignored.
  virtual base::Status sync(std::span<const base::lmdb::DataToken> tokens) = 0;

  // Drops a view, an active, or a frozen snapshot that was never published. It has no children. Its files are erased in
  // the background, once that has been started and unless 256 others wait for it; else before this returns, and after an
  // error the snapshot is as it was. Errors: not_found, invalid_argument (has children), busy (mounted for writing), io.
  virtual base::Status abandon(SnapshotId id) = 0;

  // Takes the row of a committed snapshot without children (merges that stack it included) into the trash table.
  // Errors: not_found, invalid_argument (has children).
  virtual base::Status retire(base::lmdb::WriteTxn& txn, SnapshotId committed) const = 0;
  // Deletes the files of everything in the trash in place, then the trash rows (through the writer). Can be stopped and
  // goes on at the next call or after a restart. Returns the bytes freed.
  virtual base::Result<std::int64_t> erase_trash(base::lmdb::GroupWriter& writer, std::stop_token stop) = 0;

  // Gives a committed or frozen snapshot a flat copy of all that it shows, which mounts use instead of its chain from then
  // on; mounts that live keep what they have, and its own changes stay, for they are the only source of its diff. Nothing
  // happens if it has one, or its chain is one layer. Files are hard-linked where no live mount can see it, else cloned or
  // copied. The copy counts only if it equals the chain in everything a tree holds. Waits for the writer if the
  // snapshot is committed. O(files and bytes of the tree). Errors: not_found, corrupt (the copy came out different, and is
  // gone again), no_space, cancelled, io. The snapshot is as usable as before.
  virtual base::Status squash(SnapshotId id, base::lmdb::GroupWriter& writer, std::stop_token stop) = 0;

  // Starts the work in the background, on one thread of the lowest priority (CPU and disk): erasing what is in the trash,
  // what is retired from now on, and what is abandoned; and squashing what has a chain deeper than
  // OpenOptions::squash_depth, when nothing of that chain is in use. A failure is one warning. Once; the writer outlives
  // stop().
  virtual void start(base::lmdb::GroupWriter& writer) = 0;
  // Ends it: what runs stops soon and goes on after the next start(), of this process or another; but what was abandoned
  // is erased when it returns. Idempotent.
  virtual void stop() = 0;
  // Tells the snapshotter that the transaction of a retire() is durable: its files are erased soon.
  virtual void retired(SnapshotId id) = 0;
  // Returns when nothing is left to do in the background but squashes of chains that are mounted; those are tried at once.
  // Until then the work has the usual priority.
  virtual void settle() = 0;

  virtual base::Result<SnapshotInfo> stat(SnapshotId id) = 0;
  // Of its own changes, without parents: as recorded when it was frozen; of an active one measured now, O(changed
  // files); of a view nothing. Errors: not_found, io.
  virtual base::Result<Usage> usage(SnapshotId id) = 0;

  // Visits every snapshot of any kind that matches one of the filters (none: all of them), unpublished ones first, then
  // the committed ones in the order of their ids; each once. visit may call this snapshotter. A filter is a list of
  // conditions with commas between them, all of which must hold:
  //   FIELD           the field is there and not empty
  //   FIELD==VALUE, FIELD!=VALUE
  // FIELD is name (or id), kind (view, active, frozen, committed), parent (decimal; empty if there is none; of a merge,
  // any of what it stacks), or labels.KEY; KEY and VALUE may be quoted as in C. A label that is not there equals "".
  // Errors: invalid_argument (a filter), those of visit, corrupt, io.
  virtual base::Status walk(std::span<const std::string> filters,
                            const std::function<base::Result<base::lmdb::Scan>(const SnapshotInfo&)>& visit) = 0;

  // Changes labels and nothing else: of `fields`, "labels" replaces all of them (as no field at all does), "labels.KEY"
  // sets this one, or deletes it if its value in `labels` is empty or missing. created stays, updated grows. Durable when
  // it returns, if the snapshot is committed; waits for the writer if it is committed or frozen.
  // Errors: not_found, invalid_argument (another field; labels over their bounds), io. Returns what is true now.
  virtual base::Result<SnapshotInfo> update(SnapshotId id, const Labels& labels, std::span<const std::string> fields,
                                            base::lmdb::GroupWriter& writer) = 0;

  // An id that no snapshot will ever have, for callers that name other things by the same numbers. Errors: no_space, io.
  virtual base::Result<SnapshotId> reserve_id() = 0;

  // For whoever keeps sums over what snapshots have for themselves. Set once, before anything is published, retired or
  // started; what it uses outlives the snapshotter or stop(), and no snapshot changes afterwards.
  virtual void on_exclusive_change(ExclusiveChanged changed) = 0;

  // Ids of snapshots that are active or frozen, or abandoned and not erased yet, for du and checks.
  virtual std::vector<SnapshotId> unpublished() const = 0;

  // What diff.h and merge.h of this library are made of; everybody else mounts.
  virtual base::Result<OwnDirectory> open_own(SnapshotId id) = 0;
  // ChangeOptions::may_differ between two whole trees, if the driver knows without looking into them; else empty.
  virtual base::Result<std::function<bool(const base::TreePath&)>> candidates(SnapshotId lower, SnapshotId upper) = 0;
};

// The tables of this library, for Env::open.
std::span<const base::lmdb::RawTableSpec* const> tables();

// What a committed row says, readable without a Snapshotter (du, fsck, read-only openers).
base::Result<std::optional<SnapshotInfo>> find_snapshot(base::lmdb::ReadTxn& txn, SnapshotId id);
base::Status each_snapshot(base::lmdb::ReadTxn& txn, const std::function<base::Result<base::lmdb::Scan>(const SnapshotInfo&)>& visit);
// What two or more committed or retired snapshots share, counted once. With the exclusive space of all snapshots and of
// all trash it is what the trees take on the disk, active ones aside. O(1).
base::Result<Usage> shared_usage(base::lmdb::ReadTxn& txn);
struct TreeTotals {
  Usage committed;  // exclusive space of all committed snapshots
  Usage shared;     // shared_usage()
  Usage trash;      // what erasing the trash frees
};
// Sums over all rows, kept with the rows. O(1).
base::Result<TreeTotals> tree_totals(base::lmdb::ReadTxn& txn);
// Ids that were reserved and that neither a snapshot nor a piece of trash has: beside an owner, those that its active and
// frozen trees may have. O(what is reserved), a few thousand at most.
base::Result<std::vector<SnapshotId>> unsettled_ids(base::lmdb::ReadTxn& txn);
// usage: what erasing the rest of its files frees.
base::Status each_trash(base::lmdb::ReadTxn& txn, const std::function<base::Result<base::lmdb::Scan>(SnapshotId, Usage)>& visit);

}  // namespace cairn::snapshot
