// SPDX-License-Identifier: Apache-2.0
// What all gRPC services share: the store, what they may take in, and threads for what waits.
#pragma once

#include <grpcpp/grpcpp.h>

#include <build/bazel/remote/execution/v2/remote_execution.pb.h>
#include "libbase/thread_pool.h"
#include "libcache/entry_store.h"
#include "libserve/doors/values.h"
#include "libserve/grpc/at_socket.h"
#include "libserve/grpc/resource_name.h"
#include "libserve/grpc/rpcs.h"
#include "libserve/sockets/durable_waits.h"

namespace cairn::serve {

namespace reapi = build::bazel::remote::execution::v2;

// What a call that may use the store uses it by. Only admit() gives one out: a method that has not asked has no store.
class Admitted {
 public:
  Intake& intake;
  const Viewer viewer;
  const bool may_write;  // in its instance
  // As whoever calls may see them.
  mutable cache::BlobView blobs;
  mutable cache::EntryStore entries;
  // That are asked for blobs by their digests. A tier does not know namespaces.
  cache::Tiers* blob_tiers() const { return viewer.space ? nullptr : intake.tiers; }

 private:
  friend class GrpcContext;
  Admitted(Intake& intake_in, const Viewer& viewer_in, bool may_write_in)
      : intake(intake_in),
        viewer(viewer_in),
        may_write(may_write_in),
        blobs(intake.cache, viewer.space),
        entries(intake.cache, viewer.space) {}
};
using Admission = tl::expected<Admitted, grpc::Status>;

class GrpcContext {
 public:
  // feed: of a server at a socket file; outlives it.
  GrpcContext(Intake intake, const Access& access, const SocketFeed& feed, DurableWaits& waits_in, base::ThreadPool& workers_in)
      : waits(waits_in), workers(workers_in), intake_(std::move(intake)), access_(access), feed_(feed) {}

  // Whoever calls may do what this method does in this instance, or INVALID_ARGUMENT (no name of an instance),
  // UNAUTHENTICATED, PERMISSION_DENIED, RESOURCE_EXHAUSTED (too many guesses).
  Admission admit(const grpc::CallbackServerContext& call, Rpc rpc, std::string_view instance);

  DurableWaits& waits;
  base::ThreadPool& workers;  // for what reads and hashes much: no lookup waits behind it

 private:
  Identity who(const grpc::CallbackServerContext& call) const;

  Intake intake_;
  const Access& access_;
  const SocketFeed& feed_;
};

// The most bytes of all blobs in one message: below the 4 MiB that most clients take, with room for the rest of it.
inline constexpr std::int64_t batch_bytes_max = 4 * 1024 * 1024 - 64 * 1024;

// As the protocol wants it: what a client has done wrong is INVALID_ARGUMENT, what is not there NOT_FOUND, a full store
// RESOURCE_EXHAUSTED.
grpc::Status to_status(const base::Error& error);
grpc::Status invalid(std::string why);

// UNKNOWN is what the length of a hash says.
base::Status expect_sha256(reapi::DigestFunction::Value function);
base::Result<SizedDigest> from_message(const reapi::Digest& digest);
bool is_there(cache::BlobStore& blobs, const SizedDigest& wanted);  // the empty blob always is
// The same for a client, which then does not send it: it stays for a while.
bool promise_if_there(const Admitted& store, const SizedDigest& wanted);

// Of every request: a digest function that is known, and a name that can be one.
template <class Request>
base::Status expect_names(const Request& request) {
  TRY(expect_sha256(request.digest_function()));
  TRY(parse_instance(request.instance_name()));
  return {};
}

// An answer that is ready.
template <class Reactor>
Reactor* finish(Reactor* reactor, const grpc::Status& status) {
  reactor->Finish(status);
  return reactor;
}

// A stream that is answered before it begins.
template <class Response>
grpc::ServerWriteReactor<Response>* refuse_stream(const grpc::Status& status) {
  struct Refused final : grpc::ServerWriteReactor<Response> {
    void OnDone() override { delete this; }
  };
  return finish(new Refused(), status);
}

// An answer that is ready once this is durable (0: it is).
grpc::ServerUnaryReactor* finish_when_durable(GrpcContext& context, grpc::ServerUnaryReactor* reactor,
                                              base::lmdb::SequenceNumber number);

// For whoever may. The answer is what `work` says: the number of what it has made, or why it could not.
template <class Work>  // base::Result<base::lmdb::SequenceNumber>(const Admitted&, std::stop_token)
grpc::ServerUnaryReactor* on_a_worker(GrpcContext& context, grpc::CallbackServerContext* call, Rpc rpc,
                                      std::string_view instance, Work work) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  const Admission admitted = context.admit(*call, rpc, instance);
  if (!admitted) return finish(reactor, admitted.error());
  const base::Status taken =
      context.workers.submit([&context, reactor, store = *admitted, work = std::move(work)](std::stop_token stop) {
        const base::Result<base::lmdb::SequenceNumber> last = work(store, std::move(stop));
        if (last)
          finish_when_durable(context, reactor, *last);
        else
          reactor->Finish(to_status(last.error()));
      });
  if (!taken) reactor->Finish(to_status(taken.error()));
  return reactor;
}

}  // namespace cairn::serve
