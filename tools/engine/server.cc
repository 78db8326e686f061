// SPDX-License-Identifier: Apache-2.0
#include "tools/engine/server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <list>
#include <thread>

#include "libbase/log/log.h"
#include "libbase/sync.h"
#include "tools/engine/message_fields.h"

namespace cairn::engine {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

Message event(const char* name, std::size_t step) { return {{"event", name}, {"step", step}}; }

// Progress of a served solve, on its way to the client. A client that is gone is noticed by the receiving side.
class ChannelSink final : public solver::ProgressSink {
 public:
  explicit ChannelSink(Channel& channel) : channel_(channel) {}

  void on_graph(std::span<const solver::StepInfo> steps) override {
    Message list = Message::array();
    for (const solver::StepInfo& step : steps) {
      list.push_back({{"digest", bytes_of(step.digest.raw())}, {"name", bytes_of(step.name)}});
    }
    send({{"event", "graph"}, {"steps", std::move(list)}});
  }
  void on_started(std::size_t step) override { send(event("started", step)); }
  void on_output(std::size_t step, solver::Stream stream, std::string_view bytes) override {
    Message message = event("output", step);
    message["stream"] = static_cast<int>(stream);
    message["bytes"] = bytes_of(bytes);
    send(message);
  }
  void on_bytes(std::size_t step, std::uint64_t done, std::uint64_t total) override {
    Message message = event("bytes", step);
    message["done"] = done;
    message["total"] = total;
    send(message);
  }
  void on_finished(std::size_t step, solver::StepState state, std::chrono::nanoseconds duration,
                   std::string_view error) override {
    Message message = event("finished", step);
    message["state"] = static_cast<int>(state);
    message["duration"] = duration.count();
    message["error"] = bytes_of(error);
    send(message);
  }

 private:
  void send(const Message& message) {
    if (!gone_ && !channel_.send(message)) gone_ = true;
  }
  Channel& channel_;
  bool gone_ = false;
};

bool may_ask(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace

struct Server::State {
  struct Session {
    explicit Session(base::Fd socket) : channel(std::move(socket)) {}
    Channel channel;
    base::Fd output;  // of the client, if it has sent one
    std::stop_source stop;
    std::jthread thread;
    bool ended = false;
  };
  struct Sessions {
    std::list<std::unique_ptr<Session>> all;
    bool draining = false;
  };

  explicit State(Engine& engine_in) : engine(engine_in) {}

  void accept_all(std::stop_token stop);
  void admit(base::Fd socket);
  void serve(Session& session);
  Message answer(Session& session, const Message& request);
  void sweep();

  Engine& engine;
  base::Fd socket;
  base::Fd wake_up;
  base::Guarded<Sessions> sessions;
  std::condition_variable_any ended;
  std::jthread acceptor;
};

Server::Server() = default;

Result<std::unique_ptr<Server>> Server::start(Engine& engine) {
  std::unique_ptr<Server> server(new Server());
  server->state_ = std::make_unique<State>(engine);
  State& state = *server->state_;
  state.socket = TRY(listen_unix(engine.root() / "engine.sock"));
  state.wake_up = base::Fd(::eventfd(0, EFD_CLOEXEC));
  if (!state.wake_up) return base::fail_errno(errno, "make an eventfd");
  state.acceptor = std::jthread([&state](std::stop_token stop) { state.accept_all(std::move(stop)); });
  return server;
}

Server::~Server() {
  if (!state_) return;
  {
    auto sessions = state_->sessions.lock();
    for (auto& session : sessions->all) session->stop.request_stop();
  }
  drain();
}

void Server::State::accept_all(std::stop_token stop) {
  const std::stop_callback on_stop(stop, [this] {
    const std::uint64_t one = 1;
    if (::write(wake_up.get(), &one, sizeof one) < 0) base::log_warning("stop the server: {}", base::errno_text(errno));
  });
  while (!stop.stop_requested()) {
    pollfd waits[2] = {{socket.get(), POLLIN, 0}, {wake_up.get(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return;
    if ((waits[0].revents & POLLIN) == 0) continue;
    base::Fd client(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client) admit(std::move(client));
    sweep();
  }
}

void Server::State::admit(base::Fd client) {
  if (!may_ask(client.get())) return;  // closed without a word
  auto session = std::make_unique<Session>(std::move(client));
  Session& admitted = *session;
  auto all = sessions.lock();
  if (all->draining) return;
  all->all.push_back(std::move(session));
  admitted.thread = std::jthread([this, &admitted] {
    serve(admitted);
    auto done = sessions.lock();
    admitted.ended = true;
    ended.notify_all();
  });
}

void Server::State::sweep() {
  std::list<std::unique_ptr<Session>> gone;  // joined after the lock is free
  auto all = sessions.lock();
  for (auto session = all->all.begin(); session != all->all.end();) {
    const auto next = std::next(session);
    if ((*session)->ended) gone.splice(gone.end(), all->all, session);
    session = next;
  }
  all.lock().unlock();
}

void Server::State::serve(Session& session) {
  if (!session.channel.send({{"hello", protocol_version}})) return;
  auto request = session.channel.receive();
  if (!request || !*request) return;
  if ((*request)->value("output_fd", false)) {
    auto descriptor = session.channel.receive_descriptor();
    if (!descriptor) return;
    session.output = std::move(*descriptor);
  }
  // A second thread listens while the work goes on: a client that cancels or goes away stops it.
  std::jthread listener([&session] {
    while (true) {
      auto word = session.channel.receive();
      if (word && *word && !(*word)->contains("cancel")) continue;
      session.stop.request_stop();
      if (!word || !*word) return;
    }
  });
  const Message reply = answer(session, **request);
  if (const Status sent = session.channel.send(reply); !sent) {
    base::log_debug("answer a client: {}", sent.error().message);
  }
  session.channel.shut_down();
}

namespace {

Message failed(const base::Error& error) { return {{"failed", encode(error)}}; }

// Decodes what is asked for, does it, and encodes what came of it.
template <class Order, class Run>
Message answer_with(const Result<Order>& order, const Run& run) {
  if (!order) return failed(order.error());
  const auto done = run(*order);
  return done ? Message{{"done", encode(*done)}} : failed(done.error());
}

}  // namespace

Message Server::State::answer(Session& session, const Message& request) {
  const std::string verb = request.value("verb", "");
  const std::stop_token stop = session.stop.get_token();
  const auto run = [&](const auto& order) { return run_order(engine, order, stop); };
  if (verb == "solve") {
    Result<SolveOrder> order = decode_order(request);
    if (!order) return failed(order.error());
    order->output_fd = session.output.get();
    ChannelSink sink(session.channel);
    return {{"done", encode(run_order(engine, *order, sink, stop))}};
  }
  if (verb == "prune") return answer_with(decode_prune_order(request), [&](const PruneOrder& order) { return run_prune(engine, order, stop); });
  if (verb == "scrub")
    return answer_with(decode_scrub_options(request), [&](const cache::ScrubOptions& options) { return engine.cache().scrub(options, stop); });
  if (verb == "digest") return answer_with(decode_digest_order(request), run);
  if (verb == "difference") return answer_with(decode_difference_order(request), run);
  if (verb == "export") return answer_with(decode_export_order(request), run);
  if (verb == "cache_mount") return answer_with(decode_cache_mount_order(request), run);
  if (verb == "read") return answer_with(decode_file_order(request), run);
  if (verb == "mount") {
    const auto order = decode_mount_order(request);
    if (!order) return failed(order.error());
    const Status mounted = with_tree(engine, *order, [&](int tree, const std::stop_token& end) -> Status {
      TRY(session.channel.send({{"event", "mounted"}}));
      TRY(session.channel.send_descriptor(tree));
      wait_until_stopped(end);
      return {};
    }, stop);
    return mounted ? Message{{"done", Message::object()}} : failed(mounted.error());
  }
  if (verb == "pin") {
    const auto order = decode_pin_order(request);
    if (!order) return failed(order.error());
    const auto pin = run_order(engine, *order);
    return pin ? Message{{"done", encode_pin(*pin)}} : failed(pin.error());
  }
  if (verb == "promote") {
    const auto order = decode_promote_order(request);
    if (!order) return failed(order.error());
    const auto promoted = run_order(engine, *order);
    return promoted ? Message{{"done", encode(*promoted)}} : failed(promoted.error());
  }
  return failed({ErrorCode::invalid_argument, fmt::format("unknown verb \"{}\"", verb), {}});
}

void Server::drain() {
  if (state_->acceptor.joinable()) {
    ::unlink((state_->engine.root() / "engine.sock").c_str());
    state_->acceptor.request_stop();
    state_->acceptor.join();
    // Who is in the backlog gets a reset, not a wait.
    state_->socket.reset();
  }
  std::list<std::unique_ptr<State::Session>> ended;
  auto sessions = state_->sessions.lock();
  sessions->draining = true;
  state_->ended.wait(sessions.lock(), [&] {
    return std::all_of(sessions->all.begin(), sessions->all.end(), [](const auto& session) { return session->ended; });
  });
  ended.swap(sessions->all);
  sessions.lock().unlock();
}

std::size_t Server::being_served() const {
  auto sessions = state_->sessions.lock();
  return static_cast<std::size_t>(
      std::count_if(sessions->all.begin(), sessions->all.end(), [](const auto& session) { return !session->ended; }));
}

}  // namespace cairn::engine
