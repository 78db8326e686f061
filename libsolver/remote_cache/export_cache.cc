// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/export_cache.h"

#include <algorithm>
#include <set>

#include "libbase/do_each.h"
#include "libbase/hash/sha256.h"
#include "libbase/sync.h"
#include "libsolver/remote_cache/inline_cache.h"
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
Result<WrittenCache> write_down(const KeyGraph& keys, ExportOptions::Mode mode, Make make, ResultLayers& layers,
                                ResultStore& results) {
  ExportOptions options;
  options.mode = mode;
  options.existing = [&](const OptionalRef& ref) { return layers.of(ref, Make::no); };
  options.create = [&, make](const OptionalRef& ref) { return layers.of(ref, make); };
  CacheChains chains;
  TRY(export_keys(keys, results, options, chains));
  return WrittenCache{chains.config(), layers.described()};
}

// The same with the layers that the order asks for.
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
  return write_down(keys, order.mode, Make::yes, layers, context.results);
}

class Exporter {
 public:
  Exporter(const WrittenCache& own, const CacheExport& order, CachePlace& place, const CacheExportContext& context,
           std::stop_token stop)
      : own_(own), order_(order), place_(place), context_(context), stop_(std::move(stop)) {}

  Result<CacheExported> run() {
    const auto make = [this](const std::optional<NamedManifest>& old) { return make_manifest(old); };
    TRY(place_.update_manifest(make, stop_));
    report_.new_blobs = written_.lock()->blobs;
    report_.new_bytes = written_.lock()->bytes;
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

  // Layers that the place has deleted meanwhile are none; the others stay there for longer.
  Status keep_layers(WrittenCache& known) {
    std::vector<std::map<std::string, CacheLayer>::iterator> layers;
    for (auto layer = known.layers.begin(); layer != known.layers.end(); ++layer) layers.push_back(layer);
    std::vector<char> is_there(layers.size());
    TRY(base::do_each(layers.size(), order_.uploads_at_once, [&](std::size_t at) -> Status {
      is_there[at] = TRY(place_.keep_blob(layers[at]->second.blob, layers[at]->second.size, stop_)) ? 1 : 0;
      return {};
    }));
    for (std::size_t at = 0; at < layers.size(); ++at) {
      if (!is_there[at]) known.layers.erase(layers[at]);
    }
    return {};
  }

  // nullopt: it holds all of this already.
  Result<std::optional<std::string>> make_manifest(const std::optional<NamedManifest>& old) {
    WrittenCache known = TRY(read_old(old));
    const bool is_old = old && old->is_old;
    if (is_old) TRY(keep_layers(known));
    auto merged = merge_caches(known, own_);
    // Together they are too much: what is new begins anew.
    if (!merged && merged.error().code == ErrorCode::invalid_argument) merged = merge_caches({}, own_);
    if (!merged) return tl::unexpected(std::move(merged).error());
    report_.records = merged->config.records.size();
    report_.layers = merged->layers.size();
    if (old) report_.manifest = old->digest;
    if (old && !is_old && hold_the_same(TRY(merge_caches({}, known)).config, merged->config))
      return std::optional<std::string>();
    TRY(put_layers(*merged, known));
    std::string manifest = TRY(write_documents(*merged));
    report_.manifest = base::digest_of<BlobDigest>(manifest);
    return std::optional(std::move(manifest));
  }

  // The manifest; what it names is there.
  Result<std::string> write_documents(const WrittenCache& cache) {
    const bool is_whole = place_.form() == CachePlace::Form::one_document;
    const std::string config = is_whole ? whole_cache_json(cache) : cache.config.json();
    const auto digest = base::digest_of<BlobDigest>(config);
    std::string manifest = is_whole ? config : write_cache_manifest(cache, digest, config.size());
    if (config.size() > RemoteCacheLimits::config_bytes_max ||
        manifest.size() > RemoteCacheLimits::manifest_bytes_max) {
      return base::fail(ErrorCode::invalid_argument,
                        "a cache of {} records and {} layers is too large to be read again", report_.records,
                        report_.layers);
    }
    if (is_whole) return manifest;
    TRY(put(digest, config.size(), open_text(config)));
    return manifest;
  }

  // Once, however often the manifest has to be made.
  Status put(const BlobDigest& digest, std::uint64_t size, const CachePlace::OpenBlob& open) {
    if (!written_.lock()->asked.insert(digest).second) return {};
    if (!TRY(place_.put_blob(digest, size, open, stop_))) return {};
    auto written = written_.lock();
    ++written->blobs;
    written->bytes += size;
    return {};
  }
  Status put_layers(const WrittenCache& merged, const WrittenCache& known) {
    std::vector<const CacheLayer*> layers;
    for (const auto& [name, layer] : merged.layers) {
      if (!known.layers.contains(name)) layers.push_back(&layer);
    }
    return base::do_each(layers.size(), order_.uploads_at_once, [&](std::size_t at) -> Status {
      TRY(put_layer(*layers[at]), "layer {}", layers[at]->blob);
      return {};
    });
  }
  // From here, or from where a lazy record says that it is.
  Status put_layer(const CacheLayer& layer) {
    return put(layer.blob, layer.size,
               [&](std::uint64_t offset) { return context_.origins.open_blob(layer.blob, offset, stop_); });
  }

  struct Written {
    std::set<BlobDigest> asked;  // whether the place has them
    std::uint64_t blobs = 0, bytes = 0;
  };

  const WrittenCache& own_;
  const CacheExport& order_;
  CachePlace& place_;
  const CacheExportContext& context_;
  const std::stop_token stop_;
  base::Guarded<Written> written_;
  CacheExported report_;
};

}  // namespace

Result<CacheExported> export_cache(const KeyGraph& keys, const CacheExport& order, CachePlace& place,
                                   const CacheExportContext& context, std::stop_token stop) {
  const WrittenCache own = TRY(collect(keys, order, context, stop));
  if (own.config.layers.empty()) return CacheExported();  // no key leads to anything
  return Exporter(own, order, place, context, std::move(stop)).run();
}

Result<std::string> inline_cache(const KeyGraph& keys, const std::vector<CacheLayer>& image,
                                 const CacheExportContext& context, std::stop_token stop) {
  ResultLayers layers(context.cache, base::Compression::gzip, std::move(stop));
  const WrittenCache own = TRY(write_down(keys, ExportOptions::Mode::min, Make::no, layers, context.results));
  return inline_cache_json(own, image);
}

}  // namespace cairn::solver
