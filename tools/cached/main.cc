// SPDX-License-Identifier: Apache-2.0
// cached: owns a store and serves it to other builders until it is told to end. cachectl works beside it through the
// owner's socket, as beside any owner.
#include <signal.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

#include "libbase/log/log.h"
#include "tools/cached/config.h"
#include "tools/cached/serve.h"

namespace cairn::cached {
namespace {

using base::ErrorCode;
using base::Status;

constexpr const char* description = R"(Serve a Cairn store to Bazel, ccache, sccache, Gradle, Turborepo, Nx and containerd.

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
  cached --root /var/lib/cairn --containerd /run/cairn/containerd.sock
  cached --config /etc/cairn/cached.toml
  cached --config /etc/cairn/cached.toml --check-config
  cached --new-token ci

It is ready when /health answers 200. SIGTERM lets it end what it has begun.

Exit codes: 0 done, 1 failed, 2 usage, 5 store busy, 130 interrupted twice.)";

struct Arguments {
  Config config;
  std::string file, new_token;
  bool check = false, basic = false, verbose = false;
};

int report_error(const base::Error& error) {
  std::cerr << "cached: " << error.message << '\n';
  if (!error.hint.empty()) std::cerr << "hint: " << error.hint << '\n';
  if (error.code == ErrorCode::busy) return 5;
  return error.code == ErrorCode::invalid_argument ? 2 : 1;
}

// A connection is a descriptor, and the usual limit is 1,024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void add_options(CLI::App& app, Arguments& arguments) {
  Config& config = arguments.config;
  app.add_option("--root", config.root, "The store (or $CAIRN_ROOT)")->type_name("DIR")->capture_default_str();
  app.add_option("--grpc", config.grpc, "The same for the Remote Execution API; nothing: it is not served")
      ->type_name("ADDR");
  app.add_option("--http", config.http, "HOST:PORT, the absolute path of a socket, or systemd:NAME, a socket that systemd has made")
      ->type_name("ADDR")
      ->capture_default_str();
  app.add_option("--resp", config.resp,
                 "The same in Redis' protocol, for ccache and sccache; nothing: it is not served")
      ->type_name("ADDR");
  app.add_option("--containerd", config.containerd, "Be containerd's snapshotter at this socket; nothing: it is not served")
      ->type_name("SOCKET");
  app.add_option("--config", arguments.file, "What it is told in a file; what is said here counts more")
      ->type_name("FILE.toml");
  app.add_flag("--check-config", arguments.check, "Say ok, or each fault of that file, and end");
  app.add_flag("--fetch", config.fetch, "Fetch assets that nobody has pushed; whoever may connect says from where");
  app.add_flag("--allow-remote", config.allow_remote,
               "Listen where other machines can connect, too, without an [access] that says who may do what");
  app.add_option("--max-bytes", config.max_bytes, "What the store may hold; a put beyond it is answered with 507")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--soft-bytes", config.soft_bytes,
                 "From here on what is worth least is collected; nine tenths of --max-bytes if it is not said")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(true));
  app.add_option("--lease", config.lease_seconds,
                 "How long at least a client may rely on what an action's result names, or was said to be there")
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_option("--connections", config.connections, "Connections at a time")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--drain", config.drain_seconds, "Seconds that requests have to end after SIGTERM")
      ->type_name("SECONDS")
      ->capture_default_str();
  app.add_option("--new-token", arguments.new_token,
                 "Make a token, say it once, and what the file needs to know it again")
      ->type_name("NAME");
  app.add_flag("--basic", arguments.basic, "With --new-token: a password, which is read from standard input");
  app.add_flag("--verbose", arguments.verbose, "Say more on standard error");
}

// Standard output has what the file needs, standard error the token.
int make_token(const Arguments& arguments) {
  std::string hash;
  if (arguments.basic) {
    std::string password;
    std::getline(std::cin, password);
    if (password.empty()) {
      std::cerr << "cached: there is no password on standard input\n";
      return 2;
    }
    const auto hashed = serve::SecretHash::of_password(password);
    if (!hashed) return report_error(hashed.error());
    hash = hashed->str();
  } else {
    const std::string token = serve::new_token();
    hash = serve::SecretHash::of_token(token).str();
    std::cerr << "The token, which is kept nowhere: " << token << '\n';
  }
  const std::string lines = fmt::format(
      "[[access.token]]\nname = \"{}\"\nkind = \"{}\"\nhash = \"{}\"\ninstances = [\"*\"]\nrights = \"read\"\n",
      arguments.new_token, arguments.basic ? "basic" : "bearer", hash);
  Config config;
  if (const auto faults = read_config(lines, "--new-token", config); !faults.empty())
    return report_error({ErrorCode::invalid_argument, faults.front(), {}});
  std::cout << lines;
  return 0;
}

// Each fault on a line of its own.
bool is_read(Arguments& arguments) {
  const auto faults = load_config(arguments.file, arguments.config);
  for (const std::string& fault : faults) std::cerr << "cached: " << fault << '\n';
  return faults.empty();
}

int main_checked(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(description, "cached");
  app.set_version_flag("--version", "cached " CAIRN_VERSION);
  if (const char* root = std::getenv("CAIRN_ROOT"); root != nullptr && *root != '\0') arguments.config.root = root;
  add_options(app, arguments);
  const Config defaults = arguments.config;
  try {
    app.parse(argc, argv);
    if (!arguments.file.empty()) {
      arguments.config = defaults;
      if (!is_read(arguments)) return 2;
      app.parse(argc, argv);  // once more, over what the file says
    }
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  if (!arguments.new_token.empty()) return make_token(arguments);
  if (arguments.check) {
    if (arguments.file.empty())
      return report_error({ErrorCode::invalid_argument, "--check-config: there is no --config FILE.toml", {}});
    std::cout << "ok\n";
    return 0;
  }
  if (arguments.verbose) base::set_log_level(base::LogLevel::info);
  block_ending_signals();
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  const Status served = serve(std::move(arguments.config));
  return served ? 0 : report_error(served.error());
}

}  // namespace
}  // namespace cairn::cached

int main(int argc, char** argv) { return cairn::cached::main_checked(argc, argv); }
