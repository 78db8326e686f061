// SPDX-License-Identifier: Apache-2.0
#include "libserve/http/connection.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <ctime>

#include "libbase/log/log.h"
#include "libserve/http/words.h"
#include "libserve/sockets/steps.h"

namespace cairn::serve {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using base::Status;
using boost::system::error_code;

namespace {

constexpr auto as_result = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t piece_bytes = 256 * 1024;
constexpr std::size_t idle_buffer_bytes = 4096;
constexpr std::size_t read_bytes = 64 * 1024;  // Beast asks for no more at once
constexpr std::size_t skipped_bytes_max = 1 << 20;

Method method_of(http::verb verb) {
  switch (verb) {
    case http::verb::get: return Method::get;
    case http::verb::head: return Method::head;
    case http::verb::put: return Method::put;
    case http::verb::post: return Method::post;
    case http::verb::delete_: return Method::remove;
    case http::verb::options: return Method::options;
    case http::verb::propfind: return Method::propfind;
    case http::verb::mkcol: return Method::mkcol;
    default: return Method::other;
  }
}

// Its handler may wait for disks, or for room.
bool changes_something(Method method) {
  return method == Method::put || method == Method::remove || method == Method::post;
}

template <class Parser>
Request request_of(const Parser& parser) {
  const auto& message = parser.get();
  Request request;
  request.method = method_of(message.method());
  request.target = std::string(message.target());
  for (const auto& field : message)
    request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  if (const auto length = parser.content_length()) request.content_length = *length;
  request.chunked = parser.chunked();
  request.may_be_chunked = message.version() >= 11;
  return request;
}

// Made once a second on each thread.
std::string_view http_date() {
  thread_local std::time_t made_at = 0;
  thread_local std::array<char, 40> text{};
  thread_local std::size_t size = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &utc);
    made_at = now;
  }
  return {text.data(), size};
}

bool has_no_body(unsigned status) { return status == 204 || status == 304; }

std::string head_of(const Reply& reply, bool keep, bool is_http_10) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", reply.status, reason_of(reply.status), http_date());
  const bool packed = reply.encoding != base::Compression::none;
  for (const Header& header : reply.headers)
    head += packed && header.name == "ETag" ? fmt::format("ETag: W/{}\r\n", header.value)
                                            : fmt::format("{}: {}\r\n", header.name, header.value);
  if (packed)
    head += "Content-Encoding: zstd\r\nTransfer-Encoding: chunked\r\n";
  else if (!has_no_body(reply.status))
    head += fmt::format("Content-Length: {}\r\n", reply.size.value_or(reply.text.size()));
  if (!keep) head += "Connection: close\r\n";
  if (keep && is_http_10) head += "Connection: keep-alive\r\n";
  return head += "\r\n";
}

// What is small and is to be packed after all becomes a source like others.
class TextSource final : public base::ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = text_.copy(reinterpret_cast<char*>(out.data()), out.size(), at_);
    at_ += count;
    return count;
  }

 private:
  const std::string text_;
  std::size_t at_ = 0;
};

}  // namespace

asio::awaitable<void> Connection::run() {
  Next next = co_await stream_.begin(shared_.options.header_time, peer_) ? Next::go_on : Next::end;
  while (next == Next::go_on) next = co_await serve_one();
  if (unread_) co_await linger(stream_);
  co_await stream_.end();
}

void Connection::end_when_idle() {
  if (idle_) end_now();
}
void Connection::end_now() { stream_.close(); }

asio::awaitable<Connection::Next> Connection::wait_for_request() {
  if (shared_.draining.load()) co_return Next::end;
  if (buffer_.capacity() > idle_buffer_bytes) buffer_.shrink_to_fit();
  idle_ = true;
  stream_.expires_after(shared_.options.idle_time);
  const auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(idle_buffer_bytes), as_result);
  idle_ = false;
  buffer_.commit(count);
  co_return error ? Next::end : Next::go_on;
}

asio::awaitable<Connection::Next> Connection::serve_one() {
  if (buffer_.size() == 0) {
    const Next next = co_await wait_for_request();
    if (next == Next::end) co_return Next::end;
  }
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(shared_.options.header_bytes_max));
  parser.body_limit(boost::none);  // the door says how much it takes
  stream_.expires_after(shared_.options.header_time);
  const auto [error, count] = co_await http::async_read_header(stream_, buffer_, parser, as_result);
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    co_return co_await refuse(431, "the header is too long");
  if (error && error != http::error::end_of_stream && error != http::error::partial_message &&
      error.category() == http::make_error_code(http::error::bad_method).category())
    co_return co_await refuse(400, error.message());
  if (error) co_return Next::end;
  co_return co_await serve(parser);
}

asio::awaitable<Connection::Next> Connection::serve(Parser& parser) {
  Request request = request_of(parser);
  request.peer = &peer_;
  keep_ = parser.keep_alive() && !shared_.draining.load();
  const std::string_view expect = request.header("Expect");
  const bool asks_first = same_word(expect, "100-continue");
  if (!expect.empty() && !asks_first) co_return co_await refuse(417, "only 100-continue can be expected");
  // What Beast does not know it takes for nothing: then the two ends of a proxy could see two different requests.
  const std::string_view transfer = request.header("Transfer-Encoding");
  if (!transfer.empty() && !same_word(transfer, "chunked"))
    co_return co_await refuse(501, "only chunked is known as a transfer coding");
  if (request.may_be_chunked && request.header("Host").empty()) co_return co_await refuse(400, "there is no Host");

  Begun begun;
  const auto begin = [&] { begun = shared_.handler(request); };
  if (changes_something(request.method))
    co_await on_worker(shared_.workers, begin);
  else
    begin();
  while (begun.later) co_await settle(begun);
  Next next = Next::go_on;
  if (begun.sink) {
    if (asks_first && !parser.is_done()) next = co_await write("HTTP/1.1 100 Continue\r\n\r\n");
    if (next == Next::go_on) next = co_await take_body(parser, begun, begun.answer);
  } else if (!parser.is_done()) {
    unread_ = asks_first || request.content_length.value_or(0) > skipped_bytes_max;
    if (!unread_) next = co_await skip_body(parser);
  }
  if (next == Next::end) co_return Next::end;
  if (unread_) keep_ = false;
  Answer answer = std::move(begun.answer);
  begun.sink.reset();
  if (answer.durable != 0) {
    const Status kept = co_await durable(shared_.waits, answer.durable);
    if (!kept) answer.reply = error_reply(kept.error());
  }
  co_return co_await send(std::move(answer.reply), request, begun.door);
}

asio::awaitable<void> Connection::settle(Begun& begun) {
  if (begun.wait) co_await waited(begun.wait);
  const auto later = [&] {
    const std::string_view door = begun.door;
    begun = begun.later();
    if (begun.door.empty()) begun.door = door;
  };
  co_await on_worker(shared_.workers, later);
}

// An answer before the end of the body is the last one of its connection.
asio::awaitable<Connection::Next> Connection::take_body(Parser& parser, Begun& begun, Answer& answer) {
  const std::uint64_t announced = parser.content_length() ? *parser.content_length() : piece_bytes;
  std::string piece(static_cast<std::size_t>(std::min<std::uint64_t>(announced, piece_bytes)), '\0');
  // Beast asks the socket for as much as the buffer holds, which while idle is little.
  if (announced > idle_buffer_bytes) buffer_.reserve(read_bytes);
  std::uint64_t received = 0;
  Status written;
  while (!parser.is_done()) {
    auto& body = parser.get().body();
    body.data = piece.data();
    body.size = piece.size();
    stream_.expires_after(shared_.options.piece_time);
    const auto [error, count] = co_await http::async_read(stream_, buffer_, parser, as_result);
    if (error && error != http::error::need_buffer)
      co_return Next::end;  // whoever sent it has gone, or speaks another language
    const std::string_view got(piece.data(), piece.size() - body.size);
    received += got.size();
    shared_.traffic.received_bytes += got.size();
    if (received > begun.body_max) {
      unread_ = true;
      answer = {text_reply(413, fmt::format("{} bytes are the most", begun.body_max))};
      co_return Next::go_on;
    }
    const auto take = [&] { written = begun.sink->write(got); };
    if (received > piece_bytes)
      co_await on_worker(shared_.workers, take);
    else
      take();
    if (written) continue;
    unread_ = !parser.is_done();
    answer = {error_reply(written.error())};
    co_return Next::go_on;
  }
  const auto finish = [&] { answer = begun.sink->finish(); };
  co_await on_worker(shared_.workers, finish);
  co_return Next::go_on;
}

asio::awaitable<Connection::Next> Connection::skip_body(Parser& parser) {
  std::array<char, 4096> piece;
  std::size_t skipped = 0;
  while (!parser.is_done() && skipped < skipped_bytes_max) {
    auto& body = parser.get().body();
    body.data = piece.data();
    body.size = piece.size();
    stream_.expires_after(shared_.options.piece_time);
    const auto [error, count] = co_await http::async_read(stream_, buffer_, parser, as_result);
    if (error && error != http::error::need_buffer) co_return Next::end;
    skipped += piece.size() - body.size;
  }
  unread_ = !parser.is_done();
  co_return Next::go_on;
}

asio::awaitable<Connection::Next> Connection::send(Reply reply, const Request& request, std::string_view door) {
  shared_.traffic.count(door, reply.status);
  const bool head_only = request.method == Method::head || has_no_body(reply.status);
  if (reply.encoding != base::Compression::none && !reply.source)
    reply.source = std::make_unique<TextSource>(std::move(reply.text));
  if (shared_.draining.load()) keep_ = false;
  const std::string head = head_of(reply, keep_, !request.may_be_chunked);
  if (!head_only) shared_.traffic.sent_bytes += reply.source ? reply.size.value_or(0) : reply.text.size();
  const std::string_view text = head_only || reply.source ? std::string_view() : std::string_view(reply.text);
  Next next = co_await write(head, text);
  if (next == Next::go_on && reply.source && !head_only) {
    if (reply.encoding == base::Compression::none)
      next = co_await send_source(reply);
    else
      next = co_await send_packed(reply);
  }
  co_return keep_ ? next : Next::end;
}

// What cannot be read to its end is not ended as if it were whole.
asio::awaitable<Connection::Next> Connection::send_source(Reply& reply) {
  std::string piece(piece_bytes, '\0');
  for (std::uint64_t left = reply.size.value_or(0); left > 0;) {
    const auto count = reply.source->read(std::as_writable_bytes(std::span(piece)));
    if (!count || *count == 0 || *count > left) co_return Next::end;
    left -= *count;
    const Next next = co_await write(std::string_view(piece).substr(0, *count));
    if (next == Next::end) co_return Next::end;
  }
  co_return Next::go_on;
}

asio::awaitable<Connection::Next> Connection::send_packed(Reply& reply) {
  std::string packed;
  const auto encoder = base::make_encoder(
      base::Compression::zstd,
      [&](std::string_view bytes) -> Status {
        packed += bytes;
        return {};
      },
      1);
  std::string piece(piece_bytes, '\0');
  for (bool more = true; more;) {
    const auto count = reply.source->read(std::as_writable_bytes(std::span(piece)));
    if (!count) co_return Next::end;
    more = *count > 0;
    const Status encoded = more ? encoder->write(std::string_view(piece).substr(0, *count)) : encoder->finish();
    if (!encoded) co_return Next::end;
    if (packed.empty()) continue;
    const std::string chunk = fmt::format("{:x}\r\n{}\r\n", packed.size(), packed);
    packed.clear();
    const Next next = co_await write(chunk);
    if (next == Next::end) co_return Next::end;
  }
  co_return co_await write("0\r\n\r\n");
}

asio::awaitable<Connection::Next> Connection::write(std::string_view first, std::string_view second) {
  const std::array<asio::const_buffer, 2> both = {asio::buffer(first.data(), first.size()),
                                                  asio::buffer(second.data(), second.size())};
  stream_.expires_after(shared_.options.piece_time);
  const auto [error, count] = co_await asio::async_write(stream_, both, as_result);
  co_return error ? Next::end : Next::go_on;
}

asio::awaitable<Connection::Next> Connection::refuse(unsigned status, std::string why) {
  base::log_info("a request is refused with {}: {}", status, why);
  shared_.traffic.count("none", status);
  keep_ = false;
  unread_ = true;
  const Reply reply = text_reply(status, std::move(why));
  const std::string head = head_of(reply, false, false);
  co_await write(head, reply.text);
  co_return Next::end;
}

}  // namespace cairn::serve
