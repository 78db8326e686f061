// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/client.h"

#include <poll.h>

#include <atomic>
#include <cerrno>
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

// What is done with an event; a message ends the request as the body of "done" does.
using OnEvent = std::function<Result<std::optional<Message>>(const Message& event, Channel& channel)>;

Result<std::optional<Message>> ignore_event(const Message&, Channel&) { return std::optional<Message>(); }

// An owner that is stopped takes connections and says nothing.
Status greet(Channel& channel, std::chrono::milliseconds patience) {
  TRY(channel.set_patience(patience));
  const auto hello = TRY(channel.receive());
  if (!hello) return fail(ErrorCode::unavailable, "the other process went away");
  if (hello->value("hello", 0) != protocol_version) return fail(ErrorCode::busy, "the store's owner speaks another version of the protocol");
  return channel.set_patience(std::chrono::milliseconds(0));
}

// What is asked for, and a descriptor that goes with it, or -1.
struct Request {
  Message message;
  int descriptor = -1;
};

// Sends the request and returns the body of "done".
Asked<Message> ask(const base::HostPath& root, const Request& request, const OnEvent& on_event, std::chrono::milliseconds patience,
                   std::stop_token stop) {
  Result<base::Fd> socket = connect_unix(root / "engine.sock");
  if (!socket) return tl::unexpected(Lost{});
  Channel channel(std::move(*socket));
  {
    const std::stop_callback on_stop(stop, [&channel] { channel.shut_down(); });
    const Status greeted = greet(channel, patience);
    if (!greeted && greeted.error().code == ErrorCode::busy) return tl::unexpected(greeted.error());
    if (!greeted) return tl::unexpected(Lost{});
  }
  if (!channel.send(request.message)) return tl::unexpected(Lost{});
  if (request.descriptor >= 0 && !channel.send_descriptor(request.descriptor)) return tl::unexpected(Lost{});
  const std::stop_callback on_stop(stop, [&channel] {
    if (!channel.send({{"cancel", true}})) channel.shut_down();
  });
  while (true) {
    auto message = channel.receive();
    if (!message || !*message) return tl::unexpected(Lost{});
    if ((*message)->contains("event")) {  // asked first: the event "bytes" has a number called "done"
      if (auto done = TRY(on_event(**message, channel))) return std::move(*done);
      continue;
    }
    if ((*message)->contains("done")) return (**message)["done"];
    if ((*message)->contains("failed")) return tl::unexpected(decode_error((**message)["failed"]));
  }
}

base::Error no_answer(const base::HostPath& root) {
  const std::optional<int> pid = owner_pid(root);
  return {.code = ErrorCode::busy,
          .message = fmt::format("store {}: process {}, which owns it, does not answer", root.str(), pid ? std::to_string(*pid) : std::string("(unknown)")),
          .hint = "if it is stopped, kill -CONT lets it go on; if it is of no use any more, end it"};
}

// Runs `as_owner` with an engine, or `request` with the owner, until one of them has come to an end.
template <class T>
Result<T> in_store(const StoreOptions& options, const Request& request, const OnEvent& on_event,
                   const std::stop_token& stop, const std::function<Result<T>(Engine&)>& as_owner,
                   const std::function<Result<T>(const Message&)>& decode) {
  const auto give_up_at = std::chrono::steady_clock::now() + options.patience;
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
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(give_up_at - std::chrono::steady_clock::now());
    tl::expected<Message, Lost> answer = TRY(ask(options.engine.root, request, on_event, std::max(left, retry_pause), stop));
    if (answer) return decode(*answer);
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
    if (std::chrono::steady_clock::now() > give_up_at) return tl::unexpected(no_answer(options.engine.root));
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
  return in_store<T>(options, {std::move(request)}, ignore_event, stop, as_owner, decode);
}

}  // namespace

Result<SolveReport> solve_in_store(const StoreOptions& options, const SolveOrder& order, solver::ProgressSink& progress,
                                   std::stop_token stop) {
  Message request = encode(order);
  request["verb"] = "solve";
  const OnEvent on_event = [&](const Message& event, Channel&) -> Result<std::optional<Message>> {
    TRY(pass_on(event, progress));
    return std::optional<Message>();
  };
  return in_store<SolveReport>(
      options, {std::move(request), order.output_fd}, on_event, stop,
      [&](Engine& engine) -> Result<SolveReport> { return run_order(engine, order, progress, stop); },
      decode_solve_report);
}

Result<PruneAnswer> prune_store(const StoreOptions& options, const PruneOrder& order, std::stop_token stop) {
  Message request = encode(order);
  request["verb"] = "prune";
  return in_store<PruneAnswer>(
      options, {std::move(request)}, ignore_event, stop, [&](Engine& engine) { return run_prune(engine, order, stop); },
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
  return in_store<TreeDigest>(
      options, {std::move(request)}, ignore_event, stop, [&](Engine& engine) { return run_order(engine, order, stop); },
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

Result<Promoted> promote_in_store(const StoreOptions& options, const PromoteOrder& order, std::stop_token stop) {
  return ask_store<Promoted>(
      options, "promote", order, stop, [&](Engine& engine) { return run_order(engine, order); }, decode_promoted);
}

Status read_from_store(const StoreOptions& options, FileOrder order, const TakePiece& take, std::stop_token stop) {
  // Whether there is more.
  const auto pass_piece = [&](const FilePiece& piece) -> Result<bool> {
    if (!TRY(take(piece.bytes))) return false;
    order.offset += piece.bytes.size();
    return !piece.bytes.empty() && order.offset < piece.file_size;
  };
  const auto as_owner = [&](Engine& engine) -> Result<bool> {
    while (TRY(pass_piece(TRY(run_order(engine, order, stop)))))
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "cancelled");
    return false;
  };
  const auto decode = [&](const Message& message) -> Result<bool> { return pass_piece(TRY(decode_file_piece(message))); };
  while (TRY(ask_store<bool>(options, "read", order, stop, as_owner, decode))) {}
  return {};
}

namespace {

// Ends what a tree is used for when the owner that holds it goes away, or wants to.
class OwnerWatch {
 public:
  OwnerWatch(Channel& channel, std::stop_source& end)
      : channel_(channel), thread_([this, &end] {
          pollfd socket{.fd = channel_.fd(), .events = POLLIN | POLLRDHUP, .revents = 0};
          while (::poll(&socket, 1, -1) < 0 && errno == EINTR) {}
          gone_ = !over_;
          end.request_stop();
        }) {}
  ~OwnerWatch() { stop(); }
  // True: the owner has gone away before.
  bool stop() {
    if (!thread_.joinable()) return gone_;
    over_ = true;
    channel_.shut_down();
    thread_.join();
    return gone_;
  }

 private:
  Channel& channel_;
  std::atomic<bool> over_ = false, gone_ = false;
  std::jthread thread_;
};

}  // namespace

Status with_tree_of_store(const StoreOptions& options, const MountOrder& order, const UseTree& use, std::stop_token stop) {
  std::stop_source asking;  // once the tree is there, `use` decides when it is over
  std::optional<std::stop_callback<std::function<void()>>> forward;
  forward.emplace(stop, [&asking] { asking.request_stop(); });
  const OnEvent on_event = [&](const Message& event, Channel& channel) -> Result<std::optional<Message>> {
    if (event.value("event", "") != "mounted") return std::optional<Message>();
    const base::Fd tree = TRY(channel.receive_descriptor());
    forward.reset();
    std::stop_source end;
    const std::stop_callback on_stop(stop, [&end] { end.request_stop(); });
    OwnerWatch watch(channel, end);
    TRY(use(tree.get(), end.get_token()));
    if (watch.stop() && !stop.stop_requested())
      return fail(ErrorCode::unavailable, "mount record {}: the process that owned the store has ended, and the mount with it", order.record);
    return std::optional<Message>(Message::object());
  };
  TRY(open_read_only(options.engine.root));
  Message request = encode(order);
  request["verb"] = "mount";
  const auto as_owner = [&](Engine& engine) -> Result<bool> {
    TRY(with_tree(engine, order, use, stop));
    return true;
  };
  TRY(in_store<bool>(options, {std::move(request)}, on_event, asking.get_token(), as_owner, [](const Message&) -> Result<bool> { return true; }));
  return {};
}

}  // namespace cairn::engine
