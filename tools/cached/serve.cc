// SPDX-License-Identifier: Apache-2.0
#include "tools/cached/serve.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <stop_token>
#include <thread>

#include "libbase/log/log.h"
#include "libcache/entry_store.h"
#include "libremote/http_fetcher.h"
#include "libserve/containerd_server.h"
#include "libserve/grpc_server.h"
#include "libserve/http_server.h"
#include "libserve/resp_server.h"
#include "tools/cached/notify.h"
#include "tools/cached/passed.h"
#include "tools/engine/engine.h"
#include "tools/engine/server.h"

namespace cairn::cached {

using base::ErrorCode;
using base::Status;

namespace {

bool is_socket(const std::string& address) { return address.starts_with('/'); }

bool is_local(const std::string& address) {
  return is_socket(address) || is_local_socket(address) || address.starts_with("127.") || address.starts_with("localhost:") ||
         address.starts_with("[::1]:");
}

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// False: it was stopped before.
bool wait_for_signal(std::stop_token stop = {}) {
  constexpr timespec look{.tv_sec = 0, .tv_nsec = 100'000'000};
  const sigset_t set = ending_signals();
  while (!stop.stop_requested())
    if (sigtimedwait(&set, nullptr, &look) > 0) return true;
  return false;
}

void warn(const Status& outcome) {
  if (!outcome) base::log_warning("{}", outcome.error().message);
}

// Others may connect only where somebody has said who may do what, or that everybody may.
Status expect_reach(const Config& config) {
  for (const std::string* address : {&config.http, &config.grpc, &config.resp}) {
    if (address->empty() || is_local(*address)) continue;
    if (config.access && !config.access->tokens.empty() && !config.tls)
      base::log_warning("{} can be reached from other machines, and what they show to be let in can be read on the way",
                        *address);
    if (config.access || config.allow_remote) continue;
    auto error = base::fail(ErrorCode::invalid_argument,
                            "listen on {}: nobody is asked who he is, so only this machine may connect", *address);
    error.value().hint =
        "[access] in a --config file says who may; --allow-remote lets everybody read and write who can reach that "
        "address";
    return error;
  }
  return {};
}

// What all doors are told alike, as far as they have it.
template <class Options>
Options options_of(const Config& config, const std::string& address, const base::HostPath& spool,
                   const serve::Access& access, cache::Tiers* tiers) {
  Options options;
  options.tiers = tiers;
  options.access = &access;
  options.tls = config.tls;
  options.address = address;
  options.live_bytes_max = static_cast<std::int64_t>(config.max_bytes);
  if constexpr (requires { options.spool; }) options.spool = spool;
  if constexpr (requires { options.connections_max; }) options.connections_max = config.connections;
  return options;
}

struct Doors {
  Doors(std::unique_ptr<serve::Access> access_in, bool tls_in) : access(std::move(access_in)), tls(tls_in) {}
  const std::unique_ptr<serve::Access> access;
  const bool tls;
  std::unique_ptr<cache::Fetcher> fetcher;  // for tiers and assets; none: for neither
  std::unique_ptr<cache::Tiers> tiers;  // outlives the doors
  std::unique_ptr<serve::RespServer> resp;
  std::unique_ptr<serve::HttpServer> http;
  std::unique_ptr<serve::GrpcServer> grpc;
  std::unique_ptr<serve::ContainerdServer> containerd;

  Status open(cache::Cache& cache, const base::Clock& clock, const Config& config, const base::HostPath& spool) {
    const bool has_tiers = !config.tiers.sections.empty();
    if (has_tiers || config.fetch) fetcher = remote::make_http_fetcher(remote::http_options_of_environment());
    if (has_tiers)
      tiers = TRY(open_tiers(cache, *fetcher, clock, config.tiers, static_cast<std::int64_t>(config.max_bytes)));
    auto of_http = options_of<serve::HttpOptions>(config, config.http, spool, *access, tiers.get());
    if (!config.resp.empty()) {
      resp = TRY(
          serve::RespServer::start(cache, clock, options_of<serve::RespOptions>(config, config.resp, spool, *access, tiers.get())));
      of_http.more_metrics = [this] { return resp->metrics(); };
    }
    http = TRY(serve::HttpServer::start(cache, std::move(of_http)));
    if (!config.containerd.empty())
      containerd = TRY(serve::ContainerdServer::start(
          cache, {.socket = TRY(base::HostPath::from_user(config.containerd), "--containerd {}", config.containerd),
                  .live_bytes_max = static_cast<std::int64_t>(config.max_bytes)}));
    if (config.grpc.empty()) return {};
    auto of_grpc = options_of<serve::GrpcOptions>(config, config.grpc, spool, *access, tiers.get());
    if (config.fetch) of_grpc.fetcher = fetcher.get();
    grpc = TRY(serve::GrpcServer::start(cache, std::move(of_grpc)));
    return {};
  }

  void say(const std::string& root) const {
    std::cout << "cached: serves " << root << " at " << (is_socket(http->address()) ? "unix:" : tls ? "https://" : "http://")
              << http->address();
    if (grpc) std::cout << (tls && !is_socket(grpc->address()) ? " and grpcs://" : " and grpc://") << grpc->address();
    if (resp) std::cout << " and redis" << (is_socket(resp->address()) ? "+unix:" : tls ? "s://" : "://") << resp->address();
    if (containerd) std::cout << " and containerd:" << containerd->socket().str();
    std::cout << std::endl;
  }

  void drain(std::chrono::seconds at_most) {
    const auto deadline = std::chrono::steady_clock::now() + at_most;
    drain_doors(at_most);
    const std::size_t left = tiers ? tiers->drain(deadline) : 0;
    if (left > 0) base::log_warning("{} entries were not sent to a tier any more", left);
  }

  void drain_doors(std::chrono::seconds at_most) {
    const std::jthread grpc_ends([&] {
      if (grpc) grpc->drain(at_most);
    });
    const std::jthread resp_ends([&] {
      if (resp) resp->drain(at_most);
    });
    const std::jthread containerd_ends([&] {
      if (containerd) containerd->drain(at_most);
    });
    http->drain(at_most);
  }
};

}  // namespace

void block_ending_signals() {
  const sigset_t set = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

Status serve(Config config) {
  if (config.grpc.starts_with("systemd:"))
    return base::fail(ErrorCode::invalid_argument, "{}: gRPC makes its sockets itself and takes none over", config.grpc);
  config.http = TRY(resolve_passed(config.http));
  config.resp = TRY(resolve_passed(config.resp));
  TRY(expect_reach(config));
  const base::HostPath root = TRY(base::HostPath::from_user(config.root), "--root {}", config.root);
  if (config.soft_bytes > config.max_bytes)
    return base::fail(ErrorCode::invalid_argument, "--soft-bytes is more than --max-bytes, or that is not given");
  engine::EngineOptions options(root);
  options.quota = {static_cast<std::int64_t>(config.soft_bytes), static_cast<std::int64_t>(config.max_bytes)};
  auto opened = engine::Engine::open(std::move(options));
  if (!opened) {
    if (opened.error().code == ErrorCode::busy) opened.error().hint = "end it first: a store has one owner";
    return tl::unexpected(opened.error());
  }
  const auto engine = std::move(*opened);
  cache::set_promise_time(engine->cache(), std::chrono::seconds(config.lease_seconds));
  const auto socket = TRY(engine::Server::start(*engine));
  const base::SystemClock clock;
  {
    Doors doors(config.access ? std::make_unique<serve::Access>(std::move(*config.access))
                              : std::make_unique<serve::Access>(),
                config.tls.has_value());
    TRY(doors.open(engine->cache(), clock, config, root / "tmp"));
    doors.say(root.str());
    warn(notify("READY=1"));
    (void)wait_for_signal();
    warn(notify("STOPPING=1"));
    // Whoever says it twice does not want to wait.
    const std::jthread impatient([](std::stop_token stop) {
      if (wait_for_signal(std::move(stop))) ::_exit(130);
    });
    doors.drain(std::chrono::seconds(config.drain_seconds));
  }
  socket->drain();
  return {};
}

}  // namespace cairn::cached
