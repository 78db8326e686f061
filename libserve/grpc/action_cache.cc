// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/action_cache.h"

#include <algorithm>

#include "libcache/cache.h"
#include "libserve/grpc/raw.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;
using base::Status;
using grpc::ServerUnaryReactor;

namespace {

constexpr std::size_t result_bytes_max = static_cast<std::size_t>(batch_bytes_max);

// The same entry as that of /ac/ over HTTP. The size of an action's digest is no part of its name.
Result<cache::EntryName> name_of(const Admitted& store, const std::string& instance, const reapi::Digest& action) {
  return cache::EntryName{.door = "bazel",
                          .instance = TRY(parse_instance(instance)),
                          .trust = store.viewer.trust,
                          .key = TRY(from_message(action)).digest.hex()};
}

std::chrono::nanoseconds as_ns(const google::protobuf::Timestamp& time) {
  return std::chrono::seconds(time.seconds()) + std::chrono::nanoseconds(time.nanos());
}

// What making it took. Of clocks that make no sense: nothing.
std::chrono::nanoseconds build_time_of(const reapi::ActionResult& result) {
  const auto& metadata = result.execution_metadata();
  if (metadata.has_virtual_execution_duration())
    return std::max(std::chrono::seconds(metadata.virtual_execution_duration().seconds()) +
                        std::chrono::nanoseconds(metadata.virtual_execution_duration().nanos()),
                    std::chrono::nanoseconds(0));
  constexpr auto most = std::chrono::hours(24 * 30);
  const auto took = as_ns(metadata.execution_completed_timestamp()) - as_ns(metadata.execution_start_timestamp());
  return took < std::chrono::nanoseconds(0) || took > most ? std::chrono::nanoseconds(0) : took;
}

// Puts small outputs into the answer, as far as it has room for them.
Status add_inline(cache::BlobStore& blobs, const reapi::GetActionResultRequest& request, reapi::ActionResult& result) {
  std::size_t room = result_bytes_max - std::min(result_bytes_max, result.ByteSizeLong());
  const auto add = [&](const reapi::Digest& digest, std::string& into) -> Status {
    const SizedDigest wanted = TRY(from_message(digest));
    if (!into.empty() || wanted.size == 0 || wanted.size > room) return {};
    into = TRY(blobs.read(wanted.digest, room));
    room -= into.size();
    return {};
  };
  if (request.inline_stdout() && result.has_stdout_digest())
    TRY(add(result.stdout_digest(), *result.mutable_stdout_raw()));
  if (request.inline_stderr() && result.has_stderr_digest())
    TRY(add(result.stderr_digest(), *result.mutable_stderr_raw()));
  for (reapi::OutputFile& file : *result.mutable_output_files()) {
    const auto& wanted = request.inline_output_files();
    if (std::find(wanted.begin(), wanted.end(), file.path()) != wanted.end())
      TRY(add(file.digest(), *file.mutable_contents()));
  }
  return {};
}

}  // namespace

Result<std::string> ActionCacheService::look_up(const Admitted& store, const reapi::GetActionResultRequest& request) {
  TRY(expect_sha256(request.digest_function()));
  const cache::EntryName name = TRY(name_of(store, request.instance_name(), request.action_digest()));
  const auto entry = TRY(store.entries.find(name));
  if (!entry) return base::fail(ErrorCode::not_found, "action {}: no result", name.key);
  store.entries.promise(*entry);  // its outputs are read later, if at all
  cache::BlobStore& blobs = store.blobs;
  auto bytes = blobs.read(entry->value, result_bytes_max);
  // Damaged, or put over HTTP by somebody who keeps other things there.
  if (!bytes || !blobs_of_action_result(*bytes))
    return base::fail(ErrorCode::not_found, "action {}: its result cannot be read", name.key);
  const bool inlines = request.inline_stdout() || request.inline_stderr() || request.inline_output_files_size() > 0;
  if (!inlines) return bytes;
  reapi::ActionResult result;
  if (!result.ParseFromString(*bytes))
    return base::fail(ErrorCode::not_found, "action {}: its result cannot be read", name.key);
  if (const Status added = add_inline(blobs, request, result); !added)
    return base::fail(ErrorCode::not_found, "action {}: {}", name.key, added.error().message);
  return result.SerializeAsString();
}

ServerUnaryReactor* ActionCacheService::GetActionResult(Call* call, const grpc::ByteBuffer* request,
                                                        grpc::ByteBuffer* response) {
  ServerUnaryReactor* const reactor = call->DefaultReactor();
  reapi::GetActionResultRequest asked;
  grpc::Slice bytes;
  if (!request->DumpToSingleSlice(&bytes).ok() || !asked.ParseFromArray(bytes.begin(), static_cast<int>(bytes.size())))
    return finish(reactor, invalid("it is no GetActionResultRequest"));
  const Admission admitted = context_.admit(*call, Rpc::get_action_result, asked.instance_name());
  if (!admitted) return finish(reactor, admitted.error());
  const auto found = look_up(*admitted, asked);
  if (!found && found.error().code == ErrorCode::not_found && admitted->intake.tiers != nullptr) {
    look_below(*admitted, std::move(asked), reactor, response, to_status(found.error()));
    return reactor;
  }
  if (!found) return finish(reactor, to_status(found.error()));
  *response = to_buffer(*found);
  return finish(reactor, grpc::Status::OK);
}

void ActionCacheService::look_below(const Admitted& store, reapi::GetActionResultRequest request,
                                    ServerUnaryReactor* reactor, grpc::ByteBuffer* response,
                                    const grpc::Status& missed) {
  const auto name = name_of(store, request.instance_name(), request.action_digest());
  if (!name) return reactor->Finish(missed);
  const auto again = [this, store, request = std::move(request), reactor, response](std::stop_token) {
    const auto found = look_up(store, request);
    if (found) *response = to_buffer(*found);
    reactor->Finish(found ? grpc::Status::OK : to_status(found.error()));
  };
  fetch_entry(store.intake, *name, [this, again, reactor, missed](cache::TierAnswer said) {
    if (said != cache::TierAnswer::found || !context_.workers.submit(again)) reactor->Finish(missed);
  });
}

Result<base::lmdb::SequenceNumber> ActionCacheService::keep(const Admitted& store,
                                                            const reapi::UpdateActionResultRequest& request) {
  TRY(expect_sha256(request.digest_function()));
  if (!request.has_action_result()) return base::fail(ErrorCode::invalid_argument, "no result is given");
  cache::NewEntry entry{.name = TRY(name_of(store, request.instance_name(), request.action_digest())), .value = {}};
  cache::BlobStore& blobs = store.blobs;
  const std::string bytes = request.action_result().SerializeAsString();
  if (bytes.size() > result_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "a result of {} bytes: {} are the most", bytes.size(),
                      result_bytes_max);
  entry.closure = TRY(closure_of(bytes, blobs));
  entry.build_time = build_time_of(request.action_result());
  TRY(expect_room(store.intake, bytes.size()));
  const auto value = TRY(blobs.put(bytes));
  entry.value = value.info.digest;
  const auto kept = TRY(keep_entry(store.intake, store.viewer, std::move(entry)));
  return std::max(value.sequence, kept.sequence);
}

// A result that names what is not there would be a hit that cannot be used: it is refused.
ServerUnaryReactor* ActionCacheService::UpdateActionResult(Call* call, const reapi::UpdateActionResultRequest* request,
                                                           reapi::ActionResult* response) {
  ServerUnaryReactor* const reactor = call->DefaultReactor();
  const Admission admitted = context_.admit(*call, Rpc::update_action_result, request->instance_name());
  if (!admitted) return finish(reactor, admitted.error());
  const auto kept = keep(*admitted, *request);
  if (!kept) {
    const bool incomplete = kept.error().code == ErrorCode::not_found;
    return finish(reactor, incomplete ? grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, kept.error().message)
                                      : to_status(kept.error()));
  }
  *response = request->action_result();
  return finish_when_durable(context_, reactor, *kept);
}

}  // namespace cairn::serve
