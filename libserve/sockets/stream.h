// SPDX-License-Identifier: Apache-2.0
// The bytes of a connection, with TLS or without. What protocols read and write is the same.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "libserve/sockets/peer.h"

namespace cairn::serve {

class Stream {
 public:
  using Plain = boost::beast::basic_stream<boost::asio::generic::stream_protocol>;
  using Tls = boost::asio::ssl::stream<Plain>;
  using executor_type = Plain::executor_type;

  explicit Stream(Plain plain) : plain_(std::move(plain)) {}
  Stream(Plain plain, boost::asio::ssl::context& context) : tls_(std::make_unique<Tls>(std::move(plain), context)) {}

  // What TLS needs to be said before anything else; the names of the client's certificate go into `peer`. False: it was not
  // TLS, or of a kind that is not spoken here, or the certificate is none of ours.
  boost::asio::awaitable<bool> begin(std::chrono::milliseconds at_most, Peer& peer);
  // Says that nothing more comes, and waits little for the other side.
  boost::asio::awaitable<void> end();

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    if (tls_) return tls_->async_read_some(buffers, std::forward<Token>(token));
    return plain_->async_read_some(buffers, std::forward<Token>(token));
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    if (tls_) return tls_->async_write_some(buffers, std::forward<Token>(token));
    return plain_->async_write_some(buffers, std::forward<Token>(token));
  }

  executor_type get_executor() { return plain().get_executor(); }
  Plain::socket_type& socket() { return plain().socket(); }
  void expires_after(std::chrono::nanoseconds time) { plain().expires_after(time); }
  void expires_at(std::chrono::steady_clock::time_point time) { plain().expires_at(time); }
  void close() { plain().close(); }

 private:
  Plain& plain() { return tls_ ? tls_->next_layer() : *plain_; }
  std::optional<Plain> plain_;
  std::unique_ptr<Tls> tls_;
};

}  // namespace cairn::serve
