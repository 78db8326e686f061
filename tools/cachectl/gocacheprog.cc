// SPDX-License-Identifier: Apache-2.0
// gocacheprog: the program that a go command starts as its cache and talks with over standard input and output. It owns
// the store meanwhile, and answers requests one after the other.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <iostream>
#include <span>
#include <thread>
#include <utility>

#include "libbase/fs/host_tree.h"
#include "tools/cachectl/go_session.h"
#include "tools/cachectl/json.h"
#include "tools/cachectl/verb.h"
#include "tools/engine/server.h"

namespace cairn::cachectl {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

struct GoArguments {};

constexpr std::chrono::milliseconds retry_pause{20};

// Another go command may be at work on this store: its end is waited for.
Result<std::unique_ptr<engine::Engine>> own_store(const engine::StoreOptions& options) {
  const auto give_up_at = std::chrono::steady_clock::now() + options.patience;
  bool said = false;
  for (;;) {
    auto engine = engine::Engine::open(options.engine);
    if (engine || engine.error().code != ErrorCode::busy) return engine;
    if (options.daemon == engine::Daemon::refused || std::chrono::steady_clock::now() > give_up_at) {
      engine.error().hint = "a store has one owner; end it, or let Go use another store";
      return engine;
    }
    if (!std::exchange(said, true))
      std::cerr << "cachectl: gocacheprog waits: " << printable(engine.error().message) << '\n';
    std::this_thread::sleep_for(retry_pause);
  }
}

Result<std::size_t> read_some(std::span<char> into) {
  ssize_t count;
  do {
    count = ::read(STDIN_FILENO, into.data(), into.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0) return base::fail_errno(errno, "read standard input");
  return static_cast<std::size_t>(count);
}

Status write_answers(std::string_view answers) {
  TRY(base::write_full(STDOUT_FILENO, answers), "answer Go");
  return {};
}

Status talk(GoSession& session) {
  TRY(write_answers(GoSession::greeting()));
  std::string buffer(256 * 1024, '\0'), answers;
  for (;;) {
    const std::size_t count = TRY(read_some(buffer));
    if (count == 0 && session.is_between()) return {};
    if (count == 0) return base::fail(ErrorCode::invalid_argument, "standard input ends in the middle of a request");
    answers.clear();
    const auto goes_on = session.take(std::string_view(buffer).substr(0, count), answers);
    TRY(write_answers(answers));
    if (!TRY(goes_on)) return {};
  }
}

// Whoever says it in JSON can say no other path.
Status expect_text(const base::HostPath& root) {
  const auto said = nlohmann::json::parse(json_text(nlohmann::ordered_json(root.str())), nullptr, false);
  if (said == root.str()) return {};
  return base::fail(ErrorCode::invalid_argument, "--root {}: Go takes only paths in UTF-8", root.str());
}

Status serve_go(const GlobalOptions& global) {
  const engine::StoreOptions options = TRY(store_options(global));
  TRY(expect_text(options.engine.root));
  const auto engine = TRY(own_store(options));
  // They go to all that the terminal has started. Go ends well then, and this after it, with its standard input.
  for (const int signal : {SIGINT, SIGHUP}) ::signal(signal, SIG_IGN);
  const auto server = TRY(engine::Server::start(*engine));
  Status talked;
  {
    // On the disk of the store, which has to have room for them; and whatever ends this process, whoever opens the
    // store next empties tmp.
    const auto folder = TRY(base::TemporaryDir::create(engine->root() / "tmp", "gocacheprog-"));
    const base::SystemClock clock;
    GoSession session(engine->cache(), folder.path(), clock);
    talked = talk(session);
    if (const Status settled = session.settle(); talked && !settled) talked = settled;
    const GoCounts& counts = session.counts();
    std::cerr << fmt::format("gocacheprog: hits {} ({} bytes), misses {}, puts {} ({} bytes), errors {}\n", counts.hits,
                             counts.read_bytes, counts.misses, counts.puts, counts.written_bytes, counts.errors);
  }
  server->drain();
  return talked;
}

ExitCode run_gocacheprog(const GlobalOptions& global, const GoArguments&) {
  if (is_terminal(STDIN_FILENO))
    return report_usage({.code = ErrorCode::invalid_argument,
                         .message = "gocacheprog: a go command talks with it, and nobody at a terminal",
                         .hint = "GOCACHEPROG=\"cachectl gocacheprog --root DIR\" go build"});
  const Status served = serve_go(global);
  return served ? ExitCode::done : report_error(served.error());
}

}  // namespace

void add_gocacheprog(CLI::App& app, Program& program) {
  add_verb<GoArguments>(app, program, "gocacheprog",
                        R"(The cache of go commands: what they start as GOCACHEPROG and talk with.

Examples:
  GOCACHEPROG="cachectl gocacheprog --root DIR" go build ./...

Makes the store if it is missing or empty, and owns it until the go command ends; another go command waits for it,
--owner-timeout seconds at most.)",
                        run_gocacheprog);
}

}  // namespace cairn::cachectl
