// SPDX-License-Identifier: Apache-2.0
#include "libserve/resp_server.h"

#include "libserve/resp/connection.h"

namespace cairn::serve {

// Members are destroyed from the last to the first: connections first, and last what they count in.
struct RespServer::State {
  State(cache::Cache& cache, const base::Clock& clock_in, RespOptions options_in)
      : options(std::move(options_in)),
        clock(clock_in),
        access(options.access != nullptr ? *options.access : open_access),
        intake{.cache = cache, .body_max = options.value_max, .live_bytes_max = options.live_bytes_max, .tiers = options.tiers},
        waits(cache.writer()) {}

  const RespOptions options;
  const base::Clock& clock;
  const Access open_access;
  const Access& access;
  Intake intake;
  Traffic traffic{"resp", "Commands answered, by door and outcome.",
                  [](unsigned code) { return std::string(to_string(static_cast<RespOutcome>(code))); }};
  DurableWaits waits;
  std::unique_ptr<Server> server;
};

RespServer::RespServer() = default;
RespServer::~RespServer() = default;

base::Result<std::unique_ptr<RespServer>> RespServer::start(cache::Cache& cache, const base::Clock& clock,
                                                            RespOptions options) {
  std::unique_ptr<RespServer> served(new RespServer());
  served->state_ = std::make_unique<State>(cache, clock, std::move(options));
  State& state = *served->state_;
  const auto connect = [&state](ServerContext server, Stream stream, Peer peer) {
    return std::make_shared<RespConnection>(RespShared{state.options, state.intake, state.access, state.clock,
                                                       state.waits, state.traffic, server.workers, server.draining},
                                            std::move(stream), std::move(peer));
  };
  const RespOptions& said = state.options;
  state.server = TRY(Server::start(
      {said.address, said.threads, said.workers, said.connections_max, "-ERR max number of clients reached\r\n", said.tls},
      state.traffic, connect));
  return served;
}

const std::string& RespServer::address() const { return state_->server->address(); }
void RespServer::drain(std::chrono::milliseconds at_most) { state_->server->drain(at_most); }
std::size_t RespServer::connections() const { return state_->traffic.connections; }
std::string RespServer::metrics() { return state_->traffic.prometheus(); }

}  // namespace cairn::serve
