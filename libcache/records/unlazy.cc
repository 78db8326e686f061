// SPDX-License-Identifier: Apache-2.0
// Records whose tree is not here: layers that somebody says exist. Their bytes are fetched, compared with their names and
// unpacked when they are needed, once, and the tree gets its row together with its record's.
#include <algorithm>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/account/totals.h"
#include "libcache/cache.h"
#include "libcache/observed_layer.h"
#include "libcache/records/ancestors.h"
#include "libcache/records/layer_fetches.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/store.h"
#include "libsnapshot/layer.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;
using snapshot::SnapshotId;

namespace {

// The record and its parents that have no tree, lowest first.
Result<std::vector<ImmutableRef>> lazy_chain(Store& store, const ImmutableRef& ref) {
  std::vector<ImmutableRef> chain;
  ImmutableRef next = ref;
  while (next.is_lazy()) {
    chain.push_back(next);
    if (next.info().parents.empty()) break;
    next = TRY(find_ancestor(store, next, next.info().parents.front()));
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

}  // namespace

// A frozen tree of a layer on top of the parent's, and its pages, if those of the parent are known.
struct LazyTree {
  SnapshotId id;
  PendingPages::SetPtr pages{};

  Status fill(Store& store, RecordId record, const LayerBlob& layer, const std::optional<ImmutableRef>& parent, std::stop_token stop) {
    const auto tree = TRY(store.snapshots.mount(id, snapshot::Access::read_write));
    ObservedLayer observed;
    snapshot::ApplyOptions options;
    options.stop = std::move(stop);
    options.observer = &observed;
    auto bytes = TRY(store.blobs.open(layer.blob));
    const auto applied = TRY(snapshot::apply_layer(tree, std::move(bytes), options));
    if (applied.blob != layer.blob) return base::fail(ErrorCode::corrupt, "its bytes are those of {}", applied.blob);
    if (applied.diff != layer.diff)
      return base::fail(ErrorCode::corrupt, "it holds diff {} instead of {}", applied.diff, layer.diff);
    auto made = std::move(observed).take_pages(store, parent, record, tree.fd());
    if (made) pages = std::move(*made);
    if (!made) base::log_warning("record {}: its pages are not made with its tree: {}", record, made.error().message);
    return {};
  }
};

namespace {

Result<LazyTree> unpack(Store& store, RecordId record, const LayerBlob& layer, const std::optional<ImmutableRef>& parent,
                        std::stop_token stop) {
  std::optional<SnapshotId> below;
  if (parent) below = parent->snapshot();
  LazyTree tree{TRY(store.snapshots.prepare(below))};
  Status made = tree.fill(store, record, layer, parent, std::move(stop));
  if (made)
    if (const auto frozen = store.snapshots.freeze(tree.id); !frozen) made = tl::unexpected(frozen.error());
  if (made) return tree;
  if (const Status gone = store.snapshots.abandon(tree.id); !gone) base::log_warning("{}", gone.error().message);
  return tl::unexpected(base::add_context(std::move(made).error(), fmt::format("unpack blob {}", layer.blob)));
}

// The tree's row, the record's row and the name of the blob, in one transaction.
Status name_tree(WriteTxn& txn, const snapshot::Snapshotter& snapshots, RecordId record, SnapshotId tree,
                 const LayerBlob& layer) {
  auto row = TRY(txn.get(table::records, record));
  if (!row) return base::fail(ErrorCode::not_found, "record {}: it is not published", record);
  if (row->snapshot) return base::fail(ErrorCode::already_exists, "record {}: it has tree {}", record, row->snapshot);
  TRY(txn.put(table::tree_owners, tree, TreeOwnerRow{record}));
  TRY(snapshots.publish(txn, tree));
  TRY(put_layer(txn, record, layer));
  row = TRY(txn.get(table::records, record));
  const auto about = TRY(snapshot::find_snapshot(txn, tree));
  CHECK(row && about, "record {} and its tree {} have just been written", record, tree);
  row->snapshot = tree;
  row->usage = about->usage;
  set_tree_space(row->space, *about);
  TRY(put_record(txn, record, *row));
  CRASH_POINT("cache.unlazy.tree_named");
  return {};
}

Result<base::lmdb::SequenceNumber> enqueue_tree(Store& store, const ImmutableRef& ref, SnapshotId tree,
                                                const LayerBlob& layer) {
  base::lmdb::GroupWriter::Entry entry;
  entry.data.push_back(store.snapshots.data_token(tree));
  entry.change = [&snapshots = std::as_const(store.snapshots), id = ref.id(), tree, layer](WriteTxn& txn) {
    return name_tree(txn, snapshots, id, tree, layer);
  };
  const auto held = std::make_shared<std::optional<ImmutableRef>>(ref);
  entry.done = [&store, held, tree, layer](const Status& outcome) {
    const RecordId id = (*held)->id();
    if (outcome) store.snapshots.published(tree);
    if (!outcome) base::log_warning("tree of record {} is not kept: {}", id, outcome.error().message);
    store.blobs.named(layer.blob, outcome.has_value());
    store.holds.set_tree_outcome(id, outcome ? Standing::durable : Standing::failed);
    held->reset();
  };
  return enqueue(store, std::move(entry));
}

Status unlazy_one(Store& store, const ImmutableRef& ref, LayerFetches& fetches, std::size_t index, const std::stop_token& stop) {
  const auto turn = store.unlazy_turns.take(ref.id());
  if (!ref.is_lazy()) return {};
  std::optional<ImmutableRef> parent;
  if (!ref.info().parents.empty()) parent = TRY(find_ancestor(store, ref, ref.info().parents.front()));
  const LayerBlob layer = TRY(fetches.wait(index));
  LazyTree tree = TRY(unpack(store, ref.id(), layer, parent, stop), "record {}", ref.id());
  CRASH_POINT("cache.unlazy.unpacked");
  store.holds.set_tree(ref.id(), tree.id);  // usable now, durable later
  ++store.layers_unpacked;
  const auto number = enqueue_tree(store, ref, tree.id, layer);
  if (!number) base::log_warning("tree of record {} is not kept: {}", ref.id(), number.error().message);
  if (tree.pages) keep_digests(store, ref, std::nullopt, {std::move(tree.pages)});
  return {};
}

Status unlazy_chain(Store& store, const ImmutableRef& ref, const BlobProvider& provider, const std::stop_token& stop) {
  const std::vector<ImmutableRef> chain = TRY(lazy_chain(store, ref));
  LayerFetches fetches(store, chain, provider, stop);
  for (std::size_t i = 0; i < chain.size(); ++i) TRY(unlazy_one(store, chain[i], fetches, i, stop));
  return {};
}

}  // namespace

Status unlazy_from_here(Store& store, const ImmutableRef& ref) { return unlazy_chain(store, ref, {}, {}); }

Status Cache::unlazy(const ImmutableRef& ref, const BlobProvider& provider, std::stop_token stop) {
  TRY(unlazy_chain(*state_, ref, provider, stop), "unlazy record {}", ref.id());
  return {};
}

Result<ImmutableRef> Cache::add_lazy(const LazyLayer& layer, std::optional<ImmutableRef> parent, Publication& into,
                                     RecordFacts facts) {
  Store& store = *state_;
  TRY(check_owner(facts.owner), "add a lazy layer");
  RecordInfo info;
  info.id = RecordId(TRY(store.snapshots.reserve_id(), "add a lazy layer").value());
  info.facts = std::move(facts);
  info.created = info.last_used = store.clock.now();
  std::vector<ImmutableRef> parents;
  if (parent) {
    info.parents.push_back(parent->id());
    parents.push_back(std::move(*parent));
  }
  ImmutableRef ref = store.holds.add_unpublished(std::move(info), std::move(parents));
  into.records_.push_back(ref);
  into.layers_.emplace_back(ref, LayerBlob{layer.blob, layer.size, layer.compression, layer.diff, 0});
  return ref;
}

Result<std::vector<BlobDigest>> Cache::missing_blobs(const ImmutableRef& ref) {
  std::vector<BlobDigest> missing;
  for (const ImmutableRef& lazy : TRY(lazy_chain(*state_, ref))) {
    const std::vector<LayerSource> sources = TRY(layer_sources(*state_, lazy.id()));
    if (!sources.empty() && !sources.front().here) missing.push_back(sources.front().layer.blob);
  }
  return missing;
}

}  // namespace cairn::cache
