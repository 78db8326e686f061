// SPDX-License-Identifier: Apache-2.0
// Where caches are kept: an OCI layout in a directory, a repository of a registry, or a bucket. The seam between what a
// cache is and how it comes and goes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "libcache/cache.h"
#include "libcache/registry.h"
#include "libsolver/remote_cache.h"
#include "libsolver/sources/blob_origins.h"

namespace cairn::solver {

// The manifest that a name stands for.
struct NamedManifest {
  BlobDigest digest;
  std::string bytes;
  bool is_old = false;  // so long that the place may have deleted some of what it names, or soon will
};

// Thread-safe, one name at a time.
class CachePlace {
 public:
  virtual ~CachePlace() = default;
  // Whether a cache is an image's manifest and a config, or a document that says all (parse_whole_cache()).
  enum class Form : std::uint8_t { manifest_and_config, one_document };
  virtual Form form() const { return Form::manifest_and_config; }
  // What the address names now. nullopt: nothing, or not even the place is there.
  virtual base::Result<std::optional<NamedManifest>> find_manifest(std::stop_token stop) = 0;
  // A document, verified. Errors: not_found, corrupt, invalid_argument (it is larger), and those of the place.
  virtual base::Result<std::string> read_blob(const BlobDigest& digest, std::size_t size_max, std::stop_token stop) = 0;
  // The same of a manifest or an index of images.
  virtual base::Result<std::string> read_manifest(const BlobDigest& digest, std::size_t size_max,
                                                  std::stop_token stop) {
    return read_blob(digest, size_max, std::move(stop));
  }
  // Whether it is there, with this size. Moves no bytes of it.
  virtual base::Result<bool> has_blob(const BlobDigest& digest, std::uint64_t size, std::stop_token stop) = 0;
  // The same; and it stays there for as long as one that was put now.
  virtual base::Result<bool> keep_blob(const BlobDigest& digest, std::uint64_t size, std::stop_token stop) {
    return has_blob(digest, size, std::move(stop));
  }
  // What blobs of lazy records are found by (BlobOrigins).
  virtual cache::RepositoryName origin() const = 0;

  using OpenBlob = cache::Repository::OpenBlob;
  // Puts a blob there, if it is not; whether it was new. Durable, or as durable as the place makes what it says yes to.
  virtual base::Result<bool> put_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                                      std::stop_token stop) = 0;
  // Runs `make` with what the name stands for and lets the name stand for what it gives, unless that is nothing: so
  // that nobody's export is lost who does the same. `make` may run several times. Blobs that a manifest names are there
  // before it.
  using MakeManifest = std::function<base::Result<std::optional<std::string>>(const std::optional<NamedManifest>& old)>;
  virtual base::Status update_manifest(const MakeManifest& make, std::stop_token stop) = 0;
};

// Errors: unavailable (no registry, or no bucket, is reached), invalid_argument (no bucket can be called so).
base::Result<std::unique_ptr<CachePlace>> open_cache_place(const CacheAddress& address, const std::string& credentials,
                                                           BlobOrigins& origins);
std::unique_ptr<CachePlace> open_layout_place(const CacheAddress& address);
base::Result<std::unique_ptr<CachePlace>> open_registry_place(const CacheAddress& address,
                                                              const std::string& credentials, BlobOrigins& origins);
base::Result<std::unique_ptr<CachePlace>> open_s3_place(const CacheAddress& address, const std::string& credentials,
                                                        BlobOrigins& origins);

// The cache that a manifest of the place describes. Errors: not_found (it describes none), corrupt, invalid_argument
// (over a limit), those of the place.
base::Result<WrittenCache> read_cache(CachePlace& place, const NamedManifest& manifest, std::stop_token stop);
// The same, or, of images, the caches that are in their configs.
base::Result<WrittenCache> read_cache_or_images(CachePlace& place, const NamedManifest& manifest, std::stop_token stop);

}  // namespace cairn::solver
