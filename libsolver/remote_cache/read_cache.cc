// SPDX-License-Identifier: Apache-2.0
// A cache from its documents: the manifest, which says what its layers are, and the config, which says what led to
// them.
#include <algorithm>

#include "libsolver/remote_cache/cache_place.h"
#include "libsolver/remote_cache/inline_cache.h"
#include "libsolver/remote_cache/manifest.h"
#include "libsolver/sources/oci_image.h"
#include "libsolver/sources/oci_json.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

// What of an image manifest, or of an index whose entries are the layers (spec/storage 5.6).
Result<OciManifest> parts_of(std::string_view bytes) {
  const OciBounds bounds{.bytes_max = RemoteCacheLimits::manifest_bytes_max,
                         .entries_max = RemoteCacheLimits::layers_max + 1};
  auto root = TRY(parse_oci_root(bytes, bounds));
  OciManifest parts;
  if (auto* manifest = std::get_if<OciManifest>(&root)) {
    parts = std::move(*manifest);
  } else {
    for (OciDescriptor& entry : std::get<OciIndex>(root).manifests) {
      if (entry.media_type == cache_config_type) {
        parts.config = std::move(entry);
      } else {
        parts.layers.push_back(std::move(entry));
      }
    }
  }
  if (parts.config.media_type != cache_config_type)
    return fail(ErrorCode::not_found, "it is an image, or an index of images, and no cache");
  return parts;
}

}  // namespace

Result<WrittenCache> read_cache(CachePlace& place, const NamedManifest& manifest, std::stop_token stop) {
  if (place.form() == CachePlace::Form::one_document)
    return TRY(parse_whole_cache(manifest.bytes), "cache {}", manifest.digest);
  const OciManifest parts = TRY(parts_of(manifest.bytes), "manifest {}", manifest.digest);
  WrittenCache cache;
  for (const OciDescriptor& entry : parts.layers) {
    const auto diff = entry.annotations.find(uncompressed_annotation);
    // Nobody can tell what its bytes should be once they are unpacked: its results are not to be had.
    if (diff == entry.annotations.end()) continue;
    const auto parsed = DiffId::parse(diff->second);
    if (!parsed)
      return fail(ErrorCode::corrupt, "manifest {}: layer {} is said to be \"{}\" unpacked", manifest.digest,
                  entry.digest, diff->second.substr(0, 100));
    const OciLayer layer{entry.digest, entry.size, entry.media_type, *parsed};
    cache.layers.emplace(entry.digest.str(), CacheLayer{entry.digest, entry.size, layer_compression(layer), *parsed});
  }
  const BlobDigest& config = parts.config.digest;
  const std::string json = TRY(place.read_blob(config, RemoteCacheLimits::config_bytes_max, std::move(stop)),
                               "read cache config {}", config);
  if (json.size() != parts.config.size) {
    return fail(ErrorCode::corrupt, "cache config {} has {} bytes where {} are announced", config, json.size(),
                parts.config.size);
  }
  cache.config = TRY(parse_cache_config(json), "cache config {}", config);
  return cache;
}

Result<WrittenCache> read_cache_or_images(CachePlace& place, const NamedManifest& manifest, std::stop_token stop) {
  auto cache = read_cache(place, manifest, stop);
  const bool is_document = place.form() == CachePlace::Form::one_document;
  if (cache || is_document || cache.error().code != ErrorCode::not_found) return cache;
  // It is an image, or it is a cache whose config is gone.
  const auto root = parse_oci_root(manifest.bytes);
  const auto* image = root ? std::get_if<OciManifest>(&*root) : nullptr;
  if (image != nullptr && image->config.media_type == cache_config_type) return cache;
  return read_inline_cache(place, manifest, std::move(stop));
}

}  // namespace cairn::solver
