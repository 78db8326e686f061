// SPDX-License-Identifier: Apache-2.0
#include "libcache/ref.h"

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/cache.h"
#include "libcache/described_tree.h"
#include "libcache/observed_layer.h"
#include "libcache/records/freeze.h"
#include "libcache/records/record_tree.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using snapshot::MountedTree;

namespace {

Result<std::optional<TreeDigest>> remembered_digest(Store& store, RecordId id, const SelectionsDigest& selections) {
  if (const auto digest = store.pending.tree_digest(id, selections)) return digest;
  const auto row = TRY(store.keys.in_version([&](base::lmdb::ReadTxn& txn) {
    return txn.get(table::tree_digests, {id, selections});
  }));
  if (!row) return std::optional<TreeDigest>();
  return std::optional<TreeDigest>(row->digest);
}

// What one question about a record costs, and what it leaves.
class Question {
 public:
  Question(Store& store, const ImmutableRef& ref, std::stop_token stop)
      : store_(store), ref_(ref), stop_(std::move(stop)), tree_(store, ref, counts_, stop_) {}

  Result<TreeDigest> digest(const Selection& selection) {
    const Normalisation& policy = selection.normalisation;
    if (policy.is_off()) return TRY(digest_selection(tree_, selection), "digest of \"{}\"", selection.path);
    if (const auto pages = TRY(tree_.ready_pages(""))) {
      PageTree normalised = pages->with(policy);
      auto digest = digest_selection(normalised, selection);
      if (digest) return seal(*digest, policy);
      if (digest.error().code != base::ErrorCode::unavailable) return digest;
    }
    const MountedTree mounted = TRY(ref_.mount());
    return cache::tree_digest(mounted.fd(), selection, ref_.info().facts.rules, &counts_, stop_);
  }
  std::vector<PendingPages::SetPtr> finish() {
    store_.tree_bytes_read += counts_.bytes_read;
    *store_.digest_counts.lock() += counts_;
    return tree_.take_sets();
  }

 private:
  Store& store_;
  const ImmutableRef& ref_;
  const std::stop_token stop_;
  DigestCounts counts_;
  RecordTree tree_;
};

}  // namespace

RecordId ImmutableRef::id() const { return hold_->info.id; }
const RecordInfo& ImmutableRef::info() const { return hold_->info; }
snapshot::SnapshotId ImmutableRef::snapshot() const { return snapshot::SnapshotId(hold_->snapshot.load()); }

Result<MountedTree> ImmutableRef::mount() const {
  Store& store = hold_->store;
  if (is_lazy()) TRY(unlazy_from_here(store, *this), "mount record {}", id());
  auto tree = TRY(store.snapshots.mount(snapshot(), snapshot::Access::read_only), "mount record {}", id());
  ++store.trees_mounted;
  return tree;
}

Result<TreeDigest> ImmutableRef::content_digest(const std::vector<Selection>& selections, std::stop_token stop) const {
  Store& store = hold_->store;
  const SelectionsDigest name = digest_selections(selections);
  if (const auto digest = TRY(remembered_digest(store, id(), name))) return *digest;
  if (is_lazy()) TRY(unlazy_from_here(store, *this), "content digest of record {}", id());  // its pages come with its tree
  Question question(store, *this, std::move(stop));
  const auto digest =
      combine_digests(selections, [&](const Selection& selection) { return question.digest(selection); });
  std::vector<PendingPages::SetPtr> pages = question.finish();
  if (!digest)
    return tl::unexpected(base::add_context(digest.error(), fmt::format("content digest of record {}", id())));
  keep_digests(store, *this, Batch::Digest{id(), name, *digest}, std::move(pages));
  return *digest;
}

Result<TreeDigest> ImmutableRef::tree_digest(const Selection& selection, std::stop_token stop) const {
  Store& store = hold_->store;
  if (is_lazy()) TRY(unlazy_from_here(store, *this), "digest of record {}", id());
  Question question(store, *this, std::move(stop));
  auto digest = question.digest(selection);
  std::vector<PendingPages::SetPtr> pages = question.finish();
  if (!digest) return tl::unexpected(base::add_context(std::move(digest).error(), fmt::format("digest of record {}", id())));
  keep_digests(store, *this, std::nullopt, std::move(pages));
  return *digest;
}

Result<ImmutableRef> freeze_as_record(Store& store, snapshot::SnapshotId active, const std::optional<ImmutableRef>& parent,
                                      RecordFacts facts) {
  TRY(check_owner(facts.owner), "commit active tree {}", active);
  RecordInfo info;
  info.usage = TRY(store.snapshots.freeze(active), "commit active tree {}", active);
  CRASH_POINT("cache.commit.frozen");
  // One allocator of ids serves both, so a record is found on disk by its own number.
  info.id = RecordId(active.value());
  info.snapshot = active;
  std::vector<ImmutableRef> parents;
  if (parent) {
    info.parents.push_back(parent->id());
    parents.push_back(*parent);
  }
  info.facts = std::move(facts);
  info.created = info.last_used = store.clock.now();
  return store.holds.add_unpublished(std::move(info), std::move(parents));
}

MutableRef::MutableRef(Cache& cache, snapshot::SnapshotId active, std::optional<ImmutableRef> parent)
    : cache_(&cache), active_(active), parent_(std::move(parent)) {}

MutableRef::MutableRef(MutableRef&& other) noexcept
    : cache_(other.cache_), active_(other.active_), parent_(std::move(other.parent_)), reopened_(std::move(other.reopened_)) {
  other.active_ = {};
  other.parent_.reset();
}

MutableRef& MutableRef::operator=(MutableRef&& other) noexcept {
  if (this == &other) return *this;
  // What this one owned is abandoned when `old` goes.
  const MutableRef old(std::move(*this));
  cache_ = other.cache_;
  active_ = other.active_;
  parent_ = std::move(other.parent_);
  reopened_ = std::move(other.reopened_);
  other.active_ = {};
  other.parent_.reset();
  return *this;
}

MutableRef::~MutableRef() {
  if (!active_) return;
  const base::Status abandoned = cache_->state_->snapshots.abandon(active_);
  if (!abandoned) base::log_warning("abandon active tree {}: {}", active_, abandoned.error().message);
}

snapshot::SnapshotId MutableRef::snapshot() const { return active_; }

Result<MountedTree> MutableRef::mount(snapshot::Access access) const {
  auto tree = TRY(cache_->state_->snapshots.mount(active_, access), "mount active tree {}", active_);
  ++cache_->state_->trees_mounted;
  return tree;
}

Result<ImmutableRef> MutableRef::commit(Publication& into, RecordFacts facts) && {
  ImmutableRef ref = TRY(freeze_as_record(*cache_->state_, active_, parent_, std::move(facts)));
  parent_.reset();
  active_ = {};
  into.records_.push_back(ref);
  if (reopened_) into.reopened_.push_back(std::move(reopened_));
  return ref;
}

Result<ImmutableRef> MutableRef::commit(Publication& into, RecordFacts facts, DescribedTree holds) && {
  Store& store = *cache_->state_;
  PendingPages::SetPtr pages;
  {
    const MountedTree tree = TRY(store.snapshots.mount(active_, snapshot::Access::read_only), "mount active tree {}", active_);
    pages = TRY(std::move(holds).take_pages(RecordId(active_.value()), tree.fd()), "describe active tree {}", active_);
  }
  ImmutableRef ref = TRY(std::move(*this).commit(into, std::move(facts)));
  if (!pages->is_given_up) store.pages.add(std::move(pages));
  return ref;
}

Result<ImmutableRef> MutableRef::commit(Publication& into, RecordFacts facts, ObservedLayer holds) && {
  Store& store = *cache_->state_;
  PendingPages::SetPtr pages;
  {
    const MountedTree tree = TRY(store.snapshots.mount(active_, snapshot::Access::read_only), "mount active tree {}", active_);
    auto made = std::move(holds).take_pages(store, parent_, RecordId(active_.value()), tree.fd());
    if (made) {
      pages = std::move(*made);
    } else {
      base::log_warning("record {}: its pages are not made with it: {}", active_, made.error().message);
    }
  }
  ImmutableRef ref = TRY(std::move(*this).commit(into, std::move(facts)));
  if (pages) store.pages.add(std::move(pages));
  return ref;
}

}  // namespace cairn::cache
