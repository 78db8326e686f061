// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/export_cache.h"

#include <algorithm>
#include <set>

#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/manifest.h"
#include "libsolver/remote_cache/merge_caches.h"
#include "libsolver/remote_cache/result_layers.h"
#include "libsolver/sources/text_source.h"

namespace cairn::solver {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

using Make = ResultLayers::Make;

// What the solve and the store know, in layers that are here or lazy.
Result<WrittenCache> collect(const KeyGraph& keys, const CacheExport& order, const CacheExportContext& context,
                             const std::stop_token& stop) {
  ResultLayers layers(context.cache, order.compression, stop);
  // Layers are made before the keys are read: a reader of keys waits for nobody.
  for (std::size_t edge = 0; edge < keys.edges.size(); ++edge) {
    const bool is_wanted =
        edge == keys.result || (order.mode == ExportOptions::Mode::max && !keys.edges[edge].inputs.empty());
    if (is_wanted && keys.edges[edge].complete && keys.edges[edge].export_result.value_or(true))
      TRY(layers.of(keys.edges[edge].ref, Make::yes));
  }
  ExportOptions options;
  options.mode = order.mode;
  options.existing = [&](const OptionalRef& ref) { return layers.of(ref, Make::no); };
  options.create = [&](const OptionalRef& ref) { return layers.of(ref, Make::yes); };
  CacheChains chains;
  TRY(export_keys(keys, context.results, options, chains));
  return WrittenCache{chains.config(), layers.described()};
}

class Exporter {
 public:
  Exporter(const WrittenCache& own, CachePlace& place, const CacheExportContext& context, std::stop_token stop)
      : own_(own), place_(place), context_(context), stop_(std::move(stop)) {}

  Result<CacheExported> run() {
    const auto make = [this](const std::optional<NamedManifest>& old) { return make_manifest(old); };
    TRY(place_.update_manifest(make, stop_));
    return report_;
  }

 private:
  // What is there, or nothing if nobody can read it. Errors: what may be otherwise the next time, and that it is no
  // cache at all.
  Result<WrittenCache> read_old(const std::optional<NamedManifest>& old) {
    if (!old) return WrittenCache();
    auto cache = read_cache(place_, *old, stop_);
    if (cache || cache.error().code != ErrorCode::corrupt) return cache;
    return WrittenCache();
  }

  // nullopt: it holds all of this already.
  Result<std::optional<std::string>> make_manifest(const std::optional<NamedManifest>& old) {
    const WrittenCache known = TRY(read_old(old));
    auto merged = merge_caches(known, own_);
    // Together they are too much: what is new begins anew.
    if (!merged && merged.error().code == ErrorCode::invalid_argument) merged = merge_caches({}, own_);
    if (!merged) return tl::unexpected(std::move(merged).error());
    report_.records = merged->config.records.size();
    report_.layers = merged->layers.size();
    if (old) report_.manifest = old->digest;
    if (old && hold_the_same(TRY(merge_caches({}, known)).config, merged->config)) return std::optional<std::string>();
    for (const auto& [name, layer] : merged->layers) {
      if (!known.layers.contains(name)) TRY(put_layer(layer), "layer {}", name);
    }
    const std::string config = merged->config.json();
    const auto digest = base::digest_of<BlobDigest>(config);
    const std::string manifest = write_cache_manifest(*merged, digest, config.size());
    if (config.size() > RemoteCacheLimits::config_bytes_max ||
        manifest.size() > RemoteCacheLimits::manifest_bytes_max) {
      return base::fail(ErrorCode::invalid_argument,
                        "a cache of {} records and {} layers is too large to be read again", report_.records,
                        report_.layers);
    }
    TRY(put(digest, config.size(), open_text(config)));
    report_.manifest = base::digest_of<BlobDigest>(manifest);
    return std::optional(manifest);
  }

  // Once, however often the manifest has to be made.
  Status put(const BlobDigest& digest, std::uint64_t size, const CachePlace::OpenBlob& open) {
    if (!put_.insert(digest).second) return {};
    if (!TRY(place_.put_blob(digest, size, open, stop_))) return {};
    ++report_.new_blobs;
    report_.new_bytes += size;
    return {};
  }
  // From here, or from where a lazy record says that it is.
  Status put_layer(const CacheLayer& layer) {
    return put(layer.blob, layer.size,
               [&](std::uint64_t offset) { return context_.origins.open_blob(layer.blob, offset, stop_); });
  }

  const WrittenCache& own_;
  CachePlace& place_;
  const CacheExportContext& context_;
  const std::stop_token stop_;
  std::set<BlobDigest> put_;
  CacheExported report_;
};

}  // namespace

Result<CacheExported> export_cache(const KeyGraph& keys, const CacheExport& order, CachePlace& place,
                                   const CacheExportContext& context, std::stop_token stop) {
  const WrittenCache own = TRY(collect(keys, order, context, stop));
  if (own.config.layers.empty()) return CacheExported();  // no key leads to anything
  return Exporter(own, place, context, std::move(stop)).run();
}

}  // namespace cairn::solver
