// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/blob_origins.h"

#include <algorithm>

#include "libbase/codec.h"
#include "libcache/resolved_source.h"
#include "libsolver/cache_key.h"
#include "libsolver/identifier.h"
#include "libsolver/sources/bucket_origin.h"
#include "libsolver/sources/oci_layout.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

constexpr std::uint8_t origin_version = 1;
constexpr std::chrono::minutes lost_for{10};

KeyDigest question_of(const BlobDigest& blob) { return private_key("cairn.blob.origin.v1:" + blob.str()); }

// What has come of several blobs, and how much they are. Thread-safe.
class Counted {
 public:
  explicit Counted(BlobOrigins::Progress progress) : progress_(std::move(progress)) {}
  void begun(std::uint64_t bytes) { counts_.lock()->total += bytes; }
  void came(std::uint64_t bytes) {
    if (!progress_) return;
    Counts now;
    {
      auto counts = counts_.lock();
      counts->done += bytes;
      now = *counts;
    }
    progress_(now.done, now.total);
  }

 private:
  struct Counts {
    std::uint64_t done = 0, total = 0;
  };
  BlobOrigins::Progress progress_;
  base::Guarded<Counts> counts_;
};

// A repository keeps what it authenticated with, so it lives as long as whoever reads from it; so does a bucket.
class FromPlace final : public base::ByteSource {
 public:
  using Lose = std::function<void()>;
  FromPlace(std::shared_ptr<void> place, std::unique_ptr<base::ByteSource> bytes, std::shared_ptr<Counted> counted,
            Lose lose)
      : place_(std::move(place)), bytes_(std::move(bytes)), counted_(std::move(counted)), lose_(std::move(lose)) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    auto count = bytes_->read(out);
    if (count) counted_->came(*count);
    if (!count && count.error().code != ErrorCode::cancelled) lose_();
    return count;
  }

 private:
  std::shared_ptr<void> place_;
  std::unique_ptr<base::ByteSource> bytes_;
  std::shared_ptr<Counted> counted_;
  Lose lose_;  // it could not be read to its end
};

Status skip(base::ByteSource& source, std::uint64_t count) {
  std::vector<std::byte> buffer(64 << 10);
  while (count > 0) {
    const auto wanted =
        std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(count, buffer.size())));
    const std::size_t got = TRY(source.read(wanted));
    if (got == 0) return fail(ErrorCode::corrupt, "ends too early");
    count -= got;
  }
  return {};
}

}  // namespace

Result<ImageReference> parse_image_reference(std::string_view reference) {
  const std::string full = TRY(normalize_image_reference(reference));
  ImageReference parsed;
  std::string_view name = full;
  if (const std::string_view digest = reference_digest(full); !digest.empty()) {
    parsed.digest = TRY(BlobDigest::parse(digest));
    name = name.substr(0, name.find('@'));
  }
  const std::size_t slash = name.find('/');
  parsed.repository.host = name.substr(0, slash);
  std::string_view path = name.substr(slash + 1);
  if (const std::size_t colon = path.find(':'); colon != path.npos) {
    parsed.tag = path.substr(colon + 1);
    path = path.substr(0, colon);
  }
  parsed.repository.path = path;
  return parsed;
}

Result<std::shared_ptr<cache::Repository>> BlobOrigins::open(const cache::RepositoryName& name,
                                                             const std::string& credentials) {
  if (registries_ == nullptr) return fail(ErrorCode::unavailable, "{}: this engine reaches no registry", name.text());
  std::string known;
  {
    auto state = state_.lock();
    std::string& of_host = state->credentials[name.host];
    // One that says only why there is none takes nothing away.
    if (!credentials.empty() && of_host != credentials && (of_host.empty() || credentials.front() != '\n')) {
      of_host = credentials;
      std::erase_if(state->repositories, [&](const auto& each) { return each.first.host == name.host; });
    }
    if (const auto opened = state->repositories.find(name); opened != state->repositories.end()) return opened->second;
    known = of_host;
  }
  auto made = registries_->open(name, known);
  auto state = state_.lock();
  if (state->credentials[name.host] != known) return made;  // somebody has others by now
  return state->repositories.try_emplace(name, std::move(made)).first->second;
}

Result<std::shared_ptr<cache::Repository>> BlobOrigins::repository(const cache::RepositoryName& name) {
  return open(name, "");
}

Result<std::shared_ptr<cache::Bucket>> BlobOrigins::open_bucket(const cache::BucketAddress& address,
                                                                const cache::BucketCredentials& credentials) {
  if (buckets_ == nullptr)
    return fail(ErrorCode::unavailable, "s3://{}: this engine reaches no bucket", address.bucket);
  State::OpenBucket wanted;
  {
    auto state = state_.lock();
    State::OpenBucket& known = state->buckets[address];
    if (!credentials.access_key_id.empty() && credentials != known.credentials) known = {credentials, nullptr};
    if (known.bucket) return known.bucket;
    wanted.credentials = known.credentials;
  }
  wanted.bucket = TRY(buckets_->open(address, wanted.credentials));
  auto state = state_.lock();
  State::OpenBucket& known = state->buckets[address];
  if (known.credentials != wanted.credentials) return wanted.bucket;  // somebody has others by now
  if (!known.bucket) known.bucket = wanted.bucket;
  return known.bucket;
}

void BlobOrigins::add(const BlobDigest& blob, std::uint64_t size, const cache::RepositoryName& where) {
  {
    auto state = state_.lock();
    if (state->origins.size() >= blob_origins_max) state->origins.clear();
    state->lost.erase(blob);
    const auto [origin, is_new] = state->origins.insert_or_assign(blob, Origin{where, size});
    if (!is_new) return;
  }
  base::ByteWriter facts;
  facts.u8(origin_version).string(where.host).string(where.path).u64(size);
  cache_.remember_resolved(question_of(blob), "blob " + blob.str(), facts.take());
}

void BlobOrigins::lose(const cache::ImmutableRef& ref) {
  const auto missing = cache_.missing_blobs(ref);
  auto state = state_.lock();
  const auto now = std::chrono::steady_clock::now();
  if (!missing || missing->empty()) {
    state->lost_records[ref.id()] = now;
    return;
  }
  const bool is_known = std::any_of(missing->begin(), missing->end(), [&](const BlobDigest& blob) { return state->lost.contains(blob); });
  if (is_known) return;
  for (const BlobDigest& blob : *missing) state->lost[blob] = now;
}

bool BlobOrigins::is_lost(const cache::ImmutableRef& ref) {
  {
    auto state = state_.lock();
    const auto is_old = [old = std::chrono::steady_clock::now() - lost_for](const auto& each) { return each.second < old; };
    std::erase_if(state->lost, is_old);
    std::erase_if(state->lost_records, is_old);
    if (state->lost_records.contains(ref.id())) return true;
    if (state->lost.empty()) return false;
  }
  const auto missing = cache_.missing_blobs(ref);
  if (!missing) return false;
  auto state = state_.lock();
  return std::any_of(missing->begin(), missing->end(), [&](const BlobDigest& blob) { return state->lost.contains(blob); });
}

bool BlobOrigins::has_layers(const cache::ImmutableRef& ref, const std::stop_token& stop) {
  if (is_lost(ref)) return false;
  const auto missing = cache_.missing_blobs(ref);
  if (!missing) return false;
  for (const BlobDigest& blob : *missing) {
    const auto origin = find(blob);
    if (!origin) return false;
    if (origin->where.host.empty()) {
      const auto path = base::HostPath::parse(origin->where.path);
      const auto layout = path ? OciLayout::open(*path) : tl::unexpected(path.error());
      if (!layout || !layout->open_layer({.digest = blob, .size = origin->size, .media_type = {}, .diff = {}})) return false;
      continue;
    }
    if (const auto address = bucket_of_origin(origin->where)) {
      const auto bucket = open_bucket(*address, {});
      const auto facts = bucket ? (*bucket)->find(origin->where.path + blob.str(), stop) : tl::unexpected(bucket.error());
      if (!facts || !*facts || (*facts)->size != origin->size) return false;
      continue;
    }
    const auto from = repository(origin->where);
    const auto size = from ? (*from)->find_blob(blob, stop) : tl::unexpected(from.error());
    if (!size || *size != origin->size) return false;
  }
  return true;
}

Result<BlobOrigins::Origin> BlobOrigins::find(const BlobDigest& blob) {
  {
    auto state = state_.lock();
    if (const auto known = state->origins.find(blob); known != state->origins.end()) return known->second;
  }
  const auto row = TRY(cache_.find_resolved(question_of(blob)));
  if (!row) return fail(ErrorCode::unavailable, "blob {}: it is not known which registry has it", blob);
  base::ByteReader reader(row->facts);
  if (TRY(reader.u8()) != origin_version) return fail(ErrorCode::corrupt, "origin of blob {}: unknown version", blob);
  Origin origin;
  origin.where.host = TRY(reader.string());
  origin.where.path = TRY(reader.string());
  origin.size = TRY(reader.u64());
  TRY(reader.expect_end());
  return origin;
}

cache::BlobProvider BlobOrigins::provider(Progress progress) {
  return [this, counted = std::make_shared<Counted>(std::move(progress))](
             const BlobDigest& blob, std::stop_token stop) -> Result<std::unique_ptr<base::ByteSource>> {
    const auto failed = [&](const auto& opened) {
      if (!opened && opened.error().code != ErrorCode::cancelled) lose(blob);
      return !opened;
    };
    const auto known = find(blob);
    if (failed(known)) return tl::unexpected(known.error());
    const Origin& origin = *known;
    const auto lose_it = [this, blob] { lose(blob); };
    if (origin.where.host.empty()) {
      const OciLayout layout = TRY(OciLayout::open(TRY(base::HostPath::parse(origin.where.path))));
      auto file = layout.open_layer({.digest = blob, .size = origin.size, .media_type = {}, .diff = {}});
      if (failed(file)) return tl::unexpected(std::move(file).error());
      counted->begun(origin.size);
      return std::make_unique<FromPlace>(nullptr, std::move(*file), counted, lose_it);
    }
    if (const auto address = bucket_of_origin(origin.where)) {
      auto bucket = TRY(open_bucket(*address, {}));
      auto bytes = bucket->open(origin.where.path + blob.str(), origin.size, std::move(stop));
      if (failed(bytes)) return tl::unexpected(std::move(bytes).error());
      counted->begun(origin.size);
      return std::make_unique<FromPlace>(std::move(bucket), std::move(*bytes), counted, lose_it);
    }
    auto from = TRY(repository(origin.where));
    auto bytes = from->open_blob(blob, origin.size, std::move(stop));
    if (failed(bytes)) return tl::unexpected(std::move(bytes).error());
    counted->begun(origin.size);
    return std::make_unique<FromPlace>(std::move(from), std::move(*bytes), counted, lose_it);
  };
}

Result<std::unique_ptr<base::ByteSource>> BlobOrigins::open_blob(const BlobDigest& blob, std::uint64_t offset,
                                                                  std::stop_token stop) {
  if (TRY(cache_.blobs().find(blob))) return cache_.blobs().open_range(blob, {.offset = offset});
  auto source = TRY(provider()(blob, std::move(stop)));
  TRY(skip(*source, offset), "blob {}", blob);
  return source;
}

}  // namespace cairn::solver
