// SPDX-License-Identifier: Apache-2.0
#include "libserve/sockets/stream.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "libbase/log/log.h"
#include "libserve/sockets/tls_context.h"

namespace cairn::serve {

namespace asio = boost::asio;

namespace {
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds goodbye_time{1};
}  // namespace

asio::awaitable<bool> Stream::begin(std::chrono::milliseconds at_most, Peer& peer) {
  if (!tls_) co_return true;
  expires_after(at_most);
  const auto [error] = co_await tls_->async_handshake(asio::ssl::stream_base::server, as_result);
  if (error) {
    base::log_info("no TLS with {}: {}", peer.address, error.message());
    co_return false;
  }
  peer.certificate = certificate_names(tls_->native_handle());
  co_return true;
}

asio::awaitable<void> Stream::end() {
  if (tls_ && socket().is_open()) {
    expires_after(goodbye_time);
    co_await tls_->async_shutdown(as_result);
  }
  boost::system::error_code ignored;
  socket().shutdown(asio::socket_base::shutdown_both, ignored);
  close();
}

}  // namespace cairn::serve
