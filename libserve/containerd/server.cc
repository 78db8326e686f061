// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include "libserve/containerd/snapshots.h"
#include "libserve/containerd_server.h"
#include "libserve/grpc/at_socket.h"

namespace cairn::serve {

using base::Result;

struct ContainerdServer::State {
  explicit State(const ContainerdOptions& options) : socket(options.socket), workers({.threads = options.workers}) {}

  // Members are destroyed from the last to the first: the server, with its calls, before what they use.
  const base::HostPath socket;
  std::unique_ptr<cache::TreeNames> names;
  base::ThreadPool workers;
  std::optional<SnapshotsService> service;
  std::unique_ptr<grpc::Server> server;
};

ContainerdServer::ContainerdServer() = default;

Result<std::unique_ptr<ContainerdServer>> ContainerdServer::start(cache::Cache& cache, ContainerdOptions options) {
  std::unique_ptr<ContainerdServer> made(new ContainerdServer());
  made->state_ = std::make_unique<State>(options);
  State& state = *made->state_;
  const std::string& path = state.socket.str();
  state.names = TRY(cache::TreeNames::open(cache), "serve containerd at {}", path);
  state.service.emplace(cache, *state.names, state.workers, options.live_bytes_max);
  grpc::ServerBuilder builder;
  builder.RegisterService(&*state.service);
  state.server = TRY(start_at_socket(builder, path), "serve containerd");
  return made;
}

ContainerdServer::~ContainerdServer() { drain(std::chrono::milliseconds(0)); }

const base::HostPath& ContainerdServer::socket() const { return state_->socket; }

void ContainerdServer::drain(std::chrono::milliseconds at_most) {
  if (!state_ || !state_->server) return;
  state_->server->Shutdown(std::chrono::system_clock::now() + at_most);
  state_->server->Wait();
  state_->server.reset();
}

}  // namespace cairn::serve
