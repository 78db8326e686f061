// SPDX-License-Identifier: Apache-2.0
#include "libremote/redis/reply.h"

#include <charconv>

namespace cairn::remote {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t line_bytes_max = 4096;

// Digits as the protocol has them, with nothing around them.
std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string redis_command(std::initializer_list<std::string_view> words) {
  std::string out = fmt::format("*{}\r\n", words.size());
  for (const std::string_view word : words) {
    out += fmt::format("${}\r\n", word.size());
    out.append(word).append("\r\n");
  }
  return out;
}

Result<std::optional<RedisReply>> RedisReplies::next() {
  auto reply = read();
  if (reply && *reply && is_empty()) {
    buffer_.clear();
    at_ = 0;
  }
  return reply;
}

Result<std::optional<RedisReply>> RedisReplies::read() {
  const std::size_t end = buffer_.find("\r\n", at_);
  if (end == std::string::npos || end - at_ > line_bytes_max) {
    if (buffer_.size() - at_ > line_bytes_max) return fail(ErrorCode::io, "a line without end instead of a reply");
    return std::nullopt;
  }
  const std::string_view line = std::string_view(buffer_).substr(at_, end - at_);
  const std::string_view rest = line.substr(line.empty() ? 0 : 1);
  RedisReply reply;
  switch (line.empty() ? '\0' : line.front()) {
    case '$': return read_bulk(rest, end + 2);
    case '+':
    case '-':
      reply.kind = line.front() == '+' ? RedisReply::Kind::status : RedisReply::Kind::error;
      reply.text = rest;
      break;
    case ':': {
      const auto number = number_of(rest);
      if (!number) return fail(ErrorCode::io, "an integer that is none");
      reply.kind = RedisReply::Kind::integer;
      reply.number = *number;
      break;
    }
    default: return fail(ErrorCode::io, "something else than a reply");
  }
  at_ = end + 2;
  return reply;
}

Result<std::optional<RedisReply>> RedisReplies::read_bulk(std::string_view size_text, std::size_t begin) {
  const auto size = number_of(size_text);
  if (!size || *size < -1) return fail(ErrorCode::io, "a bulk of no size");
  RedisReply reply;
  if (*size == -1) {
    at_ = begin;
    return reply;
  }
  const auto bytes = static_cast<std::uint64_t>(*size);
  if (bytes > bulk_bytes_max_)
    return fail(ErrorCode::corrupt, "a value of {} bytes, where there are {} at most", bytes, bulk_bytes_max_);
  if (buffer_.size() - begin < bytes + 2) return std::nullopt;
  if (buffer_.compare(begin + bytes, 2, "\r\n") != 0)
    return fail(ErrorCode::io, "a bulk that does not end where it says");
  reply.kind = RedisReply::Kind::bulk;
  reply.text = buffer_.substr(begin, bytes);
  at_ = begin + bytes + 2;
  return reply;
}

}  // namespace cairn::remote
