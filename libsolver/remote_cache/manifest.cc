// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/manifest.h"

#include <set>

namespace cairn::solver {
namespace {

std::string layer_type(base::Compression compression) {
  const std::string tar = "application/vnd.oci.image.layer.v1.tar";
  if (compression == base::Compression::none) return tar;
  return tar + (compression == base::Compression::zstd ? "+zstd" : "+gzip");
}

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
    text +=
        fmt::format(R"({}{{{},"annotations":{{"{}":"{}"}}}})", written.size() > 1 ? "," : "",
                    descriptor_json(layer_type(of.compression), of.blob, of.size), uncompressed_annotation, of.diff);
  }
  return text + "]}";
}

}  // namespace cairn::solver
