// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/image_layers.h"

#include "libbase/hash/sha256.h"
#include "libcache/blob_writer.h"
#include "libsolver/sources/oci_json.h"
#include "libsolver/sources/oci_layout_writer.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using cache::ImmutableRef;
using cache::LayerBlob;
using cache::RecordKind;

namespace {

constexpr std::uint64_t unpacked_max = std::uint64_t{1} << 40;

// Passes on what another gives, and knows what all of it was.
class HashedSource final : public base::ByteSource {
 public:
  explicit HashedSource(std::unique_ptr<base::ByteSource> from) : from_(std::move(from)) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = TRY(from_->read(out));
    hash_.update(std::span<const std::byte>(out).first(count));
    return count;
  }
  // Of what was read and of the rest.
  Result<DiffId> finish() {
    std::vector<std::byte> buffer(64 << 10);
    while (TRY(read(buffer)) != 0) {
    }
    return DiffId(hash_.finish());
  }

 private:
  std::unique_ptr<base::ByteSource> from_;
  base::Sha256 hash_;
};

CacheLayer described(const LayerBlob& layer) { return {layer.blob, layer.size, layer.compression, layer.diff}; }

// The tree that a record's layer starts from; nullopt: nothing.
Result<std::optional<ImmutableRef>> lower_of(cache::Cache& cache, const ImmutableRef& record) {
  const cache::RecordInfo& info = record.info();
  if (info.kind == RecordKind::diff_from_none || info.parents.empty()) return std::optional<ImmutableRef>();
  auto lower = TRY(cache.find(info.parents.front()));
  if (!lower) return fail(ErrorCode::not_found, "record {} is gone, on which {} stands", info.parents.front(), record.id());
  return lower;
}

// The tree that it ends with.
Result<ImmutableRef> upper_of(cache::Cache& cache, const ImmutableRef& record) {
  const cache::RecordInfo& info = record.info();
  if (info.kind != RecordKind::diff && info.kind != RecordKind::diff_from_none) return record;
  auto upper = TRY(cache.find(info.parents.back()));
  if (!upper) return fail(ErrorCode::not_found, "record {} is gone, which {} is about", info.parents.back(), record.id());
  return std::move(*upper);
}

Result<std::vector<DiffId>> diffs_of(const std::string& config) {
  if (config.empty()) return std::vector<DiffId>();
  return TRY(parse_oci_config(config), "config of the base image").diff_ids;
}

}  // namespace

Result<std::vector<ImageLayer>> ImageLayers::of(const ImageToExport& image) {
  std::vector<ImageLayer> layers;
  if (!image.result) return layers;
  const bool rewrites = output_.timestamps == ImageOutput::Timestamps::rewrite && epoch_;
  const auto records = TRY(known_.records_of(*image.result));
  if (!records) {
    const auto& info = image.result->info();
    layers.push_back({TRY(write(*image.result, true)), info.facts.description, info.created, rewrites});
    return layers;
  }
  const std::vector<DiffId> base = TRY(diffs_of(image.base_config));
  bool is_base = true;
  for (const ImmutableRef& record : *records) {
    const auto known = TRY(known_.blob_of(record, ResultLayers::Make::no));
    is_base = is_base && known && layers.size() < base.size() && known->diff == base[layers.size()];
    const bool is_rewritten = rewrites && !is_base;
    CacheLayer blob;
    if (is_rewritten)
      blob = known ? TRY(rewrite(*known)) : TRY(write(record, false));
    else
      blob = TRY(blob_of(record, known));
    layers.push_back({std::move(blob), record.info().facts.description, record.info().created, is_rewritten});
  }
  return layers;
}

Result<CacheLayer> ImageLayers::blob_of(const ImmutableRef& record, const std::optional<LayerBlob>& known) {
  const bool has_level = output_.compression_level != 0;
  if (known) {
    const bool fits = known->compression == output_.compression && !has_level;
    if (fits || output_.compress == ImageOutput::Compress::what_is_new) return described(*known);
    if (has_level) return convert(*known);
  } else if (has_level) {
    return write(record, false);
  }
  TRY(context_.cache.unlazy(record, context_.origins.provider(), stop_));
  return described(TRY(context_.cache.layer_blob(record, output_.compression, stop_)));
}

// From the trees, whatever blobs there are.
Result<CacheLayer> ImageLayers::write(const ImmutableRef& record, bool whole_tree) {
  cache::Cache& cache = context_.cache;
  std::optional<ImmutableRef> lower;
  if (!whole_tree) lower = TRY(lower_of(cache, record));
  const ImmutableRef upper = whole_tree ? record : TRY(upper_of(cache, record));
  TRY(cache.unlazy(upper, context_.origins.provider(), stop_));
  if (lower) TRY(cache.unlazy(*lower, context_.origins.provider(), stop_));
  const snapshot::MountedTree tree = TRY(upper.mount());
  const snapshot::MountedTree below = lower ? TRY(lower->mount()) : snapshot::MountedTree();
  const auto changes = [&](const snapshot::ChangeVisitor& visitor) {
    return snapshot::changes_between(lower ? std::optional(below.fd()) : std::nullopt, tree.fd(), visitor,
                                     snapshot::changes_for_layer(stop_));
  };
  cache::BlobWriter writer(cache);
  const auto sink = [&](std::string_view bytes) { return writer.write(bytes); };
  const snapshot::Written written =
      TRY(snapshot::write_layer(tree, changes, sink, options()), "layer of record {}", record.id());
  TRY(writer.finish(written.blob), "layer of record {}", record.id());
  return CacheLayer{written.blob, written.blob_bytes, output_.compression, written.diff};
}

snapshot::WriteOptions ImageLayers::options() const {
  snapshot::WriteOptions options;
  options.compression = output_.compression;
  options.level = output_.compression_level;
  if (output_.timestamps == ImageOutput::Timestamps::rewrite) options.time_max = epoch_;
  options.stop = stop_;
  return options;
}

// From a blob of the layer: whatever its tar holds stays, also what changed nothing.
Result<CacheLayer> ImageLayers::rewrite(const LayerBlob& from) {
  HashedSource tar(
      base::make_decoder(from.compression, TRY(context_.origins.open_blob(from.blob, 0, stop_)), unpacked_max));
  cache::BlobWriter writer(context_.cache);
  const auto sink = [&](std::string_view bytes) { return writer.write(bytes); };
  const snapshot::Written written = TRY(snapshot::rewrite_layer(tar, sink, options()), "blob {}", from.blob);
  if (const DiffId diff = TRY(tar.finish(), "blob {}", from.blob); diff != from.diff)
    return fail(ErrorCode::corrupt, "blob {} holds diff {} instead of {}", from.blob, diff, from.diff);
  TRY(writer.finish(written.blob), "blob {}", from.blob);
  return CacheLayer{written.blob, written.blob_bytes, output_.compression, written.diff};
}

// The same tar, compressed as the order says.
Result<CacheLayer> ImageLayers::convert(const LayerBlob& from) {
  const auto tar =
      base::make_decoder(from.compression, TRY(context_.origins.open_blob(from.blob, 0, stop_)), unpacked_max);
  cache::BlobWriter writer(context_.cache);
  const auto encoder = base::make_parallel_encoder(
      output_.compression, [&](std::string_view bytes) { return writer.write(bytes); }, output_.compression_level, 2);
  const auto encode = [&](std::span<const std::byte> piece) {
    return encoder->write({reinterpret_cast<const char*>(piece.data()), piece.size()});
  };
  TRY(copy_blob(BlobDigest(from.diff.bytes()), *tar, encode, stop_), "the tar of blob {}", from.blob);
  TRY(encoder->finish());
  const cache::BlobStore::Put put = TRY(writer.finish(std::nullopt));
  return CacheLayer{put.info.digest, put.info.size, output_.compression, from.diff};
}

}  // namespace cairn::solver
