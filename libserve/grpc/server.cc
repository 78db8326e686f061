// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "libbase/fs/fd.h"
#include "libserve/grpc/action_cache.h"
#include "libserve/grpc/asset.h"
#include "libserve/grpc/at_socket.h"
#include "libserve/grpc/byte_stream.h"
#include "libserve/grpc/capabilities.h"
#include "libserve/grpc/cas.h"
#include "libserve/grpc_server.h"
#include "libserve/sockets/tls_context.h"

namespace cairn::serve {

using base::ErrorCode;
using base::Result;

namespace {
constexpr int message_bytes_max =
    static_cast<int>(batch_bytes_max) + 1024 * 1024;  // digests and statuses on top of the bytes

Result<std::shared_ptr<grpc::ServerCredentials>> credentials_of(const std::optional<TlsFiles>& files) {
  constexpr std::size_t file_bytes_max = 1 << 20;
  if (!files) return grpc::InsecureServerCredentials();
  TRY(make_tls_context(*files));  // which says what is wrong with them; gRPC does not
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({TRY(base::read_file(files->key, file_bytes_max)), TRY(base::read_file(files->certificate, file_bytes_max))});
  if (files->client_ca) {
    options.pem_root_certs = TRY(base::read_file(*files->client_ca, file_bytes_max));
    options.client_certificate_request = GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

base::Status expect_classified(const std::string& service) {
  const auto* const known = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service);
  for (int i = 0; known != nullptr && i < known->method_count(); ++i)
    if (!is_classified(known->method(i)->full_name()))
      return base::fail(ErrorCode::unavailable, "serve {}: nobody has said what it needs",
                        known->method(i)->full_name());
  return known != nullptr ? base::Status() : base::fail(ErrorCode::unavailable, "serve {}: it is not known", service);
}
}  // namespace

struct GrpcServer::State {
  State(cache::Cache& cache, const GrpcOptions& options)
      : waits(cache.writer()),
        workers({.threads = options.workers}),
        fetcher(options.fetcher),
        context(Intake{cache, options.spool, options.body_max, options.live_bytes_max, options.tiers},
                options.access != nullptr ? *options.access : open_access, feed, waits, workers) {}

  // Members are destroyed from the last to the first: the server, with its calls, before what they use.
  const Access open_access;
  DurableWaits waits;
  base::ThreadPool workers;
  cache::Fetcher* const fetcher;
  SocketFeed feed;
  GrpcContext context;
  CapabilitiesService capabilities{context};
  CasService cas{context};
  ActionCacheService actions{context};
  ByteStreamService streams{context};
  FetchService fetches{context, fetcher};
  PushService pushes{context};
  std::string address;
  std::unique_ptr<grpc::Server> server;

  std::vector<std::pair<std::string, grpc::Service*>> services() {
    return {{reapi::Capabilities::service_full_name(), &capabilities},
            {reapi::ContentAddressableStorage::service_full_name(), &cas},
            {reapi::ActionCache::service_full_name(), &actions},
            {bytestream::ByteStream::service_full_name(), &streams},
            {asset::Fetch::service_full_name(), &fetches},
            {asset::Push::service_full_name(), &pushes}};
  }
};

GrpcServer::GrpcServer() = default;

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(cache::Cache& cache, GrpcOptions options) {
  std::unique_ptr<GrpcServer> made(new GrpcServer());
  made->state_ = std::make_unique<State>(cache, options);
  State& state = *made->state_;
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(message_bytes_max);
  builder.SetMaxSendMessageSize(-1);
  for (const auto& [name, service] : state.services()) {
    TRY(expect_classified(name));
    builder.RegisterService(service);
  }
  state.address = options.address;
  if (options.address.starts_with('/')) {
    TRY(state.feed.listen(options.address), "serve gRPC");
    state.server = builder.BuildAndStart();
    if (!state.server) return base::fail(ErrorCode::io, "serve gRPC at {}: the server does not start", options.address);
    state.feed.feed(*state.server);
    return made;
  }
  int port = 0;
  builder.AddListeningPort(options.address, TRY(credentials_of(options.tls)), &port);
  // Two servers at one address would share its connections by chance.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  state.server = builder.BuildAndStart();
  if (!state.server || port == 0)
    return base::fail(ErrorCode::invalid_argument,
                      "serve gRPC at {}: it is no address of this machine, or somebody listens there", options.address);
  state.address = options.address.substr(0, options.address.rfind(':') + 1) + std::to_string(port);
  return made;
}

GrpcServer::~GrpcServer() { drain(std::chrono::milliseconds(0)); }

const std::string& GrpcServer::address() const { return state_->address; }

void GrpcServer::drain(std::chrono::milliseconds at_most) {
  if (!state_ || !state_->server) return;
  if (auto* const health = state_->server->GetHealthCheckService()) health->SetServingStatus(false);
  state_->feed.stop();
  state_->server->Shutdown(std::chrono::system_clock::now() + at_most);
  state_->server->Wait();
  state_->server.reset();
}

}  // namespace cairn::serve
