// SPDX-License-Identifier: Apache-2.0
#include "libremote/http/stream.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {

using std::chrono::milliseconds;

constexpr std::size_t received_bytes_max = 64 << 10;  // at once

milliseconds time_left(Stream::Deadline deadline) {
  return std::max(std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now()), milliseconds(0));
}

int on_progress(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}

std::string name_of(const StreamAddress& address) {
  return address.unix_socket.empty() ? fmt::format("{}:{}", address.host, address.port) : address.unix_socket;
}

}  // namespace

Stream::Stream(std::string name)
    : name_(std::move(name)), easy_(curl_easy_init()), woken_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(easy_ != nullptr, "curl gives no handle");
}

Stream::~Stream() { curl_easy_cleanup(easy_); }

Result<std::unique_ptr<Stream>> Stream::open(const StreamAddress& address, Deadline deadline, std::stop_token stop) {
  std::unique_ptr<Stream> stream(new Stream(name_of(address)));
  if (stream->woken_.get() < 0) return base::fail_errno(errno, "{}: eventfd", stream->name_);
  TRY(stream->connect(address, deadline, stop));
  return stream;
}

Status Stream::connect(const StreamAddress& address, Deadline deadline, const std::stop_token& stop) {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: cancelled", name_);
  const milliseconds left = time_left(deadline);
  if (left.count() == 0) return fail(ErrorCode::io, "{}: no connection in the time that there was", name_);
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy_, option, value); };
  const std::string host = address.unix_socket.empty() ? fmt::format("{}:{}", address.host, address.port) : "localhost";
  const std::string url = fmt::format("{}://{}/", address.has_tls ? "https" : "http", host);
  char why[CURL_ERROR_SIZE] = {};
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_CONNECT_ONLY, 1L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_SSL_ENABLE_ALPN, 0L);
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_ERRORBUFFER, why);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(left.count()));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  set(CURLOPT_XFERINFODATA, &stop);
  if (!address.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, address.unix_socket.c_str());
  if (!address.ca_file.empty()) set(CURLOPT_CAINFO, address.ca_file.c_str());
  const CURLcode code = curl_easy_perform(easy_);
  set(CURLOPT_ERRORBUFFER, nullptr);
  set(CURLOPT_NOPROGRESS, 1L);
  if (code == CURLE_ABORTED_BY_CALLBACK) return fail(ErrorCode::cancelled, "{}: cancelled", name_);
  if (code != CURLE_OK) return fail(ErrorCode::io, "{}: {}", name_, why[0] != '\0' ? why : curl_easy_strerror(code));
  curl_easy_getinfo(easy_, CURLINFO_ACTIVESOCKET, &socket_);
  if (socket_ == CURL_SOCKET_BAD) return fail(ErrorCode::io, "{}: the connection is gone", name_);
  return {};
}

Result<std::size_t> Stream::send_some(std::string_view bytes) {
  std::size_t count = 0;
  const CURLcode code = curl_easy_send(easy_, bytes.data(), bytes.size(), &count);
  if (code == CURLE_OK) return count;
  if (code == CURLE_AGAIN) return std::size_t{0};
  return fail(ErrorCode::io, "{}: send: {}", name_, curl_easy_strerror(code));
}

// To the last byte: what TLS has decrypted already, no poll tells of.
Result<bool> Stream::receive(const Take& take) {
  std::array<char, received_bytes_max> buffer;
  while (true) {
    std::size_t count = 0;
    const CURLcode code = curl_easy_recv(easy_, buffer.data(), buffer.size(), &count);
    if (code == CURLE_AGAIN) return false;
    if (code != CURLE_OK) return fail(ErrorCode::io, "{}: receive: {}", name_, curl_easy_strerror(code));
    if (count == 0) return fail(ErrorCode::io, "{}: it has closed the connection", name_);
    if (TRY(take({buffer.data(), count}), "{}", name_)) return true;
  }
}

Status Stream::wait(short events, Deadline deadline, const std::stop_token& stop) {
  if (stop.stop_requested()) return fail(ErrorCode::cancelled, "{}: cancelled", name_);
  const milliseconds left = time_left(deadline);
  if (left.count() == 0) return fail(ErrorCode::io, "{}: no answer in the time that there was", name_);
  pollfd fds[] = {{socket_, events, 0}, {woken_.get(), POLLIN, 0}};
  constexpr milliseconds at_once{60'000};  // what an int has room for, and more than enough to wake up for
  if (::poll(fds, 2, static_cast<int>(std::min(left, at_once).count())) < 0 && errno != EINTR) {
    return base::fail_errno(errno, "{}: poll", name_);
  }
  return {};
}

Status Stream::exchange(std::string_view bytes, const Take& take, Deadline deadline, const std::stop_token& stop) {
  eventfd_t earlier = 0;  // a stop that came when the last exchange was over
  ::eventfd_read(woken_.get(), &earlier);
  const std::stop_callback wake(stop, [this] { ::eventfd_write(woken_.get(), 1); });
  bool is_done = false;
  while (true) {
    std::size_t sent = 0;
    if (!bytes.empty()) sent = TRY(send_some(bytes));
    bytes.remove_prefix(sent);
    if (!is_done) is_done = TRY(receive(take));
    if (is_done && bytes.empty()) return {};
    // Whoever has all of the answer without all of the question speaks something else.
    if (is_done) return fail(ErrorCode::io, "{}: it answers before it is asked", name_);
    const short events = bytes.empty() ? POLLIN : POLLIN | POLLOUT;
    TRY(wait(events, deadline, stop));
  }
}

}  // namespace cairn::remote
