// SPDX-License-Identifier: Apache-2.0
// What a tag of a registry is, and the documents of the image behind it: for whoever builds on it, or asks what it says
// of itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/registry.h"
#include "libsolver/solver.h"
#include "libsolver/sources/blob_origins.h"
#include "libsolver/sources/oci_image.h"

namespace cairn::solver {

// usual: what was learnt is believed for as long as the request says; pull: the registry is asked; local: it is asked only
// for what is not known.
enum class ResolveMode : std::uint8_t { usual, pull, local };
// "", "default", "pull", "local". Errors: invalid_argument.
base::Result<ResolveMode> parse_resolve_mode(std::string_view text);

struct ImageTag {
  ImageReference reference;
  std::string name;  // as it stands, for messages
  ResolveMode mode = ResolveMode::usual;
};

// Under which what a tag was is remembered.
KeyDigest tag_question(const ImageReference& reference);

// What the tag is now, or, if the registry cannot be reached, as it was last, which `warn` is told. repository: null:
// nobody may be asked. Errors: unavailable (not known and nobody may be asked), those of Repository::resolve.
base::Result<BlobDigest> resolve_tag(cache::Cache& cache, const ImageTag& tag, cache::Repository* repository,
                                     const RemoteUse& remote, const std::function<void(const std::string&)>& warn,
                                     const std::stop_token& stop);

// Documents that are here, and those of the registry, which are here from then on.
class RegistryDocuments final : public OciDocuments {
 public:
  // repository: null: only what is here.
  RegistryDocuments(cache::BlobStore& blobs, std::shared_ptr<cache::Repository> repository, std::string place,
                    std::stop_token stop)
      : blobs_(blobs), repository_(std::move(repository)), place_(std::move(place)), stop_(std::move(stop)) {}

  base::Result<std::string> read(Kind kind, const BlobDigest& digest) const override;
  std::string place() const override { return place_; }

 private:
  cache::BlobStore& blobs_;
  std::shared_ptr<cache::Repository> repository_;
  std::string place_;
  std::stop_token stop_;
};

}  // namespace cairn::solver
