// SPDX-License-Identifier: Apache-2.0
// The grammar of filters, as containerd's parser reads it. What fields there are is for who asks.
#include "libcache/conditions.h"

#include <algorithm>

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t filter_bytes_max = 64 << 10;

bool is_field_char(char c) { return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_operator_char(char c) { return c == '=' || c == '!' || c == '~'; }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

void append_utf8(std::string& out, std::uint32_t rune) {
  const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(bits); };
  if (rune < 0x80) return byte(rune);
  if (rune < 0x800) return byte(0xc0 | (rune >> 6)), byte(0x80 | (rune & 0x3f));
  if (rune >= 0x10000) {
    byte(0xf0 | (rune >> 18)), byte(0x80 | ((rune >> 12) & 0x3f));
  } else {
    byte(0xe0 | (rune >> 12));
  }
  byte(0x80 | ((rune >> 6) & 0x3f)), byte(0x80 | (rune & 0x3f));
}

using Operator = Condition::Operator;

class ConditionParser {
 public:
  ConditionParser(std::string_view text, std::string_view like) : text_(text), like_(like) {}

  base::Status parse(const std::function<base::Status(Condition)>& accept) {
    if (text_.size() > filter_bytes_max) return wrong("longer than 64 KiB");
    if (text_.empty()) return {};
    while (true) {
      TRY(parse_condition(accept));
      skip_space();
      if (at_ == text_.size()) return {};
      if (text_[at_] != ',') return wrong("want a comma");
      ++at_;
    }
  }

 private:
  tl::unexpected<base::Error> wrong(std::string_view why) const {
    auto wrong = fail(ErrorCode::invalid_argument, "filter \"{}\", at {}: {}", text_.substr(0, 256), at_ + 1, why);
    constexpr std::size_t shown_max = 40;
    const std::size_t from = at_ - std::min(at_, shown_max);
    wrong.value().hint = fmt::format("it was read as far as \"{}\", like {}", text_.substr(from, at_ - from), like_);
    return wrong;
  }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  base::Status parse_condition(const std::function<base::Status(Condition)>& accept) {
    Condition condition;
    condition.path = TRY(parse_field_path());
    condition.op = TRY(parse_operator());
    if (condition.op != Operator::present) condition.value = TRY(parse_value(condition.op));
    const base::Status accepted = accept(std::move(condition));
    if (!accepted) return wrong(accepted.error().message);
    return {};
  }

  Result<std::vector<std::string>> parse_field_path() {
    std::vector<std::string> path = {TRY(parse_field())};
    skip_space();
    while (peek() == '.') {
      ++at_;
      path.push_back(TRY(parse_field()));
      skip_space();
    }
    return path;
  }

  Result<std::string> parse_field() {
    skip_space();
    if (peek() == '"' || peek() == '`') return parse_quoted();
    const std::size_t from = at_;
    while (at_ < text_.size() && is_field_char(text_[at_])) ++at_;
    if (text_.substr(from, at_ - from) == "unused" && text_.substr(at_).starts_with("-for")) at_ += 4;
    if (at_ == from) return wrong("want a field");
    return std::string(text_.substr(from, at_ - from));
  }

  Result<Operator> parse_operator() {
    skip_space();
    const std::size_t from = at_;
    while (at_ < text_.size() && is_operator_char(text_[at_])) ++at_;
    const std::string_view op = text_.substr(from, at_ - from);
    if (op.empty()) return Operator::present;
    if (op == "==" || op == "=") return Operator::equal;
    if (op == "!=") return Operator::not_equal;
    if (op == "~=") return Operator::matches;
    at_ = from;
    return wrong("want ==, != or ~=");
  }

  Result<std::string> parse_value(Operator op) {
    skip_space();
    const char quote = peek();
    if (quote == '"' || quote == '`') return parse_quoted();
    if (quote == '/' || quote == '|') {
      if (op != Operator::matches) return wrong("only an expression (~=) stands between such marks; use double quotes");
      return parse_between(quote);
    }
    const std::size_t from = at_;
    while (at_ < text_.size() && !is_space(text_[at_]) && text_[at_] != ',') ++at_;
    if (at_ == from) return wrong("want a value");
    return std::string(text_.substr(from, at_ - from));
  }

  // Between two marks, where only the mark itself is escaped.
  Result<std::string> parse_between(char mark) {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == mark) return ++at_, out;
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && text_[at_ + 1] == mark) ++at_;
      out += text_[at_];
    }
    return wrong("the expression does not end");
  }

  Result<std::string> parse_quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (quote == '"' && text_[at_] == '\n') return wrong("a line ends within quotes");
      if (quote == '"' && text_[at_] == '\\') {
        TRY(parse_escape(out));
      } else {
        out += text_[at_++];
      }
    }
    if (at_ == text_.size()) return wrong("the quotes do not end");
    ++at_;
    return out;
  }

  base::Status parse_escape(std::string& out) {
    constexpr std::string_view names = "abfnrtv\\\"", meanings = "\a\b\f\n\r\t\v\\\"";
    if (++at_ == text_.size()) return wrong("the quotes do not end");
    const char c = text_[at_++];
    if (const std::size_t known = names.find(c); known != std::string_view::npos) return out += meanings[known], base::Status();
    if (c >= '0' && c <= '7') {
      --at_;
      return parse_number(out, 3, 8, 0xff);
    }
    if (c == 'x') return parse_number(out, 2, 16, 0xff);
    if (c == 'u') return parse_number(out, 4, 16, 0x10ffff);
    if (c == 'U') return parse_number(out, 8, 16, 0x10ffff);
    return wrong("unknown escape");
  }

  base::Status parse_number(std::string& out, std::size_t digits, std::uint32_t radix, std::uint32_t most) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < digits; ++i, ++at_) {
      const char c = peek();
      if (!is_hex(c) || (radix == 8 && (c < '0' || c > '7'))) return wrong("unknown escape");
      value = value * radix + static_cast<std::uint64_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (value > most || (most > 0xff && value >= 0xd800 && value < 0xe000)) return wrong("no such character");
    if (most == 0xff) {
      out += static_cast<char>(value);
    } else {
      append_utf8(out, static_cast<std::uint32_t>(value));
    }
    return {};
  }

  const std::string_view text_, like_;
  std::size_t at_ = 0;
};

}  // namespace

base::Status parse_conditions(std::string_view text, std::string_view like,
                              const std::function<base::Status(Condition)>& accept) {
  return ConditionParser(text, like).parse(accept);
}

}  // namespace cairn::cache
