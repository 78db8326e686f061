// SPDX-License-Identifier: Apache-2.0
#include "libserve/resp/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "libserve/http/words.h"

namespace cairn::serve {

namespace {

constexpr std::size_t line_bytes_max = 32;
constexpr std::size_t reserved_bytes_max = 4096;  // before the bytes have come
constexpr std::string_view line_end = "\r\n";

}  // namespace

RespParser::Step RespParser::next(std::string_view& bytes) {
  if (over_) {
    words_.clear();
    words_bytes_ = 0;
    over_ = false;
  }
  for (;;) {
    Step step = Step::more;
    switch (expects_) {
      case Expects::count:
      case Expects::length:
        if (!bytes.empty() && line_.empty() && bytes.front() != (expects_ == Expects::count ? '*' : '$'))
          return fail(expects_ == Expects::count ? "a command is an array of bulk strings" : "expected '$'");
        if (!take_line(bytes)) return Step::more;
        step = expects_ == Expects::count ? take_count() : take_length();
        break;
      case Expects::word:
      case Expects::value: {
        if (left_ > 0 && bytes.empty()) return Step::more;
        const std::string_view taken =
            bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
        bytes.remove_prefix(taken.size());
        left_ -= taken.size();
        const bool is_value = expects_ == Expects::value;
        if (left_ == 0) expects_ = Expects::end;
        if (is_value && !taken.empty()) {
          piece_ = taken;
          return Step::piece;
        }
        if (!is_value) words_.back() += taken;
        break;
      }
      case Expects::end: step = take_end(bytes); break;
      case Expects::nothing: return Step::broken;
    }
    if (step != Step::more) return step;
    if (bytes.empty() && (expects_ != Expects::word && expects_ != Expects::value)) return Step::more;
  }
}

bool RespParser::take_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  const std::string_view taken =
      bytes.substr(0, std::min(end == std::string_view::npos ? end : end + 1, line_bytes_max + 1 - line_.size()));
  line_ += taken;
  bytes.remove_prefix(taken.size());
  return line_.ends_with('\n') || line_.size() > line_bytes_max;
}

// An array of nothing is no command, and answered with nothing.
RespParser::Step RespParser::take_count() {
  const std::string line = std::exchange(line_, {});
  if (line == "*-1\r\n") return Step::more;
  const auto count =
      line.ends_with(line_end) ? parse_number(std::string_view(line).substr(1, line.size() - 3)) : std::nullopt;
  if (!count || *count > limits_.words_max) return fail("invalid multibulk length");
  words_left_ = static_cast<std::size_t>(*count);
  if (words_left_ > 0) expects_ = Expects::length;
  return Step::more;
}

RespParser::Step RespParser::take_length() {
  const std::string line = std::exchange(line_, {});
  const auto length =
      line.ends_with(line_end) ? parse_number(std::string_view(line).substr(1, line.size() - 3)) : std::nullopt;
  const bool is_value = expects_value();
  if (!length || *length > (is_value ? limits_.value_bytes_max : limits_.words_bytes_max - words_bytes_))
    return fail("invalid bulk length");
  left_ = *length;
  words_.emplace_back();
  if (is_value) {
    value_size_ = left_;
    expects_ = left_ > 0 ? Expects::value : Expects::end;
    return Step::value;
  }
  words_bytes_ += static_cast<std::size_t>(left_);
  words_.back().reserve(std::min<std::size_t>(static_cast<std::size_t>(left_), reserved_bytes_max));
  expects_ = left_ > 0 ? Expects::word : Expects::end;
  return Step::more;
}

RespParser::Step RespParser::take_end(std::string_view& bytes) {
  if (bytes.empty()) return Step::more;
  line_ += bytes.front();
  bytes.remove_prefix(1);
  if (!line_end.starts_with(line_)) return fail("a bulk string ends in CRLF");
  if (line_.size() < line_end.size()) return bytes.empty() ? Step::more : take_end(bytes);
  line_.clear();
  expects_ = Expects::length;
  if (--words_left_ > 0) return Step::more;
  expects_ = Expects::count;
  over_ = true;
  return Step::command;
}

bool RespParser::expects_value() const {
  const auto is = [this](std::string_view command) { return same_word(words_[0], command); };
  if (words_.size() == 2) return is("SET") || is("SETNX");
  return words_.size() == 3 && (is("SETEX") || is("PSETEX"));
}

RespParser::Step RespParser::fail(std::string why) {
  error_ = std::move(why);
  expects_ = Expects::nothing;
  return Step::broken;
}

}  // namespace cairn::serve
