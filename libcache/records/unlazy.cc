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

// What holds the record's layer, those first that are here.
struct Source {
  LayerBlob layer;
  bool here = false;
};
Result<std::vector<Source>> sources_of(Store& store, RecordId record) {
  std::vector<LayerBlob> known = store.fresh_layers.of(record);
  TRY(store.keys.in_version([&](ReadTxn& txn) -> Status {
    const auto diff = TRY(diff_of(txn, record));
    if (!diff) return {};
    const auto durable = TRY(blobs_of_diff(txn, *diff));
    known.insert(known.end(), durable.begin(), durable.end());
    return {};
  }));
  std::vector<Source> sources;
  for (const LayerBlob& layer : known) {
    const auto blob = TRY(store.blobs.find(layer.blob));
    sources.push_back({layer, blob.has_value()});
  }
  std::stable_partition(sources.begin(), sources.end(), [](const Source& source) { return source.here; });
  return sources;
}

base::Error without(const std::vector<Source>& sources, RecordId record) {
  std::string names;
  for (const Source& source : sources) names += (names.empty() ? "" : ", ") + source.layer.blob.str();
  return {ErrorCode::unavailable, fmt::format("record {}: its tree is not here, and nobody gives blob {}", record, names),
          "give a provider that has it"};
}

// One blob that holds the layer, here.
Result<LayerBlob> fetch(Store& store, RecordId record, const BlobProvider& provider) {
  const std::vector<Source> sources = TRY(sources_of(store, record));
  if (sources.empty()) return base::fail(ErrorCode::corrupt, "record {}: no blob holds its layer", record);
  if (sources.front().here) return sources.front().layer;
  if (!provider) return tl::unexpected(without(sources, record));
  std::optional<base::Error> last;
  for (const Source& source : sources) {
    auto bytes = provider(source.layer.blob);
    if (!bytes) {
      last = bytes.error();
      continue;
    }
    TRY(store.blobs.put(**bytes, source.layer.blob), "fetch blob {}", source.layer.blob);
    CRASH_POINT("cache.unlazy.fetched");
    return source.layer;
  }
  return tl::unexpected(base::add_context(std::move(*last), without(sources, record).message));
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

Status unlazy_one(Store& store, const ImmutableRef& ref, const BlobProvider& provider, const std::stop_token& stop) {
  const auto turn = store.unlazy_turns.take(ref.id());
  if (!ref.is_lazy()) return {};
  if (store.holds.standing_of(ref.id()) == Standing::unpublished)
    return base::fail(ErrorCode::invalid_argument, "record {} is lazy and not published", ref.id());
  std::optional<ImmutableRef> parent;
  if (!ref.info().parents.empty()) parent = TRY(find_ancestor(store, ref, ref.info().parents.front()));
  const LayerBlob layer = TRY(fetch(store, ref.id(), provider));
  LazyTree tree = TRY(unpack(store, ref.id(), layer, parent, stop), "record {}", ref.id());
  CRASH_POINT("cache.unlazy.unpacked");
  store.holds.set_tree(ref.id(), tree.id);  // usable now, durable later
  ++store.layers_unpacked;
  const auto number = enqueue_tree(store, ref, tree.id, layer);
  if (!number) base::log_warning("tree of record {} is not kept: {}", ref.id(), number.error().message);
  if (tree.pages) keep_digests(store, ref, std::nullopt, {std::move(tree.pages)});
  return {};
}

}  // namespace

Status unlazy_from_here(Store& store, const ImmutableRef& ref) {
  for (const ImmutableRef& lazy : TRY(lazy_chain(store, ref))) TRY(unlazy_one(store, lazy, {}, {}));
  return {};
}

Status Cache::unlazy(const ImmutableRef& ref, const BlobProvider& provider, std::stop_token stop) {
  for (const ImmutableRef& lazy : TRY(lazy_chain(*state_, ref), "unlazy record {}", ref.id()))
    TRY(unlazy_one(*state_, lazy, provider, stop), "unlazy");
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
    const std::vector<Source> sources = TRY(sources_of(*state_, lazy.id()));
    if (!sources.empty() && !sources.front().here) missing.push_back(sources.front().layer.blob);
  }
  return missing;
}

}  // namespace cairn::cache
