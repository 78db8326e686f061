// SPDX-License-Identifier: Apache-2.0
// One server of the Remote Execution API: the connection to it, what it is able to do, and what its answers mean as
// errors of a tier.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include <google/bytestream/bytestream.grpc.pb.h>
#include "libbase/sync.h"
#include "libcache/remote_tier.h"
#include "libremote/reapi_tier.h"

namespace cairn::remote {

namespace reapi = build::bazel::remote::execution::v2;
namespace bytestream = google::bytestream;

// The most bytes of blobs, or of a result, in one message: most programs take no message above 4 MiB.
inline constexpr std::size_t message_room = 4 * 1024 * 1024 - 64 * 1024;

struct PeerLimits {
  std::size_t batch_bytes_max = message_room;  // of all blobs in one message
  std::uint64_t blob_bytes_max = ~std::uint64_t{0};
  bool knows_zstd = false;
};

// What one RPC is made with. It ends at the deadline of the call, or when nobody waits for it any more.
class PeerCall {
 public:
  PeerCall(const cache::TierCall& call, const std::string& authorization);
  PeerCall(const PeerCall&) = delete;
  PeerCall& operator=(const PeerCall&) = delete;
  grpc::ClientContext* context() { return &context_; }

 private:
  grpc::ClientContext context_;  // lives longer than what may cancel it
  std::stop_callback<std::function<void()>> stopped_;
};

// Thread-safe.
class Peer {
 public:
  // Asks nobody. Errors as of make_reapi_tier().
  static base::Result<std::unique_ptr<Peer>> make(const ReapiTierOptions& options);

  const std::string& name() const { return name_; }
  std::string instance_below(const std::string& instance) const;
  std::string instance_of_blobs(const cache::TierCall& call) const {
    return instance_below(call.entry ? call.entry->instance : std::string());
  }
  const std::string& authorization() const { return authorization_; }
  // ok: the call may be made. Errors: cancelled, io (its time is over).
  base::Status expect_time(const cache::TierCall& call) const;
  // As it has said them; it is asked once, and again after the connection was lost. Errors: those of the call, and
  // unavailable (it is no cache that we can use).
  base::Result<PeerLimits> limits(const cache::TierCall& call);
  // Of a status that is not OK. NOT_FOUND is `unavailable` here: where there may be nothing, that is asked before.
  base::Error error_of(const grpc::Status& status, const cache::TierCall& call, std::string_view request);

  // One call; the status is what the server says, or what became of the connection.
  template <class Stub, class Request, class Response>
  grpc::Status ask(Stub& stub, grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                   const Request& request, Response& response, const cache::TierCall& call) {
    PeerCall one(call, authorization_);
    return (stub.*method)(one.context(), request, &response);
  }

  using Blobs = reapi::ContentAddressableStorage::Stub;
  using Actions = reapi::ActionCache::Stub;
  Blobs& blobs() { return *blobs_; }
  Actions& actions() { return *actions_; }
  bytestream::ByteStream::Stub& streams() { return *streams_; }

 private:
  Peer(const ReapiTierOptions& options, const std::shared_ptr<grpc::Channel>& channel);

  const std::string name_, instance_;
  std::string authorization_;  // "": none
  const std::unique_ptr<Blobs> blobs_;
  const std::unique_ptr<Actions> actions_;
  const std::unique_ptr<reapi::Capabilities::Stub> capabilities_;
  const std::unique_ptr<bytestream::ByteStream::Stub> streams_;
  base::Guarded<std::optional<PeerLimits>> limits_;
};

}  // namespace cairn::remote
