// SPDX-License-Identifier: Apache-2.0
// Merges and diffs as records (spec/storage 1.4). What a record is to a merge is its *layers*: pairs of trees whose
// differences are applied one after the other. A layer's are those of its parent and its own, a merge's those of its
// parents, a diff's the one between its parents; so what a diff removes is not lost when it is merged.
#include <algorithm>

#include "libbase/crash_point.h"
#include "libcache/cache.h"
#include "libcache/records/ancestors.h"
#include "libcache/records/store.h"
#include "libsnapshot/merge.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using snapshot::Delta;
using snapshot::SnapshotId;

namespace {

constexpr std::size_t layers_max = 4096;

struct Layer {
  RecordId record;  // that it is of: a layer itself, or a diff
  Delta delta;
};

// In the order in which they are applied (spec/storage 1.4, layerWalk). Trees are asked for by id: those that were lazy
// when the record was read have one now.
class LayerWalk {
 public:
  explicit LayerWalk(Store& store) : store_(store) {}

  Status add(const RecordInfo& record) {
    switch (record.kind) {
      case RecordKind::layer: return add_layer(record);
      case RecordKind::merge:
        for (const RecordId parent : record.parents) TRY(add(TRY(ancestor_info(store_, parent))));
        return {};
      case RecordKind::diff: return add_diff(record, record.parents.at(0), record.parents.at(1));
      case RecordKind::diff_from_none: return add_diff(record, {}, record.parents.at(0));
      case RecordKind::diff_to_none: return add_diff(record, record.parents.at(0), {});
    }
    return {};
  }
  std::vector<Layer> take() { return std::move(layers_); }

 private:
  // From the bottom up, without recursion: chains are long.
  Status add_layer(const RecordInfo& top) {
    std::vector<RecordInfo> own = {top};
    std::optional<SnapshotId> below;
    while (!own.back().parents.empty()) {
      RecordInfo parent = TRY(ancestor_info(store_, own.back().parents.front()));
      if (parent.kind != RecordKind::layer) {
        TRY(add(parent));
        below = TRY(tree_of(parent));
        break;
      }
      own.push_back(std::move(parent));
    }
    for (std::size_t i = own.size(); i-- > 0;) {
      const SnapshotId tree = TRY(tree_of(own[i]));
      TRY(push({own[i].id, {.lower = below, .upper = tree}}));
      below = tree;
    }
    return {};
  }

  Status add_diff(const RecordInfo& diff, RecordId lower, RecordId upper) {
    Delta delta;
    if (lower) delta.lower = TRY(tree_of(TRY(ancestor_info(store_, lower))));
    if (upper) delta.upper = TRY(tree_of(TRY(ancestor_info(store_, upper))));
    return push({diff.id, delta});
  }

  Status push(Layer layer) {
    if (layers_.size() == layers_max) return base::fail(ErrorCode::invalid_argument, "more than {} layers", layers_max);
    layers_.push_back(std::move(layer));
    return {};
  }

  Result<SnapshotId> tree_of(const RecordInfo& record) {
    if (const auto tree = store_.holds.find_tree(record.id)) return *tree;
    if (record.snapshot) return record.snapshot;
    return base::fail(ErrorCode::unavailable, "record {}: its tree is not here", record.id);
  }

  Store& store_;
  std::vector<Layer> layers_;
};

Result<std::vector<Layer>> layers_of(Store& store, const ImmutableRef& ref) {
  LayerWalk walk(store);
  TRY(walk.add(ref.info()), "layers of record {}", ref.id());
  return walk.take();
}

// The refs that a merge has instead of other merges.
Result<std::vector<ImmutableRef>> flattened(Store& store, std::vector<ImmutableRef> inputs) {
  std::vector<ImmutableRef> flat;
  for (ImmutableRef& input : inputs) {
    if (input.info().kind != RecordKind::merge) {
      flat.push_back(std::move(input));
      continue;
    }
    for (const RecordId parent : input.info().parents) flat.push_back(TRY(find_ancestor(store, input, parent)));
  }
  return flat;
}

struct Made {
  RecordKind kind;
  std::vector<ImmutableRef> parents;
  RecordFacts facts;
};

// The record of a tree that applying the deltas makes.
Result<ImmutableRef> make_record(Store& store, std::span<const Delta> deltas, Made made, std::stop_token stop) {
  TRY(check_owner(made.facts.owner));
  snapshot::MergeOptions options;
  options.stop = std::move(stop);
  const SnapshotId tree = TRY(snapshot::merge(store.snapshots, deltas, options));
  CRASH_POINT("cache.merge.made");
  RecordInfo info;
  info.id = RecordId(tree.value());
  info.snapshot = tree;
  info.kind = made.kind;
  info.usage = TRY(store.snapshots.usage(tree));
  for (const ImmutableRef& parent : made.parents) info.parents.push_back(parent.id());
  info.facts = std::move(made.facts);
  info.created = info.last_used = store.clock.now();
  return store.holds.add_unpublished(std::move(info), std::move(made.parents));
}

std::string diff_description(RecordId lower, RecordId upper) {
  return fmt::format("diff \"{}\" -> \"{}\"", lower, upper);
}

struct Parts {
  std::vector<ImmutableRef> all;
  std::vector<ImmutableRef> made;  // of these, those that were not there
};

// spec/storage 1.4: what the caller says of the whole is not said of the parts. Each is the diff of one layer.
Result<Parts> split_diff(Store& store, const ImmutableRef& lower, const ImmutableRef& upper,
                         std::span<const Layer> layers, const std::stop_token& stop) {
  Parts parts;
  for (const Layer& layer : layers) {
    ImmutableRef own = TRY(find_ancestor(store, upper, layer.record));
    if (own.info().kind != RecordKind::layer) {  // a diff already
      parts.all.push_back(std::move(own));
      continue;
    }
    std::vector<ImmutableRef> parents;
    if (!own.info().parents.empty()) parents.push_back(TRY(find_ancestor(store, upper, own.info().parents.front())));
    const RecordKind kind = parents.empty() ? RecordKind::diff_from_none : RecordKind::diff;
    parents.push_back(std::move(own));
    RecordFacts facts;
    facts.description = diff_description(lower.id(), upper.id());
    parts.made.push_back(TRY(make_record(store, {&layer.delta, 1}, {kind, std::move(parents), std::move(facts)}, stop)));
    parts.all.push_back(parts.made.back());
  }
  return parts;
}

bool begins_with(const std::vector<Layer>& all, const std::vector<Layer>& first) {
  const auto same = [](const Layer& a, const Layer& b) { return a.record == b.record; };
  return all.size() >= first.size() && std::equal(first.begin(), first.end(), all.begin(), same);
}

Status unlazy_all(Cache& cache, const std::vector<ImmutableRef>& refs, const std::stop_token& stop) {
  for (const ImmutableRef& ref : refs) TRY(cache.unlazy(ref, {}, stop));
  return {};
}

}  // namespace

Result<std::optional<ImmutableRef>> Cache::merge(std::vector<ImmutableRef> inputs, Publication& into, RecordFacts facts,
                                                 std::stop_token stop) {
  Store& store = *state_;
  if (inputs.empty()) return std::optional<ImmutableRef>();
  if (inputs.size() == 1) return std::optional<ImmutableRef>(std::move(inputs.front()));
  std::vector<ImmutableRef> parents = TRY(flattened(store, std::move(inputs)), "merge");
  TRY(unlazy_all(*this, parents, stop), "merge");
  std::vector<Delta> deltas;
  for (const ImmutableRef& parent : parents)
    for (const Layer& layer : TRY(layers_of(store, parent))) deltas.push_back(layer.delta);
  ImmutableRef ref = TRY(make_record(store, deltas, {RecordKind::merge, std::move(parents), std::move(facts)}, stop),
                         "merge");
  into.records_.push_back(ref);
  return std::optional<ImmutableRef>(std::move(ref));
}

Result<ImmutableRef> Cache::diff(const ImmutableRef& lower, std::optional<ImmutableRef> upper, Publication& into,
                                 RecordFacts facts, std::stop_token stop) {
  Store& store = *state_;
  std::vector<ImmutableRef> parents = {lower};
  if (upper) parents.push_back(*upper);
  TRY(unlazy_all(*this, parents, stop), "diff");
  Delta delta{.lower = lower.snapshot(), .upper = {}};
  RecordKind kind = RecordKind::diff_to_none;
  if (upper) {
    const std::vector<Layer> below = TRY(layers_of(store, lower));
    const std::vector<Layer> all = TRY(layers_of(store, *upper));
    if (begins_with(all, below) && all.size() >= below.size() + 2) {
      Parts parts = TRY(split_diff(store, lower, *upper, std::span(all).subspan(below.size()), stop), "diff");
      into.records_.insert(into.records_.end(), parts.made.begin(), parts.made.end());
      RecordFacts whole;
      whole.description = diff_description(lower.id(), upper->id());
      auto merged = TRY(merge(std::move(parts.all), into, std::move(whole), stop), "diff");
      return std::move(*merged);
    }
    delta.upper = upper->snapshot();
    kind = RecordKind::diff;
  }
  ImmutableRef ref = TRY(make_record(store, {&delta, 1}, {kind, std::move(parents), std::move(facts)}, stop), "diff");
  into.records_.push_back(ref);
  return ref;
}

}  // namespace cairn::cache
