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
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/bucket.h"
#include "libsnapshot/digests.h"
#include "libsolver/cache_chains.h"
#include "libsolver/key_graph.h"
#include "libsolver/registry_logins.h"

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
  // in_image: in the config of the image that is exported (Solver::inline_cache); it is no place of its own.
  enum class Type : std::uint8_t { local, registry, s3, in_image } type = Type::local;
  std::string place;           // local: an absolute directory, an OCI layout; registry: a repository; s3: a bucket
  std::string tag = "latest";  // s3: the name of the cache
  std::optional<BlobDigest> digest;      // of the manifest: read, whatever the tag is
  std::vector<std::string> more_tags{};  // s3: other names that it is written to, too
  struct InBucket {
    cache::BucketAddress bucket{};
    cache::BucketCredentials credentials{};                  // that the attributes give
    std::string manifests = "manifests/", blobs = "blobs/";  // what the names of objects begin with
    // What was written longer ago is written again, lest the bucket delete it.
    std::chrono::nanoseconds renew_after = std::chrono::hours(24);
  } s3{};
  // Of an import: how long it may keep anybody waiting for one answer. Who keeps silent that long is not asked again.
  std::chrono::milliseconds answer_max{15'000};
  std::string text() const;  // for messages
};
struct CacheExport {
  CacheAddress to;
  ExportOptions::Mode mode = ExportOptions::Mode::min;
  base::Compression compression = base::Compression::gzip;  // of layers that have no blob yet
  enum class OnError : std::uint8_t { fail, warn } on_error = OnError::fail;
  std::size_t uploads_at_once = 4;
};
// Of --cache-from and --cache-to. Errors: invalid_argument (a type, an attribute or a value that is not known, or one
// that is missing).
base::Result<CacheAddress> parse_cache_import(const CacheAttributes& attributes);
base::Result<CacheExport> parse_cache_export(const CacheAttributes& attributes);

// What the place of a cache is to be told of who asks: a registry what registry_credentials() says; a bucket, if the
// attributes say nothing, "KEY:SECRET" or "KEY:SECRET:TOKEN" of the secrets AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
// and AWS_SESSION_TOKEN. "" if there is none.
std::string cache_credentials(const CacheAddress& address, const std::map<std::string, std::string>& secrets,
                              const RegistryLogins& logins);

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

// A cache in one document: a config that describes each of its layers, as BuildKit writes it to buckets. Errors: as
// above. A layer of which it does not say what it is when unpacked is described nowhere.
base::Result<WrittenCache> parse_whole_cache(std::string_view json);
std::string whole_cache_json(const WrittenCache& cache);

// What an export did.
struct CacheExported {
  BlobDigest manifest;
  std::uint64_t records = 0, layers = 0;       // of the cache as it is now
  std::uint64_t new_blobs = 0, new_bytes = 0;  // that were written for it, documents included
};

}  // namespace cairn::solver
