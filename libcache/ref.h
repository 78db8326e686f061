// SPDX-License-Identifier: Apache-2.0
// Counted handles on records. While an ImmutableRef lives, its record is held: it is not collected, nor is anything it
// needs (I4). A MutableRef owns an active tree that becomes a record by commit(), or goes away with the handle.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "libbase/result.h"
#include "libcache/record.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::cache {

class Cache;
class DescribedTree;
class Hold;   // private: one record in use
class Holds;  // private: all records in use
class ObservedLayer;
class Reopened;  // private: a record whose tree is open for writing

// Copying clones the hold; cheap. Thread-safe to copy and destroy anywhere. Must not outlive its Cache.
class ImmutableRef {
 public:
  RecordId id() const;
  const RecordInfo& info() const;  // last_used may lag behind
  // The tree as it is now: 0 while the record is lazy, else that of info() or the one it got since.
  snapshot::SnapshotId snapshot() const;
  bool is_lazy() const { return !snapshot(); }
  // A read-only mount of its tree. A lazy record gets its tree first, if its blobs are here: else the error is
  // unavailable and names those that are not; Cache::unlazy takes somebody who has them. Errors: not_found, io.
  base::Result<snapshot::MountedTree> mount() const;
  // Content digest by the record's own rules; remembered in the store, so the same question about the same record reads
  // no tree twice, even in another process.
  base::Result<TreeDigest> content_digest(const std::vector<Selection>& selections, std::stop_token stop = {}) const;
  // The digest of one selection, not hashed once more for a key; from pages where there are some, and makes them.
  base::Result<TreeDigest> tree_digest(const Selection& selection, std::stop_token stop = {}) const;

 private:
  friend class Cache;
  friend class DescribedTree;
  friend class Holds;
  friend class MutableRef;
  explicit ImmutableRef(std::shared_ptr<const Hold> hold) : hold_(std::move(hold)) {}
  std::shared_ptr<const Hold> hold_;
};

// Rows that become visible together: the records a step made, their keys and results. Filled by commit() and by the
// solver, then given to Cache::publish() once.
class Publication;

class MutableRef {
 public:
  MutableRef(MutableRef&&) noexcept;
  MutableRef& operator=(MutableRef&&) noexcept;
  ~MutableRef();  // not committed: the active tree is abandoned (errors are logged)

  snapshot::SnapshotId snapshot() const;
  base::Result<snapshot::MountedTree> mount(snapshot::Access access) const;
  // Freezes the tree and makes it a record of the publication. The ref can be mounted and built upon at once; others find
  // it from publish() on, and it survives a restart once the publication is durable. The read_write mount has been
  // dropped. A record whose publication is dropped or fails lives as long as its refs. Errors: busy, no_space, io,
  // invalid_argument (an owner label that is too long).
  base::Result<ImmutableRef> commit(Publication& into, RecordFacts facts) &&;
  // The same for a tree that holds what is described: its digests are known without reading it.
  base::Result<ImmutableRef> commit(Publication& into, RecordFacts facts, DescribedTree holds) &&;
  // The same for a tree that a layer was unpacked onto, if the digests of its parent are known; else this is a plain commit.
  base::Result<ImmutableRef> commit(Publication& into, RecordFacts facts, ObservedLayer holds) &&;

 private:
  friend class Cache;
  MutableRef(Cache& cache, snapshot::SnapshotId active, std::optional<ImmutableRef> parent);
  Cache* cache_;
  snapshot::SnapshotId active_;
  std::optional<ImmutableRef> parent_;
  std::shared_ptr<const Reopened> reopened_;  // what it takes the place of, if it came from get_mutable()
};

}  // namespace cairn::cache
