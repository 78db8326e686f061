// SPDX-License-Identifier: Apache-2.0
// The layer of a record as a blob, in the compression that somebody wants: found, converted from another one, or
// written from the tree. All of them are one diff, which is compared whenever bytes are made.
#include <algorithm>
#include <thread>

#include "libbase/crash_point.h"
#include "libbase/hash/sha256.h"
#include "libcache/blob_writer.h"
#include "libcache/cache.h"
#include "libcache/records/ancestors.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/store.h"
#include "libsnapshot/layer.h"

namespace cairn::cache {

using base::Compression;
using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using snapshot::SnapshotId;

namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;
constexpr std::uint64_t unpacked_max = std::uint64_t{1} << 40;

struct Diffed {
  std::optional<SnapshotId> lower;
  SnapshotId upper;
};

// The two trees whose difference the record is.
Result<Diffed> trees_of(Store& store, const ImmutableRef& ref) {
  const RecordInfo& info = ref.info();
  const auto parent = [&](std::size_t index) -> Result<SnapshotId> {
    return TRY(find_ancestor(store, ref, info.parents.at(index))).snapshot();
  };
  switch (info.kind) {
    case RecordKind::layer: {
      if (info.parents.empty()) return Diffed{{}, ref.snapshot()};
      return Diffed{TRY(parent(0)), ref.snapshot()};
    }
    case RecordKind::diff: {
      const SnapshotId lower = TRY(parent(0));
      return Diffed{lower, TRY(parent(1))};
    }
    case RecordKind::diff_from_none: return Diffed{{}, TRY(parent(0))};
    case RecordKind::merge:
    case RecordKind::diff_to_none: break;
  }
  return base::fail(ErrorCode::invalid_argument, "record {}: this {} is no single layer", ref.id(),
                    to_string(info.kind));
}

Result<LayerBlob> finish(BlobWriter& blob, Compression compression, const DiffId& diff) {
  const BlobStore::Put put = TRY(blob.finish(std::nullopt));
  return LayerBlob{put.info.digest, put.info.size, compression, diff, put.sequence};
}

Result<LayerBlob> write_from_tree(Cache& cache, Store& store, const ImmutableRef& ref, Compression compression,
                                  const std::stop_token& stop) {
  const Diffed pair = TRY(trees_of(store, ref));
  const auto tree = TRY(store.snapshots.mount(pair.upper, snapshot::Access::read_only));
  snapshot::WriteOptions options;
  options.compression = compression;
  options.hashes_blob = false;  // the blob's writer does
  options.stop = stop;
  const auto changes = [&](const snapshot::ChangeVisitor& visitor) {
    return snapshot::diff(store.snapshots, pair.lower, pair.upper, visitor, snapshot::changes_for_layer(stop));
  };
  BlobWriter blob(cache);
  const auto sink = [&](std::string_view bytes) { return blob.write(bytes); };
  const snapshot::Written written = TRY(snapshot::write_layer(tree, changes, sink, options));
  ++store.layers_written;
  const LayerBlob layer = TRY(finish(blob, compression, written.diff));
  CRASH_POINT("cache.layer.written");
  return layer;
}

Result<LayerBlob> convert(Cache& cache, Store& store, const LayerBlob& from, Compression compression,
                          const std::stop_token& stop) {
  auto bytes = TRY(store.blobs.open(from.blob));
  const auto tar = base::make_decoder(from.compression, std::move(bytes), unpacked_max);
  BlobWriter blob(cache);
  const auto encoder = base::make_parallel_encoder(
      compression, [&](std::string_view piece) { return blob.write(piece); }, 0,
      std::max(1u, std::thread::hardware_concurrency()));
  base::Sha256 hash;
  std::vector<std::byte> buffer(buffer_bytes);
  for (;;) {
    if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "convert blob {}", from.blob);
    const std::size_t count = TRY(tar->read(buffer));
    if (count == 0) break;
    const auto piece = std::span<const std::byte>(buffer).first(count);
    hash.update(piece);
    TRY(encoder->write({reinterpret_cast<const char*>(piece.data()), piece.size()}));
  }
  TRY(encoder->finish());
  if (const DiffId diff(hash.finish()); diff != from.diff)
    return base::fail(ErrorCode::corrupt, "blob {} holds diff {} instead of {}", from.blob, diff, from.diff);
  ++store.layers_converted;
  const LayerBlob layer = TRY(finish(blob, compression, from.diff));
  CRASH_POINT("cache.layer.converted");
  return layer;
}

Result<std::vector<LayerBlob>> known_blobs(Store& store, RecordId record) {
  std::vector<LayerBlob> known = store.fresh_layers.of(record);
  TRY(store.keys.in_version([&](ReadTxn& txn) -> Status {
    const auto diff = TRY(diff_of(txn, record));
    if (!diff) return {};
    for (const LayerBlob& layer : TRY(blobs_of_diff(txn, *diff))) {
      const auto same = [&](const LayerBlob& other) { return other.blob == layer.blob; };
      if (std::none_of(known.begin(), known.end(), same)) known.push_back(layer);
    }
    return {};
  }));
  return known;
}

// The one in this compression, or any, that is here.
Result<std::optional<LayerBlob>> here(Store& store, const std::vector<LayerBlob>& known,
                                      std::optional<Compression> compression) {
  for (const LayerBlob& layer : known) {
    if (compression && layer.compression != *compression) continue;
    const auto blob = TRY(store.blobs.find(layer.blob));
    if (blob) return std::optional<LayerBlob>(layer);
  }
  return std::optional<LayerBlob>();
}

}  // namespace

Result<LayerBlob> Cache::layer_blob(const ImmutableRef& ref, Compression compression, std::stop_token stop) {
  Store& store = *state_;
  const auto turn = store.layer_turns.take(ref.id());
  const std::vector<LayerBlob> known = TRY(known_blobs(store, ref.id()), "layer of record {}", ref.id());
  if (auto found = TRY(here(store, known, compression))) return std::move(*found);
  const auto other = TRY(here(store, known, std::nullopt));
  if (!other) TRY(unlazy(ref, {}, stop), "layer of record {}", ref.id());
  LayerBlob made = TRY(
      other ? convert(*this, store, *other, compression, stop) : write_from_tree(*this, store, ref, compression, stop),
      "layer of record {}", ref.id());
  if (store.holds.standing_of(ref.id()) == Standing::unpublished) return made;  // no row to say it in; the blob stays
  Batch batch;
  batch.layers.emplace_back(ref.id(), made);
  batch.blobs.emplace_back(ref.id(), made.blob);
  batch.holds.push_back(ref);
  made.sequence = TRY(enqueue_batch(store, std::move(batch)), "layer of record {}", ref.id());
  return made;
}

Result<std::vector<LayerBlob>> Cache::layer_blobs(const ImmutableRef& ref) { return known_blobs(*state_, ref.id()); }

}  // namespace cairn::cache
