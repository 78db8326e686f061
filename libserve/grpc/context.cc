// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/context.h"

#include <grpc/grpc_security_constants.h>

#include "libcache/cache.h"

namespace cairn::serve {

using base::ErrorCode;

grpc::Status to_status(const base::Error& error) {
  switch (error.code) {
    case ErrorCode::not_found: return {grpc::StatusCode::NOT_FOUND, error.message};
    case ErrorCode::already_exists: return {grpc::StatusCode::ALREADY_EXISTS, error.message};
    case ErrorCode::invalid_argument:
    case ErrorCode::corrupt:
      return {grpc::StatusCode::INVALID_ARGUMENT, error.message};  // bytes that came are not what they were said to be
    case ErrorCode::no_space: return {grpc::StatusCode::RESOURCE_EXHAUSTED, error.message};
    case ErrorCode::busy:
    case ErrorCode::unavailable: return {grpc::StatusCode::UNAVAILABLE, error.message};
    case ErrorCode::cancelled: return {grpc::StatusCode::CANCELLED, error.message};
    case ErrorCode::io: return {grpc::StatusCode::INTERNAL, error.message};
  }
  return {grpc::StatusCode::INTERNAL, error.message};
}

grpc::Status invalid(std::string why) { return {grpc::StatusCode::INVALID_ARGUMENT, std::move(why)}; }

base::Status expect_sha256(reapi::DigestFunction::Value function) {
  if (function == reapi::DigestFunction::UNKNOWN || function == reapi::DigestFunction::SHA256) return {};
  return base::fail(ErrorCode::invalid_argument, "digest function {}: only SHA-256 is known",
                    reapi::DigestFunction::Value_Name(function));
}

base::Result<SizedDigest> from_message(const reapi::Digest& digest) {
  return parse_digest(digest.hash(), digest.size_bytes());
}

bool promise_if_there(const Admitted& store, const SizedDigest& wanted) {
  store.entries.promise(wanted.digest);
  return is_there(store.blobs, wanted);
}

bool is_there(cache::BlobStore& blobs, const SizedDigest& wanted) {
  if (wanted.size == 0) return true;
  const auto found = blobs.find(wanted.digest);
  return found && *found && (*found)->size == wanted.size;
}

namespace {

// As a connection of the other doors has them.
std::vector<std::string> certificate_names(const grpc::CallbackServerContext& call) {
  std::vector<std::string> names;
  const auto context = call.auth_context();
  if (!context || !context->IsPeerAuthenticated()) return names;
  for (const auto& [kind, property] : {std::pair("CN:", GRPC_X509_CN_PROPERTY_NAME), {"DNS:", GRPC_PEER_DNS_PROPERTY_NAME},
                                       {"URI:", GRPC_PEER_URI_PROPERTY_NAME}, {"email:", GRPC_PEER_EMAIL_PROPERTY_NAME}})
    for (const grpc::string_ref& name : context->FindPropertyValues(property)) names.push_back(kind + std::string(name.data(), name.size()));
  return names;
}

}  // namespace

// By what is shown; who shows nothing, by the certificate of the connection, or by the user at the other end of the socket.
Identity GrpcContext::who(const grpc::CallbackServerContext& call) const {
  if (!access_.asks()) return access_.anonymous();
  const auto [shown, end] = call.client_metadata().equal_range("authorization");
  Caller caller;
  std::vector<std::string> names;
  const std::string peer = call.peer();
  if (shown == end) caller.certificate = names = certificate_names(call);
  caller.uid = feed_.uid_of(peer);
  if (shown != end) caller.authorization = {shown->second.data(), shown->second.size()};
  if (shown != end && std::next(shown) != end) caller.authorization = "several";  // which is none
  const Identity known = access_.recall(caller);
  return known.state == Identity::State::unproven ? access_.verify(caller, caller.uid ? "unix:" : peer) : known;
}

Admission GrpcContext::admit(const grpc::CallbackServerContext& call, Rpc rpc, std::string_view instance) {
  if (const base::Status named = expect_instance(instance); !named) return tl::unexpected(to_status(named.error()));
  const Identity caller = who(call);
  switch (access_.judge(caller, need_of(rpc), instance)) {
    case Verdict::granted:
      return Admitted(intake_, viewer_of(access_, caller, instance), access_.judge(caller, Need::write, instance) == Verdict::granted);
    case Verdict::who_are_you:
      return tl::unexpected(
          grpc::Status(grpc::StatusCode::UNAUTHENTICATED, "show a token or a password that is right"));
    case Verdict::too_many_guesses:
      return tl::unexpected(
          grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many wrong tokens came from your address; wait"));
    case Verdict::not_allowed: break;
  }
  return tl::unexpected(grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "that is not for you"));
}

grpc::ServerUnaryReactor* finish_when_durable(GrpcContext& context, grpc::ServerUnaryReactor* reactor,
                                              base::lmdb::SequenceNumber number) {
  if (number == 0) return finish(reactor, grpc::Status::OK);
  context.waits.add(number, [reactor](const base::Status& durable) {
    reactor->Finish(durable ? grpc::Status::OK : to_status(durable.error()));
  });
  return reactor;
}

}  // namespace cairn::serve
