// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/manifest.h"

#include <set>

namespace cairn::solver {

std::string layer_media_type(base::Compression compression) {
  const std::string tar = "application/vnd.oci.image.layer.v1.tar";
  if (compression == base::Compression::none) return tar;
  return tar + (compression == base::Compression::zstd ? "+zstd" : "+gzip");
}

namespace {

std::string descriptor_json(const std::string& type, const BlobDigest& digest, std::uint64_t size) {
  return fmt::format(R"("mediaType":"{}","digest":"{}","size":{})", type, digest, size);
}

}  // namespace

std::string write_cache_manifest(const WrittenCache& cache, const BlobDigest& config, std::uint64_t config_bytes) {
  std::string text = fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","config":{{{}}},"layers":[)",
                                 oci_manifest_type, descriptor_json(cache_config_type, config, config_bytes));
  std::set<std::string> written;
  for (const CacheConfig::Layer& layer : cache.config.layers) {
    const auto described = cache.layers.find(layer.blob);
    if (described == cache.layers.end() || !written.insert(layer.blob).second) continue;
    const CacheLayer& of = described->second;
    text += fmt::format(R"({}{{{},"annotations":{{"{}":"{}"}}}})", written.size() > 1 ? "," : "",
                        descriptor_json(layer_media_type(of.compression), of.blob, of.size), uncompressed_annotation,
                        of.diff);
  }
  return text + "]}";
}

std::string whole_cache_json(const WrittenCache& cache) {
  return cache.config.json([&](const CacheConfig::Layer& layer) -> std::string {
    const auto described = cache.layers.find(layer.blob);
    if (described == cache.layers.end()) return "";
    const CacheLayer& of = described->second;
    // When a layer was made is known of its results only; Go's zero time says nothing.
    return fmt::format(
        R"(,"annotations":{{"mediaType":"{}","diffID":"{}","size":{},"createdAt":"0001-01-01T00:00:00Z"}})",
        layer_media_type(of.compression), of.diff, of.size);
  });
}

}  // namespace cairn::solver
