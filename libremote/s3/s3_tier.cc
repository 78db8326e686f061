// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3_tier.h"

#include <stdlib.h>

#include <atomic>

#include "libremote/entries/tier_entry.h"
#include "libremote/s3/s3_client.h"

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::EntryName;
using cache::FetchAnswer;
using cache::SizedBlob;
using cache::TierCall;
using cache::TierEntry;

namespace {

constexpr std::uint64_t object_bytes_max = std::uint64_t{5} << 30;  // of one PUT

template <class Meaning>
std::string object_of(std::string_view kind, const base::Digest<Meaning>& digest) {
  const std::string hex = digest.hex();
  return fmt::format("{}/sha256/{}/{}", kind, hex.substr(0, 2), hex);
}

std::string variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* value = ::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return {};
}

class S3Tier final : public cache::RemoteTier {
 public:
  S3Tier(S3Client client, std::size_t lookups_at_once) : client_(std::move(client)), lookups_at_once_(lookups_at_once) {
    abilities_.blob_bytes_max = object_bytes_max;
  }

  const std::string& name() const override { return client_.name(); }
  const cache::TierAbilities& abilities() const override { return abilities_; }

  Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) override {
    return ask_of_each(blobs, lookups_at_once_, [&](const SizedBlob& blob) -> Result<bool> {
      FetchAnswer answer = TRY(client_.get(S3Client::Method::head, object_of("blobs", blob.digest), call));
      if (TRY(client_.is_absent(answer, "look for a blob"))) return false;
      read_small(answer);
      return !answer.size || *answer.size == blob.size;
    });
  }

  Result<std::unique_ptr<base::ByteSource>> open_blob(const SizedBlob& blob, const TierCall& call) override {
    FetchAnswer answer = TRY(client_.get(S3Client::Method::get, object_of("blobs", blob.digest), call));
    if (TRY(client_.is_absent(answer, "read a blob"))) return nullptr;
    return blob_body(std::move(answer), blob, name());
  }

  Status put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) override {
    TRY(check_fits(*this, blob));
    const auto condition = TRY(learn_condition(call));
    FetchAnswer answer =
        TRY(client_.put(object_of("blobs", blob.digest), {bytes, blob.size, blob.digest.hex()}, condition, call));
    return put_answer(answer, condition, "put a blob");
  }

  Result<std::optional<TierEntry>> find_entry(const EntryName& entry_name, const TierCall& call) override {
    const KeyDigest key = key_of(entry_name);
    FetchAnswer answer = TRY(client_.get(S3Client::Method::get, object_of("entries", key), call));
    if (TRY(client_.is_absent(answer, "read an entry"))) return std::nullopt;
    const std::string bytes = TRY(bounded_body(answer, tier_entry_bytes_max, name()));
    return TRY(decode_tier_entry(key, bytes), "{}", name());
  }

  Status put_entry(const EntryName& entry_name, const TierEntry& entry, const TierCall& call) override {
    TRY(check_fits(*this, entry));
    const KeyDigest key = key_of(entry_name);
    const std::string bytes = TRY(encode_tier_entry(key, entry), "{}", name());
    FetchAnswer answer = TRY(client_.put(object_of("entries", key), bytes, S3Client::Condition::none, call));
    return put_answer(answer, S3Client::Condition::none, "put an entry");
  }

 private:
  // A body is read once, so whether the server knows the condition has to be known before.
  Result<S3Client::Condition> learn_condition(const TierCall& call) {
    if (const Knows known = knows_; known != Knows::unasked) return condition_of(known);
    FetchAnswer answer =
        TRY(client_.put("cairn", "a cache of cairn, layout 1\n", S3Client::Condition::if_absent, call));
    if (answer.status == 501) {
      read_small(answer);
      knows_ = Knows::no;
    } else {
      TRY(put_answer(answer, S3Client::Condition::if_absent, "put the mark"));
      knows_ = Knows::yes;
    }
    return condition_of(knows_);
  }

  Status put_answer(FetchAnswer& answer, S3Client::Condition condition, std::string_view request) const {
    const bool there_already = answer.status == 412 && condition == S3Client::Condition::if_absent;
    if (answer.status != 200 && !there_already) {
      base::Error error = client_.refusal(answer, request);
      // Somebody else puts the same at this moment.
      if (answer.status == 409) error.code = ErrorCode::busy;
      return tl::unexpected(std::move(error));
    }
    read_small(answer);
    return {};
  }

  enum class Knows { unasked, yes, no };
  static S3Client::Condition condition_of(Knows known) {
    return known == Knows::yes ? S3Client::Condition::if_absent : S3Client::Condition::none;
  }

  S3Client client_;
  const std::size_t lookups_at_once_;
  cache::TierAbilities abilities_;
  std::atomic<Knows> knows_{Knows::unasked};
};

}  // namespace

S3Options with_environment(S3Options options) {
  if (options.endpoint.empty()) options.endpoint = variable({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  if (options.region.empty()) options.region = variable({"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (options.access_key_id.empty() && options.secret_access_key.empty()) {
    options.access_key_id = variable({"AWS_ACCESS_KEY_ID"});
    options.secret_access_key = variable({"AWS_SECRET_ACCESS_KEY"});
    options.session_token = variable({"AWS_SESSION_TOKEN"});
  }
  return options;
}

Result<std::unique_ptr<cache::RemoteTier>> make_s3_tier(cache::Fetcher& fetcher, const base::Clock& clock,
                                                        S3Options options) {
  const std::size_t lookups_at_once = options.lookups_at_once;
  return std::make_unique<S3Tier>(TRY(S3Client::make(fetcher, clock, std::move(options))), lookups_at_once);
}

}  // namespace cairn::remote
