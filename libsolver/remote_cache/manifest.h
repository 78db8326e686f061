// SPDX-License-Identifier: Apache-2.0
// The manifest of a cache: an OCI image manifest whose config is the cache's own.
#pragma once

#include <string>

#include "libsolver/remote_cache.h"
#include "libsolver/sources/oci_layout_writer.h"

namespace cairn::solver {

inline constexpr const char* cache_config_type = "application/vnd.buildkit.cacheconfig.v0";
inline constexpr const char* uncompressed_annotation = "containerd.io/uncompressed";

std::string layer_media_type(base::Compression compression);

// One text for equal caches. Each layer of the config that is described is there once, in the config's order.
std::string write_cache_manifest(const WrittenCache& cache, const BlobDigest& config, std::uint64_t config_bytes);

}  // namespace cairn::solver
