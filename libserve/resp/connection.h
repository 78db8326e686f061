// SPDX-License-Identifier: Apache-2.0
// One connection: commands one after the other, answered in their order. Answers to commands that came together leave
// together, when all that they say is durable. Every step has its time: a client that dawdles loses its connection.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libserve/resp/parser.h"
#include "libserve/resp/session.h"
#include "libserve/resp_server.h"
#include "libserve/sockets/durable_waits.h"
#include "libserve/sockets/server.h"

namespace cairn::serve {

// What all connections of a server share.
struct RespShared {
  const RespOptions& options;
  Intake& intake;
  const Access& access;
  const base::Clock& clock;
  DurableWaits& waits;
  Traffic& traffic;
  boost::asio::thread_pool& workers;
  const std::atomic<bool>& draining;
};

class RespConnection final : public SocketConnection {
 public:
  RespConnection(RespShared shared, Stream stream, Peer peer);
  boost::asio::awaitable<void> run() override;
  void end_when_idle() override;
  void end_now() override { stream_.close(); }
  Stream::executor_type executor() override { return stream_.get_executor(); }

 private:
  enum class Next : std::uint8_t { go_on, end };
  boost::asio::awaitable<Next> take_step();
  boost::asio::awaitable<Next> read_more();
  boost::asio::awaitable<void> take_piece(std::string_view piece);
  boost::asio::awaitable<Next> run_command();
  boost::asio::awaitable<Next> refuse(std::string_view why);
  boost::asio::awaitable<Next> add(RespAnswer answer);
  boost::asio::awaitable<Next> flush();
  boost::asio::awaitable<Next> send_source(RespAnswer& answer);
  boost::asio::awaitable<Next> write(std::string_view bytes);
  boost::asio::awaitable<void> work(std::function<void()> what);

  const RespShared shared_;
  Stream stream_;
  Peer peer_;
  RespParser parser_;
  RespSession session_;
  std::string buffer_;
  std::string_view unread_;  // of the buffer
  std::vector<RespAnswer> answers_;
  std::size_t answers_bytes_ = 0;
  std::chrono::steady_clock::time_point deadline_;   // of what is being read
  std::uint64_t value_bytes_ = 0, piece_bytes_ = 0;  // read of a value; since the deadline was moved
  bool idle_ = false;
  bool begun_ = false;  // there is a deadline
  bool in_value_ = false;
  bool lingers_ = false;  // something of the client is still on its way
};

}  // namespace cairn::serve
