// SPDX-License-Identifier: Apache-2.0
#include "libserve/sockets/steps.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace cairn::serve {

namespace asio = boost::asio;
using base::Status;
using boost::system::error_code;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds linger_time{2};

}  // namespace

asio::awaitable<void> linger(Stream& stream) {
  error_code ignored;
  stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
  stream.expires_after(linger_time);
  std::array<char, 4096> piece;
  for (;;) {
    const auto [error, count] = co_await stream.async_read_some(asio::buffer(piece), as_result);
    if (error) co_return;
  }
}

asio::awaitable<void> on_worker(asio::thread_pool& workers, std::function<void()> work) {
  const auto start = [&workers, &work](auto handler) {
    const auto back = asio::get_associated_executor(handler);
    asio::post(workers, [&work, back, handler = std::move(handler)]() mutable {
      work();
      asio::post(back, std::move(handler));
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(start, asio::use_awaitable);
}

asio::awaitable<void> waited(BeginWaiting begin) {
  const auto start = [&begin](auto handler) {
    const auto kept = std::make_shared<decltype(handler)>(std::move(handler));
    begin([kept] {
      const auto back = asio::get_associated_executor(*kept);
      asio::post(back, [kept]() mutable { std::move (*kept)(); });
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(start, asio::use_awaitable);
}

asio::awaitable<Status> durable(DurableWaits& waits, base::lmdb::SequenceNumber number) {
  Status outcome;
  const auto begin = [&waits, &outcome, number](std::function<void()> done) {
    waits.add(number, [&outcome, done = std::move(done)](Status status) {
      outcome = std::move(status);
      done();
    });
  };
  co_await waited(begin);
  co_return outcome;
}

}  // namespace cairn::serve
