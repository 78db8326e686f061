// SPDX-License-Identifier: Apache-2.0
// Caches that builders hand to each other ("application/vnd.buildkit.cacheconfig.v0", spec/storage 5): read, as one
// more place where a solve looks, and written, from what a solve has found. What comes from one is never trusted: bytes
// are compared with their digests when somebody needs them, and what cannot be read is an error that names it, or a
// miss.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/compress/decoder.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"
#include "libsolver/cache_chains.h"
#include "libsolver/key_graph.h"

namespace cairn::solver {

// What is read and written at most. Whatever is written can be read.
struct RemoteCacheLimits {
  static constexpr std::size_t config_bytes_max = 64u << 20;
  static constexpr std::size_t manifest_bytes_max = 64u << 20;
  static constexpr std::size_t records_max = 250'000;
  static constexpr std::size_t layers_max = 100'000;
};

// What the attributes of BuildKit's clients say: "type=local,src=DIR,tag=NAME".
using CacheAttributes = std::map<std::string, std::string>;

// Where a cache is, or is to go.
struct CacheAddress {
  enum class Type : std::uint8_t { local, registry } type = Type::local;
  std::string place;  // local: an absolute directory, an OCI layout; registry: a repository
  std::string tag = "latest";
  std::optional<BlobDigest> digest;  // of the manifest: read, whatever the tag is
  // Of an import: how long it may keep anybody waiting for one answer. Who keeps silent that long is not asked again.
  std::chrono::milliseconds answer_max{15'000};
  std::string text() const;          // for messages
};
struct CacheExport {
  CacheAddress to;
  ExportOptions::Mode mode = ExportOptions::Mode::min;
  base::Compression compression = base::Compression::gzip;  // of layers that have no blob yet
  enum class OnError : std::uint8_t { fail, warn } on_error = OnError::fail;
};
// Of --cache-from and --cache-to. Errors: invalid_argument (a type, an attribute or a value that is not known, or one
// that is missing).
base::Result<CacheAddress> parse_cache_import(const CacheAttributes& attributes);
base::Result<CacheExport> parse_cache_export(const CacheAttributes& attributes);

// A layer as the manifest of a cache describes it.
struct CacheLayer {
  BlobDigest blob;
  std::uint64_t size = 0;
  base::Compression compression = base::Compression::gzip;
  DiffId diff;
};
// A cache as it is written down. A layer that is described nowhere is one whose results are not to be had.
struct WrittenCache {
  CacheConfig config;
  std::map<std::string, CacheLayer> layers;  // by the blob, as the config names it
};

// The config alone. Of several results of a record the newest is kept. Errors: corrupt (not JSON, not such a document,
// an index that leads nowhere, layers or records in a circle), invalid_argument (over a limit).
base::Result<CacheConfig> parse_cache_config(std::string_view json);

// What an export did.
struct CacheExported {
  BlobDigest manifest;
  std::uint64_t records = 0, layers = 0;       // of the cache as it is now
  std::uint64_t new_blobs = 0, new_bytes = 0;  // that were written for it, documents included
};

}  // namespace cairn::solver
