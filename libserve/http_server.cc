// SPDX-License-Identifier: Apache-2.0
#include "libserve/http_server.h"

#include "libserve/doors/service.h"
#include "libserve/http/server.h"

namespace cairn::serve {

// Members are destroyed from the last to the first: connections first, and last what they count in.
struct HttpServer::State {
  State(cache::Cache& cache, const HttpOptions& options)
      : service({.cache = cache, .spool = options.spool, .body_max = options.body_max, .live_bytes_max = options.live_bytes_max},
                [this] { return traffic.prometheus(); }),
        waits(cache.writer()) {}

  Traffic traffic;
  Service service;
  DurableWaits waits;
  std::unique_ptr<Server> server;
};

HttpServer::HttpServer() = default;
HttpServer::~HttpServer() = default;

base::Result<std::unique_ptr<HttpServer>> HttpServer::start(cache::Cache& cache, HttpOptions options) {
  std::unique_ptr<HttpServer> served(new HttpServer());
  served->state_ = std::make_unique<State>(cache, options);
  State& state = *served->state_;
  state.server = TRY(Server::start(options, state.waits, state.traffic, [&service = state.service](const Request& request) { return service.begin(request); }));
  return served;
}

const std::string& HttpServer::address() const { return state_->server->address(); }
void HttpServer::drain(std::chrono::milliseconds at_most) { state_->server->drain(at_most); }
std::size_t HttpServer::connections() const { return state_->traffic.connections; }

}  // namespace cairn::serve
