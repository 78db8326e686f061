// SPDX-License-Identifier: Apache-2.0
// One connection: requests one after the other, each read, answered and, if it took something in, durable before it is
// answered. A coroutine on a strand; what waits for disks runs on other threads. Every step has its time: a client that
// dawdles loses its connection and nothing else.
#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <memory>
#include <optional>
#include <string>

#include "libserve/http/message.h"
#include "libserve/http_server.h"
#include "libserve/sockets/durable_waits.h"
#include "libserve/sockets/server.h"

namespace cairn::serve {

// What all connections of a server share.
struct Shared {
  const HttpOptions& options;
  DurableWaits& waits;
  Traffic& traffic;
  const Handler& handler;
  boost::asio::thread_pool& workers;
  const std::atomic<bool>& draining;
};

class Connection final : public SocketConnection {
 public:
  Connection(Shared shared, Stream stream, Peer peer)
      : shared_(shared), stream_(std::move(stream)), peer_(std::move(peer)), buffer_(buffer_max(shared.options)) {}

  boost::asio::awaitable<void> run() override;
  void end_when_idle() override;
  void end_now() override;
  Stream::executor_type executor() override { return stream_.get_executor(); }

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
  static std::size_t buffer_max(const HttpOptions& options) { return options.header_bytes_max + 128 * 1024; }

  // What comes of a step: go on, or the connection is over.
  enum class Next : std::uint8_t { go_on, end };
  boost::asio::awaitable<Next> wait_for_request();
  boost::asio::awaitable<Next> serve_one();
  boost::asio::awaitable<Next> serve(Parser& parser);
  boost::asio::awaitable<void> settle(Begun& begun);
  boost::asio::awaitable<Next> take_body(Parser& parser, Begun& begun, Answer& answer);
  boost::asio::awaitable<Next> skip_body(Parser& parser);
  boost::asio::awaitable<Next> send(Reply reply, const Request& request, std::string_view door);
  boost::asio::awaitable<Next> send_source(Reply& reply);
  boost::asio::awaitable<Next> send_packed(Reply& reply);
  boost::asio::awaitable<Next> write(std::string_view first, std::string_view second = {});
  boost::asio::awaitable<Next> refuse(unsigned status, std::string why);

  const Shared shared_;
  Stream stream_;
  Peer peer_;
  boost::beast::flat_buffer buffer_;
  bool idle_ = false;
  bool keep_ = true;     // the connection may serve another request after this one
  bool unread_ = false;  // something of the request is still on its way
};

}  // namespace cairn::serve
