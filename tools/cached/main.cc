// SPDX-License-Identifier: Apache-2.0
// cached: owns a store and serves it to other builders until it is told to end. cachectl works beside it through the
// owner's socket, as beside any owner.
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <stop_token>
#include <thread>

#include "libbase/log/log.h"
#include "libremote/http_fetcher.h"
#include "libserve/grpc_server.h"
#include "libserve/http_server.h"
#include "libserve/resp_server.h"
#include "tools/cached/notify.h"
#include "tools/engine/engine.h"
#include "tools/engine/server.h"

namespace cairn::cached {
namespace {

using base::ErrorCode;
using base::Status;

constexpr const char* description = R"(Serve a Cairn store to Bazel, ccache, sccache, Gradle, Turborepo and Nx.

Examples:
  cached --root /var/lib/cairn
  cached --root /var/lib/cairn --http 127.0.0.1:9090 --max-bytes 50GB
  cached --root /var/lib/cairn --http /run/cairn/http.sock
  CCACHE_REMOTE_STORAGE=http://127.0.0.1:8080/ccache ccache gcc -c a.c
  bazel build //... --remote_cache=http://127.0.0.1:8080
  cached --root /var/lib/cairn --grpc 127.0.0.1:8980
  bazel build //... --remote_cache=grpc://127.0.0.1:8980
  cached --root /var/lib/cairn --resp 127.0.0.1:6379
  CCACHE_REMOTE_STORAGE=redis://127.0.0.1:6379 ccache gcc -c a.c

It is ready when /health answers 200. SIGTERM lets it end what it has begun.

Exit codes: 0 done, 1 failed, 2 usage, 5 store busy, 130 interrupted twice.)";

struct Arguments {
  std::string root;
  std::string http = "127.0.0.1:8080";
  std::string grpc, resp;
  bool allow_remote = false, fetch = false;
  std::uint64_t max_bytes = 0;
  std::size_t connections = 4096;
  unsigned drain_seconds = 30;
};

int report_error(const base::Error& error) {
  std::cerr << "cached: " << error.message << '\n';
  if (!error.hint.empty()) std::cerr << "hint: " << error.hint << '\n';
  if (error.code == ErrorCode::busy) return 5;
  return error.code == ErrorCode::invalid_argument ? 2 : 1;
}

bool is_local(const std::string& address) {
  return address.starts_with('/') || address.starts_with("127.") || address.starts_with("localhost:") ||
         address.starts_with("[::1]:");
}

// A connection is a descriptor, and the usual limit is 1,024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
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

Status serve(const Arguments& arguments) {
  for (const std::string* address : {&arguments.http, &arguments.grpc, &arguments.resp}) {
    if (arguments.allow_remote || address->empty() || is_local(*address)) continue;
    auto error = base::fail(ErrorCode::invalid_argument,
                            "listen on {}: nobody is asked who he is, so only this machine may connect", *address);
    error.value().hint = "--allow-remote lets everybody read and write who can reach that address";
    return error;
  }
  const base::HostPath root = TRY(base::HostPath::from_user(arguments.root), "--root {}", arguments.root);
  auto opened = engine::Engine::open(engine::EngineOptions(root));
  if (!opened) {
    if (opened.error().code == ErrorCode::busy) opened.error().hint = "end it first: a store has one owner";
    return tl::unexpected(opened.error());
  }
  const auto engine = std::move(*opened);
  const auto socket = TRY(engine::Server::start(*engine));
  serve::HttpOptions options;
  options.address = arguments.http;
  options.spool = root / "tmp";
  options.connections_max = arguments.connections;
  options.live_bytes_max = static_cast<std::int64_t>(arguments.max_bytes);
  const base::SystemClock clock;
  std::unique_ptr<serve::RespServer> resp;
  if (!arguments.resp.empty()) {
    serve::RespOptions of_resp;
    of_resp.address = arguments.resp;
    of_resp.connections_max = arguments.connections;
    of_resp.live_bytes_max = options.live_bytes_max;
    resp = TRY(serve::RespServer::start(engine->cache(), clock, of_resp));
    options.more_metrics = [&resp] { return resp->metrics(); };
  }
  auto http = TRY(serve::HttpServer::start(engine->cache(), options));
  const auto fetcher = arguments.fetch ? remote::make_http_fetcher(remote::http_options_of_environment()) : nullptr;
  std::unique_ptr<serve::GrpcServer> grpc;
  if (!arguments.grpc.empty()) {
    serve::GrpcOptions of_grpc;
    of_grpc.address = arguments.grpc;
    of_grpc.spool = options.spool;
    of_grpc.live_bytes_max = options.live_bytes_max;
    of_grpc.fetcher = fetcher.get();
    grpc = TRY(serve::GrpcServer::start(engine->cache(), of_grpc));
  }
  std::cout << "cached: serves " << root.str() << " at " << (http->address().starts_with('/') ? "unix:" : "http://")
            << http->address();
  if (grpc) std::cout << " and grpc://" << grpc->address();
  if (resp) std::cout << " and redis" << (resp->address().starts_with('/') ? "+unix:" : "://") << resp->address();
  std::cout << std::endl;
  warn(notify("READY=1"));
  (void)wait_for_signal();
  warn(notify("STOPPING=1"));
  // Whoever says it twice does not want to wait.
  const std::jthread impatient([](std::stop_token stop) {
    if (wait_for_signal(std::move(stop))) ::_exit(130);
  });
  const std::chrono::seconds at_most(arguments.drain_seconds);
  {
    const std::jthread grpc_ends([&] {
      if (grpc) grpc->drain(at_most);
    });
    const std::jthread resp_ends([&] {
      if (resp) resp->drain(at_most);
    });
    http->drain(at_most);
  }
  http.reset();
  socket->drain();
  return {};
}

int main_checked(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(description, "cached");
  app.set_version_flag("--version", "cached " CAIRN_VERSION);
  if (const char* root = std::getenv("CAIRN_ROOT")) arguments.root = root;
  if (arguments.root.empty()) arguments.root = "/var/lib/cairn";
  app.add_option("--root", arguments.root, "The store (or $CAIRN_ROOT)")->type_name("DIR")->capture_default_str();
  app.add_option("--grpc", arguments.grpc, "The same for the Remote Execution API; nothing: it is not served")
      ->type_name("ADDR");
  app.add_option("--http", arguments.http, "HOST:PORT, or the absolute path of a socket")
      ->type_name("ADDR")
      ->capture_default_str();
  app.add_option("--resp", arguments.resp,
                 "The same in Redis' protocol, for ccache and sccache; nothing: it is not served")
      ->type_name("ADDR");
  app.add_flag("--fetch", arguments.fetch, "Fetch assets that nobody has pushed; whoever may connect says from where");
  app.add_flag("--allow-remote", arguments.allow_remote,
               "Listen where other machines can connect, too; everybody may read and write");
  app.add_option("--max-bytes", arguments.max_bytes, "What the store may hold; a put beyond it is answered with 507")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--connections", arguments.connections, "Connections at a time")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--drain", arguments.drain_seconds, "Seconds that requests have to end after SIGTERM")
      ->type_name("SECONDS")
      ->capture_default_str();
  bool verbose = false;
  app.add_flag("--verbose", verbose, "Say more on standard error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  if (verbose) base::set_log_level(base::LogLevel::info);
  // Before the first thread, so that all of them leave these signals to the one that waits.
  const sigset_t set = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  const Status served = serve(arguments);
  return served ? 0 : report_error(served.error());
}

}  // namespace
}  // namespace cairn::cached

int main(int argc, char** argv) { return cairn::cached::main_checked(argc, argv); }
