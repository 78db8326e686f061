// SPDX-License-Identifier: Apache-2.0
#include "libserve/http_server.h"

#include "libserve/doors/service.h"
#include "libserve/http/connection.h"

namespace cairn::serve {

namespace {
constexpr std::string_view turned_away =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
}

// Members are destroyed from the last to the first: connections first, and last what they count in.
struct HttpServer::State {
  State(cache::Cache& cache, HttpOptions options_in)
      : options(std::move(options_in)),
        access(options.access != nullptr ? *options.access : open_access),
        service({.cache = cache,
                 .spool = options.spool,
                 .body_max = options.body_max,
                 .live_bytes_max = options.live_bytes_max,
                 .tiers = options.tiers},
                access, [this] { return traffic.prometheus() + (options.more_metrics ? options.more_metrics() : ""); }),
        waits(cache.writer()) {}

  const HttpOptions options;
  const Access open_access;
  const Access& access;
  Traffic traffic{"http", "Requests answered, by door and status.",
                  [](unsigned status) { return fmt::format("{}", status); }};
  Service service;
  const Handler handler = [this](const Request& request) { return service.begin(request); };
  DurableWaits waits;
  std::unique_ptr<Server> server;
};

HttpServer::HttpServer() = default;
HttpServer::~HttpServer() = default;

base::Result<std::unique_ptr<HttpServer>> HttpServer::start(cache::Cache& cache, HttpOptions options) {
  std::unique_ptr<HttpServer> served(new HttpServer());
  served->state_ = std::make_unique<State>(cache, std::move(options));
  State& state = *served->state_;
  const auto connect = [&state](ServerContext server, Stream stream, Peer peer) {
    return std::make_shared<Connection>(
        Shared{state.options, state.waits, state.traffic, state.handler, server.workers, server.draining},
        std::move(stream), std::move(peer));
  };
  state.server = TRY(Server::start({.address = state.options.address,
                                    .threads = state.options.threads,
                                    .workers = state.options.workers,
                                    .connections_max = state.options.connections_max,
                                    .turned_away = turned_away,
                                    .tls = state.options.tls},
                                   state.traffic, connect));
  return served;
}

const std::string& HttpServer::address() const { return state_->server->address(); }
void HttpServer::drain(std::chrono::milliseconds at_most) { state_->server->drain(at_most); }
std::size_t HttpServer::connections() const { return state_->traffic.connections; }

}  // namespace cairn::serve
