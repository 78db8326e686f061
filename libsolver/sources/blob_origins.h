// SPDX-License-Identifier: Apache-2.0
// Where blobs of lazy records can be had: what the image sources of this engine have seen, and, across restarts, what
// the cache remembers of it. Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "libbase/sync.h"
#include "libcache/bucket.h"
#include "libcache/cache.h"
#include "libcache/layer_blob.h"
#include "libcache/registry.h"

namespace cairn::solver {

inline constexpr std::size_t blob_origins_max =
    100'000;  // beyond it the map begins anew; what the cache remembers stays

// "registry.example.com/team/app:v1@sha256:…" in its parts. Errors: invalid_argument.
struct ImageReference {
  cache::RepositoryName repository;
  std::string tag;                   // "": none
  std::optional<BlobDigest> digest;  // what it is, whatever the tag says
};
base::Result<ImageReference> parse_image_reference(std::string_view reference);

class BlobOrigins {
 public:
  // All outlive it. registries, buckets: null: none is reached.
  BlobOrigins(cache::Cache& cache, cache::Registries* registries, cache::Buckets* buckets = nullptr)
      : cache_(cache), registries_(registries), buckets_(buckets) {}

  // The repository with these credentials, which are used from now on for all that is fetched from its registry.
  // Errors: unavailable (no registry is reached).
  base::Result<std::shared_ptr<cache::Repository>> open(const cache::RepositoryName& name,
                                                        const std::string& credentials);
  // The bucket with these credentials, or, if there are none, with those that it was opened with last. Errors:
  // unavailable (no bucket is reached), invalid_argument.
  base::Result<std::shared_ptr<cache::Bucket>> open_bucket(const cache::BucketAddress& address,
                                                           const cache::BucketCredentials& credentials);
  // Says that the blob is there, and has the cache remember it. A repository without a host is an OCI layout: the
  // directory that its path names; one whose host is a bucket's is that (bucket_origin.h).
  void add(const BlobDigest& blob, std::uint64_t size, const cache::RepositoryName& where);

  struct Origin {
    cache::RepositoryName where;
    std::uint64_t size = 0;
  };
  // Says that a lazy record could not be fetched: those of its layers that nobody gave, or all if that is not known, are
  // lost for a while, or until somebody adds them again.
  void lose(const cache::ImmutableRef& ref);
  // Whether something that the record needs is lost. What cannot be read of it is not.
  bool is_lost(const cache::ImmutableRef& ref);
  bool is_lost(const BlobDigest& blob) { return state_.lock()->lost.contains(blob); }
  // Asks whether all of its layers that are not here are where they are said to be, with their size; no bytes are
  // transferred. False, too, if nobody answers.
  bool has_layers(const cache::ImmutableRef& ref, const std::stop_token& stop);

  // Where the blob is said to be. Errors: unavailable (nothing is known of it), corrupt, io.
  base::Result<Origin> find(const BlobDigest& blob);
  // Gives blobs from where they are said to be. Errors of what it gives: unavailable (nothing is known of the blob),
  // and those of Repository. progress: gets how much has come of all blobs that were begun, and how much they are; on
  // any thread; may be empty.
  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;
  cache::BlobProvider provider(Progress progress = {});
  // The bytes of a blob from an offset on: out of the cache, or from where it is said to be. Errors: those of both.
  base::Result<std::unique_ptr<base::ByteSource>> open_blob(const BlobDigest& blob, std::uint64_t offset,
                                                            std::stop_token stop);

 private:
  struct State {
    std::map<BlobDigest, Origin> origins;
    std::map<std::string, std::string> credentials;  // by host
    std::map<cache::RepositoryName, std::shared_ptr<cache::Repository>> repositories;
    using LostAt = std::chrono::steady_clock::time_point;
    std::map<BlobDigest, LostAt> lost;  // blobs that could not be fetched
    std::map<cache::RecordId, LostAt> lost_records;  // whose bytes were good and their layer was not
    struct OpenBucket {
      cache::BucketCredentials credentials;
      std::shared_ptr<cache::Bucket> bucket;
    };
    std::map<cache::BucketAddress, OpenBucket> buckets;
  };
  void lose(const BlobDigest& blob) { state_.lock()->lost[blob] = std::chrono::steady_clock::now(); }
  base::Result<std::shared_ptr<cache::Repository>> repository(const cache::RepositoryName& name);

  cache::Cache& cache_;
  cache::Registries* const registries_;
  cache::Buckets* const buckets_;
  base::Guarded<State> state_;
};

}  // namespace cairn::solver
