// SPDX-License-Identifier: Apache-2.0
#include "libremote/reapi_tier.h"

#include <algorithm>
#include <unordered_set>

#include "libremote/bodies/answers.h"
#include "libremote/bodies/bodies.h"
#include "libremote/reapi/peer.h"
#include "libremote/reapi/streams.h"

namespace cairn::remote {

using base::Compression;
using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using cache::EntryName;
using cache::SizedBlob;
using cache::TierCall;
using cache::TierEntry;

namespace {

constexpr std::string_view only_door = "bazel";
constexpr std::size_t small_bytes_max = 256 << 10;  // of a blob that is one message instead of a stream
constexpr int digests_at_once = 10'000;             // of a request: about 760 KB

reapi::Digest message_of(const SizedBlob& blob) {
  reapi::Digest digest;
  digest.set_hash(blob.digest.hex());
  digest.set_size_bytes(static_cast<std::int64_t>(blob.size));
  return digest;
}

// nullopt: the key is no digest. The size of the action is not known here, and servers look for its hash; but no other
// digest than that of nothing may have the size 0.
std::optional<reapi::Digest> action_of(const EntryName& entry) {
  const auto digest = BlobDigest::parse("sha256:" + entry.key);
  if (!digest) return std::nullopt;
  return message_of({*digest, *digest == base::digest_of<BlobDigest>("") ? 0u : 1u});
}

template <class Response>
auto only_one(Response& response) {
  return response.responses_size() == 1 ? response.mutable_responses(0) : nullptr;
}
grpc::Status status_of(const google::rpc::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), status.message(), status.SerializeAsString()};
}

class ReapiTier final : public cache::RemoteTier {
 public:
  explicit ReapiTier(std::unique_ptr<Peer> peer) : peer_(std::move(peer)) {
    abilities_.only_door = only_door;
    abilities_.value_bytes_max = message_room;
  }

  const std::string& name() const override { return peer_->name(); }
  const cache::TierAbilities& abilities() const override { return abilities_; }

  Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) override {
    TRY(peer_->limits(call));
    std::unordered_set<std::string> missing;
    for (std::size_t at = 0; at < blobs.size(); at += digests_at_once)
      TRY(add_missing(blobs.subspan(at, std::min<std::size_t>(digests_at_once, blobs.size() - at)), missing, call));
    std::vector<bool> there;
    for (const SizedBlob& blob : blobs) there.push_back(!missing.contains(blob.digest.hex()));
    return there;
  }

  Result<std::unique_ptr<base::ByteSource>> open_blob(const SizedBlob& blob, const TierCall& call) override {
    const PeerLimits limits = TRY(peer_->limits(call));
    if (blob.size == 0) return std::make_unique<StringBody>("");
    if (is_small(blob, limits)) return read_small_blob(blob, call);
    return read_stream(*peer_, blob, limits.knows_zstd ? Compression::zstd : Compression::none, call);
  }

  Status put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) override {
    const PeerLimits limits = TRY(peer_->limits(call));
    if (blob.size > limits.blob_bytes_max)
      return fail(ErrorCode::invalid_argument, "{}: a blob of {} bytes: it takes {}", name(), blob.size,
                  limits.blob_bytes_max);
    if (!is_small(blob, limits))
      return write_stream(*peer_, blob, bytes, limits.knows_zstd ? Compression::zstd : Compression::none, call);
    std::string all = TRY(read_sized(bytes, static_cast<std::size_t>(blob.size)), "{}: put {}", name(), blob.digest);
    return blob.size == 0 ? Status() : put_small_blob(blob, std::move(all), call);
  }

  Result<std::optional<TierEntry>> find_entry(const EntryName& entry, const TierCall& call) override {
    TRY(peer_->limits(call));
    const auto action = action_of(entry);
    if (!is_for_it(entry) || !action) return std::nullopt;
    reapi::GetActionResultRequest request;
    request.set_instance_name(instance_of(entry));
    *request.mutable_action_digest() = *action;
    reapi::ActionResult result;
    const auto status = peer_->ask(peer_->actions(), &Peer::Actions::GetActionResult, request, result, call);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return std::nullopt;
    if (!status.ok()) return tl::unexpected(peer_->error_of(status, call, "action " + entry.key));
    TierEntry found{.value = result.SerializeAsString()};
    if (found.value.size() > abilities_.value_bytes_max)  // nobody puts so many
      return fail(ErrorCode::corrupt, "{}: a result of {} bytes", name(), found.value.size());
    return found;
  }

  Status put_entry(const EntryName& entry, const TierEntry& what, const TierCall& call) override {
    TRY(check_fits(*this, what));
    TRY(peer_->limits(call));
    const auto action = action_of(entry);
    reapi::UpdateActionResultRequest request;
    reapi::ActionResult& result = *request.mutable_action_result();
    // What it would not give back as it is, is something else: over HTTP anything may be put there.
    const bool is_result = result.ParseFromString(what.value) && result.SerializeAsString() == what.value;
    if (!is_for_it(entry) || !action || !is_result)
      return fail(ErrorCode::invalid_argument, "{}: the entry {} of {} is not for it", name(), entry.key, entry.door);
    request.set_instance_name(instance_of(entry));
    *request.mutable_action_digest() = *action;
    reapi::ActionResult kept;
    const auto status = peer_->ask(peer_->actions(), &Peer::Actions::UpdateActionResult, request, kept, call);
    if (status.ok()) return {};
    return tl::unexpected(peer_->error_of(status, call, "put action " + entry.key));
  }

 private:
  static bool is_for_it(const EntryName& entry) {
    return entry.door == only_door && entry.trust == cache::Trust::trusted;
  }
  static bool is_small(const SizedBlob& blob, const PeerLimits& limits) {
    return blob.size <= std::min(small_bytes_max, limits.batch_bytes_max);
  }
  std::string instance_of(const EntryName& entry) const { return peer_->instance_below(entry.instance); }

  Status add_missing(std::span<const SizedBlob> blobs, std::unordered_set<std::string>& missing, const TierCall& call) {
    reapi::FindMissingBlobsRequest request;
    request.set_instance_name(peer_->instance_of_blobs(call));
    for (const SizedBlob& blob : blobs)
      if (blob.size > 0) *request.add_blob_digests() = message_of(blob);
    reapi::FindMissingBlobsResponse response;
    const auto status = peer_->ask(peer_->blobs(), &Peer::Blobs::FindMissingBlobs, request, response, call);
    if (!status.ok()) return tl::unexpected(peer_->error_of(status, call, "which blobs it has"));
    for (const reapi::Digest& digest : response.missing_blob_digests()) missing.insert(digest.hash());
    return {};
  }

  Result<std::unique_ptr<base::ByteSource>> read_small_blob(const SizedBlob& blob, const TierCall& call) {
    const std::string what = fmt::format("blob {}", blob.digest);
    reapi::BatchReadBlobsRequest request;
    request.set_instance_name(peer_->instance_of_blobs(call));
    *request.add_digests() = message_of(blob);
    reapi::BatchReadBlobsResponse response;
    grpc::Status status = peer_->ask(peer_->blobs(), &Peer::Blobs::BatchReadBlobs, request, response, call);
    if (!status.ok()) return tl::unexpected(peer_->error_of(status, call, what));
    auto* const answer = only_one(response);
    if (answer == nullptr) return no_answer(what);
    status = status_of(answer->status());
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return nullptr;
    if (!status.ok()) return tl::unexpected(peer_->error_of(status, call, what));
    if (answer->data().size() != blob.size)
      return fail(ErrorCode::corrupt, "{}: {}: it has {} bytes instead of {}", name(), what, answer->data().size(),
                  blob.size);
    return std::make_unique<StringBody>(std::move(*answer->mutable_data()));
  }

  Status put_small_blob(const SizedBlob& blob, std::string bytes, const TierCall& call) {
    const std::string what = fmt::format("put {}", blob.digest);
    reapi::BatchUpdateBlobsRequest request;
    request.set_instance_name(peer_->instance_of_blobs(call));
    auto* const one = request.add_requests();
    *one->mutable_digest() = message_of(blob);
    one->set_data(std::move(bytes));
    reapi::BatchUpdateBlobsResponse response;
    grpc::Status status = peer_->ask(peer_->blobs(), &Peer::Blobs::BatchUpdateBlobs, request, response, call);
    if (!status.ok()) return tl::unexpected(peer_->error_of(status, call, what));
    const auto* const answer = only_one(response);
    if (answer == nullptr) return no_answer(what);
    status = status_of(answer->status());
    if (status.ok()) return {};
    return tl::unexpected(peer_->error_of(status, call, what));
  }

  tl::unexpected<base::Error> no_answer(const std::string& what) const {
    return fail(ErrorCode::io, "{}: {}: it was asked for one and does not answer of one", name(), what);
  }

  const std::unique_ptr<Peer> peer_;
  cache::TierAbilities abilities_;
};

}  // namespace

Result<std::unique_ptr<cache::RemoteTier>> make_reapi_tier(ReapiTierOptions options) {
  return std::make_unique<ReapiTier>(TRY(Peer::make(options)));
}

}  // namespace cairn::remote
