// SPDX-License-Identifier: Apache-2.0
// Caches in buckets, in objects called as BuildKit calls them: MANIFESTS + NAME is a whole cache in one document, BLOBS
// + DIGEST a layer. A document is exchanged under the condition that it is what was read, so nobody's export is lost.
#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/cache_place.h"
#include "libsolver/remote_cache/settle.h"
#include "libsolver/sources/bucket_origin.h"
#include "libsolver/sources/http_names.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::Bucket;

namespace {

class S3Place final : public CachePlace {
 public:
  S3Place(const CacheAddress& address, std::shared_ptr<Bucket> bucket)
      : address_(address), origin_(bucket_origin(address.s3.bucket, address.s3.blobs)), bucket_(std::move(bucket)) {}

  Form form() const override { return Form::one_document; }
  cache::RepositoryName origin() const override { return origin_; }

  Result<std::optional<NamedManifest>> find_manifest(std::stop_token stop) override {
    const auto object = TRY(read_document(address_.tag, stop));
    if (!object) return std::optional<NamedManifest>();
    return std::optional(manifest_of(*object));
  }
  Result<std::string> read_blob(const BlobDigest& digest, std::size_t size_max, std::stop_token stop) override {
    auto object = TRY(bucket_->read(blob_name(digest), size_max, std::move(stop)));
    if (!object) return fail(ErrorCode::not_found, "{}: there is no {}", bucket_->name(), blob_name(digest));
    if (base::digest_of<BlobDigest>(object->bytes) == digest) return std::move(object->bytes);
    return fail(ErrorCode::corrupt, "{}: {} holds other bytes", bucket_->name(), blob_name(digest));
  }
  Result<bool> has_blob(const BlobDigest& digest, std::uint64_t size, std::stop_token stop) override {
    const auto facts = TRY(bucket_->find(blob_name(digest), std::move(stop)));
    return facts && facts->size == size;
  }
  Result<bool> keep_blob(const BlobDigest& digest, std::uint64_t size, std::stop_token stop) override {
    const auto facts = TRY(bucket_->find(blob_name(digest), stop));
    if (!facts || facts->size != size) return false;
    if (is_old(facts->last_modified)) TRY(bucket_->renew(blob_name(digest), std::move(stop)));
    return true;
  }
  Result<bool> put_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                        std::stop_token stop) override {
    if (TRY(keep_blob(digest, size, stop))) return false;
    TRY(bucket_->put(
        blob_name(digest), digest, size, [&] { return open(0); }, std::move(stop)));
    return true;
  }

  Status update_manifest(const MakeManifest& make, std::stop_token stop) override {
    for (const std::string& name : address_.more_tags) TRY(update(name, make, stop));
    return update(address_.tag, make, stop);
  }

 private:
  std::string blob_name(const BlobDigest& digest) const { return address_.s3.blobs + digest.str(); }
  Result<std::optional<Bucket::Object>> read_document(const std::string& name, const std::stop_token& stop) const {
    return bucket_->read(address_.s3.manifests + name, RemoteCacheLimits::config_bytes_max, stop);
  }
  NamedManifest manifest_of(const Bucket::Object& object) const {
    return {base::digest_of<BlobDigest>(object.bytes), object.bytes, is_old(object.last_modified)};
  }
  bool is_old(const std::string& last_modified) const {
    const auto seconds = parse_http_time(last_modified);
    if (!seconds) return false;
    const auto written = std::chrono::system_clock::time_point(std::chrono::seconds(*seconds));
    return std::chrono::system_clock::now() - written > address_.s3.renew_after;
  }

  Status update(const std::string& name, const MakeManifest& make, const std::stop_token& stop) {
    for (int round = 0; round < write_rounds_max; ++round) {
      const auto old = TRY(read_document(name, stop));
      const auto manifest = TRY(make(old ? std::optional(manifest_of(*old)) : std::nullopt));
      if (!manifest) return {};
      const auto replaced = TRY(bucket_->replace(address_.s3.manifests + name, *manifest,
                                                 old ? std::optional(old->tag) : std::nullopt, stop));
      if (replaced == Bucket::Replaced::yes) return {};
      TRY(replaced == Bucket::Replaced::no ? stand_back(address_, round, stop) : settle(address_, stop));
    }
    return fail(ErrorCode::busy, "{}: others write it all the time", address_.text());
  }

  const CacheAddress address_;
  const cache::RepositoryName origin_;
  const std::shared_ptr<Bucket> bucket_;
};

// "KEY:SECRET" or "KEY:SECRET:TOKEN", if the address says nothing.
cache::BucketCredentials credentials_of(const CacheAddress& address, const std::string& text) {
  if (!address.s3.credentials.access_key_id.empty() || text.empty()) return address.s3.credentials;
  const std::size_t key = text.find(':'), token = key == text.npos ? key : text.find(':', key + 1);
  cache::BucketCredentials credentials{.access_key_id = text.substr(0, key)};
  if (key != text.npos)
    credentials.secret_access_key = text.substr(key + 1, token == text.npos ? token : token - key - 1);
  if (token != text.npos) credentials.session_token = text.substr(token + 1);
  return credentials;
}

}  // namespace

Result<std::unique_ptr<CachePlace>> open_s3_place(const CacheAddress& address, const std::string& credentials,
                                                  BlobOrigins& origins) {
  auto bucket = TRY(origins.open_bucket(address.s3.bucket, credentials_of(address, credentials)));
  return std::make_unique<S3Place>(address, std::move(bucket));
}

}  // namespace cairn::solver
