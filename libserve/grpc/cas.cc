// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/cas.h"

#include <atomic>
#include <unordered_set>

#include "libcache/cache.h"
#include "libserve/grpc/raw.h"
#include "libserve/grpc/tree_walk.h"
#include "libserve/reapi/fields.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;
using grpc::ServerUnaryReactor;

namespace {

void set_status(google::rpc::Status& into, const grpc::Status& status) {
  into.set_code(status.error_code());
  into.set_message(status.error_message());
}

// The last one counts, wherever it stands.
Result<std::string_view> instance_of(std::string_view request) {
  std::string_view instance;
  FieldReader reader(request);
  while (const auto field = TRY(reader.next()))
    if (field->number == 1 && field->wire == Field::Wire::bytes) instance = field->bytes;
  return instance;
}

}  // namespace

// FindMissingBlobsRequest: instance_name 1, blob_digests 2, digest_function 3; the answer: missing_blob_digests 2. Each
// digest once, however often it was asked for. A blob of another size is not the one that was asked for.
Status CasService::find_missing(const Admitted& store, std::string_view request, std::string& response) {
  std::unordered_set<BlobDigest> missing;
  FieldReader reader(request);
  while (const auto field = TRY(reader.next())) {
    const bool is_bytes = field->wire == Field::Wire::bytes;
    if (field->number == 3 && field->wire == Field::Wire::varint)
      TRY(expect_sha256(static_cast<reapi::DigestFunction::Value>(field->value)));
    if (field->number != 2 || !is_bytes) continue;
    const SizedDigest wanted = TRY(from_message(field->bytes));
    if (promise_if_there(store, wanted) || !missing.insert(wanted.digest).second) continue;
    add_message_field(response, 2, field->bytes);
  }
  return {};
}

// In one version of the store. What becomes durable meanwhile may be called missing, and is not stored again if it is
// sent.
ServerUnaryReactor* CasService::FindMissingBlobs(Call* call, const grpc::ByteBuffer* request,
                                                 grpc::ByteBuffer* response) {
  ServerUnaryReactor* const reactor = call->DefaultReactor();
  std::string answer;
  grpc::Slice bytes;
  if (!request->DumpToSingleSlice(&bytes).ok()) return finish(reactor, invalid("a request without bytes"));
  const auto instance = instance_of(text_of(bytes));
  if (!instance) return finish(reactor, to_status(instance.error()));
  const Admission admitted = context_.admit(*call, Rpc::find_missing_blobs, *instance);
  if (!admitted) return finish(reactor, admitted.error());
  const Status found = admitted->intake.cache.keys().read([&](cache::KeyStore::Reader&) {
    answer.clear();
    return find_missing(*admitted, text_of(bytes), answer);
  });
  if (!found) return finish(reactor, to_status(found.error()));
  *response = to_buffer(answer);
  return finish(reactor, grpc::Status::OK);
}

Result<cache::BlobStore::Put> CasService::put(const Admitted& store,
                                              const reapi::BatchUpdateBlobsRequest::Request& request) {
  const SizedDigest wanted = TRY(from_message(request.digest()));
  const auto size = static_cast<std::int64_t>(wanted.size);
  std::string unpacked;
  const std::string* bytes = &request.data();
  if (request.compressor() == reapi::Compressor::ZSTD) {
    if (size > batch_bytes_max)
      return base::fail(ErrorCode::invalid_argument, "a blob of {} bytes in a batch: {} are the most", size,
                        batch_bytes_max);
    unpacked = TRY(base::decompress(base::Compression::zstd, request.data(), wanted.size));
    bytes = &unpacked;
  } else if (request.compressor() != reapi::Compressor::IDENTITY) {
    return base::fail(ErrorCode::invalid_argument, "compressor {}: only zstd is known",
                      static_cast<int>(request.compressor()));
  }
  if (bytes->size() != wanted.size)
    return base::fail(ErrorCode::invalid_argument, "blob {}: {} bytes came where {} were said", wanted.digest,
                      bytes->size(), wanted.size);
  if (wanted.size == 0) return cache::BlobStore::Put{};
  TRY(expect_room(store.intake, bytes->size()));
  const auto put = TRY(store.blobs.put(*bytes, wanted.digest));
  store.entries.uploaded(wanted.digest);
  return put;
}

ServerUnaryReactor* CasService::BatchUpdateBlobs(Call* call, const reapi::BatchUpdateBlobsRequest* request,
                                                 reapi::BatchUpdateBlobsResponse* response) {
  ServerUnaryReactor* const reactor = call->DefaultReactor();
  const Admission admitted = context_.admit(*call, Rpc::batch_update_blobs, request->instance_name());
  if (!admitted) return finish(reactor, admitted.error());
  if (const Status named = expect_names(*request); !named) return finish(reactor, to_status(named.error()));
  std::int64_t total = 0;
  for (const auto& each : request->requests()) total += static_cast<std::int64_t>(each.data().size());
  if (total > batch_bytes_max)
    return finish(reactor, invalid(fmt::format("a batch of {} bytes: {} are the most", total, batch_bytes_max)));
  base::lmdb::SequenceNumber last = 0;
  for (const auto& each : request->requests()) {
    auto* const answer = response->add_responses();
    *answer->mutable_digest() = each.digest();
    const auto kept = put(*admitted, each);
    if (kept) last = std::max(last, kept->sequence);
    set_status(*answer->mutable_status(), kept ? grpc::Status::OK : to_status(kept.error()));
  }
  return finish_when_durable(context_, reactor, last);
}

Status CasService::read(const Admitted& store, const reapi::Digest& wanted,
                        reapi::BatchReadBlobsResponse::Response& into) {
  const SizedDigest digest = TRY(from_message(wanted));
  if (digest.size == 0) return {};
  auto bytes = store.blobs.read(digest.digest, digest.size);
  const bool other_size = bytes ? bytes->size() != digest.size : bytes.error().code == ErrorCode::invalid_argument;
  // What is damaged is a miss: the store knows it by now.
  if (other_size || (!bytes && bytes.error().code == ErrorCode::corrupt))
    return base::fail(ErrorCode::not_found, "blob {} of {} bytes is not there", digest.digest, digest.size);
  *into.mutable_data() = TRY(std::move(bytes));
  return {};
}

ServerUnaryReactor* CasService::BatchReadBlobs(Call* call, const reapi::BatchReadBlobsRequest* request,
                                               reapi::BatchReadBlobsResponse* response) {
  ServerUnaryReactor* const reactor = call->DefaultReactor();
  const Admission admitted = context_.admit(*call, Rpc::batch_read_blobs, request->instance_name());
  if (!admitted) return finish(reactor, admitted.error());
  if (const Status named = expect_names(*request); !named) return finish(reactor, to_status(named.error()));
  std::int64_t total = 0;
  for (const reapi::Digest& digest : request->digests()) {
    if (digest.size_bytes() > batch_bytes_max) total = batch_bytes_max + 1;
    if (total <= batch_bytes_max) total += std::max<std::int64_t>(digest.size_bytes(), 0);
  }
  if (total > batch_bytes_max)
    return finish(reactor, invalid(fmt::format("blobs of more than {} bytes in one answer", batch_bytes_max)));
  for (const reapi::Digest& digest : request->digests()) {
    auto* const answer = response->add_responses();
    *answer->mutable_digest() = digest;
    const Status done = read(*admitted, digest, *answer);
    set_status(*answer->mutable_status(), done ? grpc::Status::OK : to_status(done.error()));
  }
  if (admitted->blob_tiers() == nullptr) return finish(reactor, grpc::Status::OK);
  read_below(*admitted, *response, reactor);
  return reactor;
}

void CasService::read_below(const Admitted& store, reapi::BatchReadBlobsResponse& response,
                            ServerUnaryReactor* reactor) {
  using Missing = std::vector<reapi::BatchReadBlobsResponse::Response*>;
  const auto missing = std::make_shared<Missing>();
  for (auto& each : *response.mutable_responses())
    if (each.status().code() == grpc::StatusCode::NOT_FOUND) missing->push_back(&each);
  if (missing->empty()) return reactor->Finish(grpc::Status::OK);
  const auto again = [this, store, missing, reactor](std::stop_token) {
    for (auto* const each : *missing) {
      const Status done = read(store, each->digest(), *each);
      set_status(*each->mutable_status(), done ? grpc::Status::OK : to_status(done.error()));
    }
    reactor->Finish(grpc::Status::OK);
  };
  const auto open = std::make_shared<std::atomic<std::size_t>>(missing->size());
  const auto one_is_over = [this, again, open, reactor](cache::TierAnswer) {
    if (--*open > 0) return;
    if (!context_.workers.submit(again)) reactor->Finish(grpc::Status::OK);  // they are not there, then
  };
  // After the last of them the answer may be gone.
  std::vector<SizedDigest> wanted;
  for (const auto* const each : *missing) {
    const auto digest = from_message(each->digest());
    wanted.push_back(digest ? *digest : SizedDigest());
  }
  for (const SizedDigest& each : wanted) store.blob_tiers()->fetch_blob(each, one_is_over);
}

grpc::ServerWriteReactor<reapi::GetTreeResponse>* CasService::GetTree(Call* call,
                                                                      const reapi::GetTreeRequest* request) {
  return walk_tree(context_.admit(*call, Rpc::get_tree, request->instance_name()), *request);
}

}  // namespace cairn::serve
