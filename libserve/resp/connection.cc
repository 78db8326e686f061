// SPDX-License-Identifier: Apache-2.0
#include "libserve/resp/connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "libbase/log/log.h"
#include "libserve/sockets/steps.h"

namespace cairn::serve {

namespace asio = boost::asio;
using base::Status;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t piece_bytes_max = 256 * 1024;
constexpr std::size_t words_buffer_bytes = 16 * 1024;
constexpr std::size_t idle_buffer_bytes = 4096;
constexpr std::size_t answers_max = 1024;

}  // namespace

RespConnection::RespConnection(RespShared shared, Stream stream, Peer peer)
    : shared_(shared),
      stream_(std::move(stream)),
      peer_(std::move(peer)),
      parser_({.words_max = shared.options.words_max, .value_bytes_max = shared.options.value_max}),
      session_(shared.intake, shared.access, peer_, shared.clock) {}

asio::awaitable<void> RespConnection::run() {
  Next next = co_await stream_.begin(shared_.options.command_time, peer_) ? Next::go_on : Next::end;
  session_.begin();
  while (next == Next::go_on) next = co_await take_step();
  if (lingers_) co_await linger(stream_);
  co_await stream_.end();
}

void RespConnection::end_when_idle() {
  if (idle_) end_now();
}

asio::awaitable<RespConnection::Next> RespConnection::take_step() {
  switch (parser_.next(unread_)) {
    case RespParser::Step::more: co_return co_await read_more();
    case RespParser::Step::value: {
      value_bytes_ = piece_bytes_ = 0;
      in_value_ = begun_ = true;
      const auto begin = [this] { session_.begin_value(parser_.value_size()); };
      co_await work(begin);
      deadline_ = Clock::now() + shared_.options.piece_time;
      co_return Next::go_on;
    }
    case RespParser::Step::piece: co_await take_piece(parser_.piece()); co_return Next::go_on;
    case RespParser::Step::command: co_return co_await run_command();
    case RespParser::Step::broken: break;
  }
  co_return co_await refuse(parser_.error());
}

asio::awaitable<RespConnection::Next> RespConnection::read_more() {
  const Next flushed = co_await flush();
  if (flushed == Next::end) co_return Next::end;
  idle_ = parser_.is_between();
  if (idle_ && shared_.draining.load()) co_return Next::end;
  if (!idle_ && !std::exchange(begun_, true)) deadline_ = Clock::now() + shared_.options.command_time;
  const std::size_t busy_bytes = in_value_ ? piece_bytes_max : words_buffer_bytes;
  const std::size_t bytes = idle_ ? idle_buffer_bytes : busy_bytes;
  if (buffer_.size() != bytes) buffer_ = std::string(bytes, '\0');
  if (idle_)
    stream_.expires_after(shared_.options.idle_time);
  else
    stream_.expires_at(deadline_);
  const auto [error, count] = co_await stream_.async_read_some(asio::buffer(buffer_), as_result);
  idle_ = false;
  unread_ = std::string_view(buffer_).substr(0, count);
  co_return error ? Next::end : Next::go_on;
}

asio::awaitable<void> RespConnection::take_piece(std::string_view piece) {
  shared_.traffic.received_bytes += piece.size();
  value_bytes_ += piece.size();
  piece_bytes_ += piece.size();
  const auto take = [this, piece] { session_.write_value(piece); };
  if (value_bytes_ > piece_bytes_max)
    co_await work(take);
  else
    take();
  if (piece_bytes_ < piece_bytes_max) co_return;
  piece_bytes_ = 0;
  deadline_ = Clock::now() + shared_.options.piece_time;
}

asio::awaitable<RespConnection::Next> RespConnection::run_command() {
  RespAnswer answer;
  const auto run = [&] { answer = session_.run(parser_.words()); };
  if (RespSession::waits_for_disks(parser_.words()))
    co_await work(run);
  else
    run();
  if (answer.later) {
    const Next flushed = co_await flush();  // what was asked for before does not wait for it
    if (flushed == Next::end) co_return Next::end;
    co_await waited(answer.wait);
    const auto go_on = [&] { answer = answer.later(); };
    co_await work(go_on);
  }
  begun_ = in_value_ = false;
  co_return co_await add(std::move(answer));
}

asio::awaitable<RespConnection::Next> RespConnection::refuse(std::string_view why) {
  base::log_info("a connection that does not speak RESP ends: {}", why);
  RespAnswer answer = resp_error("ERR Protocol error: " + std::string(why));
  answer.last = lingers_ = true;
  co_return co_await add(std::move(answer));
}

asio::awaitable<RespConnection::Next> RespConnection::add(RespAnswer answer) {
  const bool last = answer.last, is_large = answer.source != nullptr;
  answers_bytes_ += answer.text.size();
  answers_.push_back(std::move(answer));
  if (!last && !is_large && answers_bytes_ < piece_bytes_max && answers_.size() < answers_max) co_return Next::go_on;
  const Next flushed = co_await flush();
  co_return last ? Next::end : flushed;
}

asio::awaitable<RespConnection::Next> RespConnection::flush() {
  std::string out;
  for (RespAnswer& answer : answers_) {
    if (answer.durable != 0) {
      const Status kept = co_await durable(shared_.waits, answer.durable);
      if (!kept) answer = resp_error(kept.error());
    }
    shared_.traffic.count(answer.door, static_cast<unsigned>(answer.outcome));
    out += answer.text;
    if (answer.outcome == RespOutcome::hit)
      shared_.traffic.sent_bytes += answer.source ? answer.size : answer.text.size();
    if (!answer.source) continue;
    const Next written = co_await write(out);
    if (written == Next::end) co_return Next::end;
    out = "\r\n";
    const Next sent = co_await send_source(answer);
    if (sent == Next::end) co_return Next::end;
  }
  answers_.clear();
  answers_bytes_ = 0;
  if (out.empty()) co_return Next::go_on;
  co_return co_await write(out);
}

// What cannot be read to its end is not ended as if it were whole.
asio::awaitable<RespConnection::Next> RespConnection::send_source(RespAnswer& answer) {
  std::string piece(piece_bytes_max, '\0');
  for (std::uint64_t left = answer.size; left > 0;) {
    const auto count = answer.source->read(std::as_writable_bytes(std::span(piece)));
    if (!count || *count == 0 || *count > left) co_return Next::end;
    left -= *count;
    const Next next = co_await write(std::string_view(piece).substr(0, *count));
    if (next == Next::end) co_return Next::end;
  }
  co_return Next::go_on;
}

asio::awaitable<RespConnection::Next> RespConnection::write(std::string_view bytes) {
  stream_.expires_after(shared_.options.piece_time);
  const auto [error, count] = co_await asio::async_write(stream_, asio::buffer(bytes.data(), bytes.size()), as_result);
  co_return error ? Next::end : Next::go_on;
}

// What our disks take is not the client's time.
asio::awaitable<void> RespConnection::work(std::function<void()> what) {
  const auto began = Clock::now();
  co_await on_worker(shared_.workers, std::move(what));
  deadline_ += Clock::now() - began;
}

}  // namespace cairn::serve
