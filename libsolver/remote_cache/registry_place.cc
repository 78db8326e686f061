// SPDX-License-Identifier: Apache-2.0
// Caches in repositories of registries. A registry knows no exchange under a condition: a tag is what it was set to
// last. So whoever has set it looks again after a while that is longer than anybody takes from his last look at the tag
// to setting it, and sets it anew if what he wrote was lost (decision 37).
#include "libsolver/remote_cache/cache_place.h"
#include "libsolver/remote_cache/manifest.h"
#include "libsolver/remote_cache/registry_blobs.h"
#include "libsolver/remote_cache/settle.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

class RegistryPlace final : public CachePlace {
 public:
  RegistryPlace(const CacheAddress& address, cache::RepositoryName name, std::shared_ptr<cache::Repository> repository,
                BlobOrigins& origins)
      : address_(address), name_(std::move(name)), repository_(std::move(repository)), origins_(origins) {}

  Result<std::optional<NamedManifest>> find_manifest(std::stop_token stop) override {
    const std::string& which = address_.digest ? address_.digest->str() : address_.tag;
    auto tagged = repository_->read_tag(which, RemoteCacheLimits::manifest_bytes_max, std::move(stop));
    if (!tagged && tagged.error().code == ErrorCode::not_found) return std::optional<NamedManifest>();
    if (!tagged) return tl::unexpected(std::move(tagged).error());
    return std::optional(NamedManifest{tagged->digest, std::move(tagged->bytes)});
  }
  Result<std::string> read_blob(const BlobDigest& digest, std::size_t size_max, std::stop_token stop) override {
    return repository_->read(cache::Repository::Document::blob, digest, size_max, std::move(stop));
  }
  Result<std::string> read_manifest(const BlobDigest& digest, std::size_t size_max, std::stop_token stop) override {
    return repository_->read(cache::Repository::Document::manifest, digest, size_max, std::move(stop));
  }
  Result<bool> has_blob(const BlobDigest& digest, std::uint64_t size, std::stop_token stop) override {
    const auto found = TRY(repository_->find_blob(digest, std::move(stop)));
    return found && *found == size;
  }
  cache::RepositoryName origin() const override { return name_; }

  Result<bool> put_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                        std::stop_token stop) override {
    return solver::put_blob({name_, repository_}, origins_, digest, size, open, std::move(stop));
  }

  Status update_manifest(const MakeManifest& make, std::stop_token stop) override {
    for (int round = 0; round < write_rounds_max; ++round) {
      auto old = TRY(find_manifest(stop));
      auto manifest = TRY(make(old));
      if (!manifest) return {};
      // Uploads take time, and what was written meanwhile has to be in it.
      if (const auto now = TRY(current(stop)); now != digest_of(old)) continue;
      TRY(repository_->push_manifest(address_.tag, oci_manifest_type, *manifest, stop));
      TRY(settle(address_, stop));
    }
    return fail(ErrorCode::busy, "{}: others write it all the time", address_.text());
  }

 private:
  static std::optional<BlobDigest> digest_of(const std::optional<NamedManifest>& manifest) {
    if (!manifest) return std::nullopt;
    return manifest->digest;
  }
  Result<std::optional<BlobDigest>> current(const std::stop_token& stop) const {
    auto digest = repository_->resolve(address_.tag, stop);
    if (!digest && digest.error().code == ErrorCode::not_found) return std::optional<BlobDigest>();
    if (!digest) return tl::unexpected(std::move(digest).error());
    return std::optional(*digest);
  }

  const CacheAddress address_;
  const cache::RepositoryName name_;
  const std::shared_ptr<cache::Repository> repository_;
  BlobOrigins& origins_;
};

}  // namespace

Result<bool> put_blob(const OpenedRepository& into, BlobOrigins& origins, const BlobDigest& digest, std::uint64_t size,
                      const cache::Repository::OpenBlob& open, std::stop_token stop) {
  const auto found = TRY(into.repository->find_blob(digest, stop));
  if (found && *found == size) return false;
  // Another repository of this registry may have it already.
  const auto where = origins.find(digest);
  if (where && where->where.host == into.name.host && where->where != into.name &&
      TRY(into.repository->mount_blob(digest, where->where, stop)))
    return false;
  TRY(into.repository->push_blob(digest, size, open, std::move(stop)));
  return true;
}

Result<std::unique_ptr<CachePlace>> open_registry_place(const CacheAddress& address, const std::string& credentials,
                                                        BlobOrigins& origins) {
  const std::size_t slash = address.place.find('/');
  CHECK(slash != std::string::npos, "the address of a registry is a repository");
  cache::RepositoryName name{address.place.substr(0, slash), address.place.substr(slash + 1)};
  auto repository = TRY(origins.open(name, credentials));
  return std::make_unique<RegistryPlace>(address, std::move(name), std::move(repository), origins);
}

Result<std::unique_ptr<CachePlace>> open_cache_place(const CacheAddress& address, const std::string& credentials,
                                                     BlobOrigins& origins) {
  switch (address.type) {
    case CacheAddress::Type::local: return open_layout_place(address);
    case CacheAddress::Type::registry: return open_registry_place(address, credentials, origins);
    case CacheAddress::Type::s3: return open_s3_place(address, credentials, origins);
    case CacheAddress::Type::in_image:
      return fail(ErrorCode::invalid_argument, "an inline cache is written with an image, and none is exported");
  }
  CHECK(false, "no such type of cache");
}

}  // namespace cairn::solver
