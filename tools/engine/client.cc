// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/client.h"

#include <chrono>
#include <thread>

#include "libbase/log/log.h"
#include "libcache/stored_digest.h"
#include "tools/engine/protocol.h"
#include "tools/engine/server.h"

namespace cairn::engine {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

// An owner that is opening or closing the store has the lock and no socket yet or any more; that is over in moments.
constexpr std::chrono::milliseconds retry_pause{20};
constexpr std::chrono::seconds retry_max{30};

// The owner went away before it had answered.
struct Lost {};
template <class T>
using Asked = Result<tl::expected<T, Lost>>;

Result<std::string> event_bytes(const Message& message, const char* name) {
  const auto found = message.find(name);
  if (found == message.end() || !found->is_binary()) return fail(ErrorCode::corrupt, "event without \"{}\"", name);
  return std::string(found->get_binary().begin(), found->get_binary().end());
}

Status pass_on(const Message& message, solver::ProgressSink& progress) {
  const std::string name = message.value("event", "");
  if (name == "graph") {
    std::vector<solver::StepInfo> steps;
    for (const Message& step : message.value("steps", Message::array())) {
      steps.push_back({TRY(solver::VertexDigest::from_raw(TRY(event_bytes(step, "digest")))),
                       TRY(event_bytes(step, "name"))});
    }
    progress.on_graph(steps);
    return {};
  }
  const std::size_t step = message.value("step", std::size_t{0});
  if (name == "started") progress.on_started(step);
  if (name == "bytes") progress.on_bytes(step, message.value("done", 0ull), message.value("total", 0ull));
  if (name == "output") {
    const auto stream = message.value("stream", 1) == 2 ? solver::Stream::err : solver::Stream::out;
    progress.on_output(step, stream, TRY(event_bytes(message, "bytes")));
  }
  if (name == "finished") {
    progress.on_finished(step, static_cast<solver::StepState>(message.value("state", 0)),
                         std::chrono::nanoseconds(message.value("duration", std::int64_t{0})),
                         TRY(event_bytes(message, "error")));
  }
  return {};
}

// Sends the request and returns the body of "done".
Asked<Message> ask(const base::HostPath& root, const Message& request, solver::ProgressSink& progress,
                   std::stop_token stop) {
  Result<base::Fd> socket = connect_unix(root / "engine.sock");
  if (!socket) return tl::unexpected(Lost{});
  Channel channel(std::move(*socket));
  auto hello = channel.receive();
  if (!hello || !*hello) return tl::unexpected(Lost{});
  if ((*hello)->value("hello", 0) != protocol_version) {
    return fail(ErrorCode::busy, "the store's owner speaks another version of the protocol");
  }
  if (!channel.send(request)) return tl::unexpected(Lost{});
  const std::stop_callback on_stop(stop, [&channel] {
    if (!channel.send({{"cancel", true}})) channel.shut_down();
  });
  while (true) {
    auto message = channel.receive();
    if (!message || !*message) return tl::unexpected(Lost{});
    if ((*message)->contains("event")) {  // asked first: the event "bytes" has a number called "done"
      TRY(pass_on(**message, progress));
      continue;
    }
    if ((*message)->contains("done")) return (**message)["done"];
    if ((*message)->contains("failed")) return tl::unexpected(decode_error((**message)["failed"]));
  }
}

// Runs `as_owner` with an engine, or `request` with the owner, until one of them has come to an end.
template <class T>
Result<T> in_store(const StoreOptions& options, const Message& request, solver::ProgressSink& progress,
                   const std::stop_token& stop, const std::function<Result<T>(Engine&)>& as_owner,
                   const std::function<Result<T>(const Message&)>& decode) {
  const auto give_up_at = std::chrono::steady_clock::now() + retry_max;
  while (true) {
    auto engine = Engine::open(options.engine);
    if (engine) {
      std::unique_ptr<Server> server = TRY(Server::start(**engine));
      Result<T> result = as_owner(**engine);
      if (server->being_served() > 0) base::log_info("waiting for {} other requests to end", server->being_served());
      server->drain();
      return result;
    }
    if (engine.error().code != ErrorCode::busy || options.daemon == Daemon::refused) {
      return tl::unexpected(std::move(engine).error());
    }
    tl::expected<Message, Lost> answer = TRY(ask(options.engine.root, request, progress, stop));
    if (answer) return decode(*answer);
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
    if (std::chrono::steady_clock::now() > give_up_at) return tl::unexpected(std::move(engine).error());
    std::this_thread::sleep_for(retry_pause);
  }
}

// For verbs of a store that there is: asking must not make one.
template <class T, class Order>
Result<T> ask_store(const StoreOptions& options, const char* verb, const Order& order, const std::stop_token& stop,
                    const std::function<Result<T>(Engine&)>& as_owner, const std::function<Result<T>(const Message&)>& decode) {
  TRY(open_read_only(options.engine.root));
  Message request = encode(order);
  request["verb"] = verb;
  solver::NoProgress no_progress;
  return in_store<T>(options, request, no_progress, stop, as_owner, decode);
}

}  // namespace

Result<SolveReport> solve_in_store(const StoreOptions& options, const SolveOrder& order, solver::ProgressSink& progress,
                                   std::stop_token stop) {
  Message request = encode(order);
  request["verb"] = "solve";
  return in_store<SolveReport>(
      options, request, progress, stop,
      [&](Engine& engine) -> Result<SolveReport> { return run_order(engine, order, progress, stop); },
      decode_solve_report);
}

Result<PruneAnswer> prune_store(const StoreOptions& options, const PruneOrder& order, std::stop_token stop) {
  Message request = encode(order);
  request["verb"] = "prune";
  solver::NoProgress no_progress;
  return in_store<PruneAnswer>(
      options, request, no_progress, stop, [&](Engine& engine) { return run_prune(engine, order, stop); },
      decode_prune_answer);
}

Result<cache::ScrubReport> scrub_store(const StoreOptions& options, const cache::ScrubOptions& scrub, std::stop_token stop) {
  return ask_store<cache::ScrubReport>(
      options, "scrub", scrub, stop, [&](Engine& engine) { return engine.cache().scrub(scrub, stop); }, decode_scrub_report);
}

Result<TreeDigest> digest_in_store(const StoreOptions& options, const DigestOrder& order, std::stop_token stop) {
  {
    // Looking must not make a store where there is none.
    const auto env = TRY(open_read_only(options.engine.root));
    const auto digest = TRY(cache::stored_digest(*env, cache::RecordId(order.record), order.selection));
    if (digest) return *digest;
  }
  Message request = encode(order);
  request["verb"] = "digest";
  solver::NoProgress no_progress;
  return in_store<TreeDigest>(
      options, request, no_progress, stop, [&](Engine& engine) { return run_order(engine, order, stop); },
      decode_digest);
}

Result<Differences> differences_in_store(const StoreOptions& options, const DifferenceOrder& order, std::stop_token stop) {
  return ask_store<Differences>(
      options, "difference", order, stop, [&](Engine& engine) { return run_order(engine, order, stop); }, decode_differences);
}

Result<solver::ExportReport> export_from_store(const StoreOptions& options, const ExportOrder& order, std::stop_token stop) {
  return ask_store<solver::ExportReport>(
      options, "export", order, stop, [&](Engine& engine) { return run_order(engine, order, stop); }, decode_export_report);
}

Result<CacheMountAnswer> cache_mount_in_store(const StoreOptions& options, const CacheMountOrder& order, std::stop_token stop) {
  return ask_store<CacheMountAnswer>(
      options, "cache_mount", order, stop, [&](Engine& engine) { return run_order(engine, order, stop); }, decode_cache_mount_answer);
}

Result<cache::LeaseId> pin_in_store(const StoreOptions& options, const PinOrder& order, std::stop_token stop) {
  return ask_store<cache::LeaseId>(
      options, "pin", order, stop, [&](Engine& engine) { return run_order(engine, order); }, decode_pin);
}

Result<FilePiece> read_from_store(const StoreOptions& options, const FileOrder& order, std::stop_token stop) {
  return ask_store<FilePiece>(
      options, "read", order, stop, [&](Engine& engine) { return run_order(engine, order, stop); }, decode_file_piece);
}

}  // namespace cairn::engine
