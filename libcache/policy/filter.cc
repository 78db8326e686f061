// SPDX-License-Identifier: Apache-2.0
// Filters, with the meaning that containerd's parser and BuildKit's fields give them. RE2 has the syntax and the linear
// time of Go's expressions.
#include <re2/re2.h>

#include <algorithm>
#include <array>

#include "libcache/policy.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::int64_t expression_memory_max = 1 << 20;
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

}  // namespace

struct RecordFilter::Expression {
  explicit Expression(const std::string& source, const re2::RE2::Options& options) : re(source, options) {}
  const re2::RE2 re;
};

Result<std::shared_ptr<const RecordFilter::Expression>> RecordFilter::compile(const std::string& source) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(expression_memory_max);
  auto expression = std::make_shared<const Expression>(source, options);
  if (!expression->re.ok())
    return fail(ErrorCode::invalid_argument, "\"{}\" is no regular expression: {}", source, expression->re.error());
  return expression;
}

class FilterParser {
 public:
  explicit FilterParser(std::string_view text) : text_(text) {}

  Result<RecordFilter> parse() {
    if (text_.size() > filter_bytes_max) return wrong("longer than 64 KiB");
    RecordFilter filter;
    filter.text_ = text_;
    if (text_.empty()) return filter;
    while (true) {
      TRY(parse_condition(filter));
      skip_space();
      if (at_ == text_.size()) return filter;
      if (text_[at_] != ',') return wrong("want a comma");
      ++at_;
    }
  }

 private:
  using Operator = RecordFilter::Operator;

  tl::unexpected<base::Error> wrong(std::string_view why) const {
    auto wrong = fail(ErrorCode::invalid_argument, "filter \"{}\", at {}: {}", text_.substr(0, 256), at_ + 1, why);
    constexpr std::size_t shown_max = 40;
    const std::size_t from = at_ - std::min(at_, shown_max);
    wrong.value().hint = fmt::format("it was read as far as \"{}\", like type==exec.cachemount,until=24h", text_.substr(from, at_ - from));
    return wrong;
  }
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  base::Status parse_condition(RecordFilter& filter) {
    RecordFilter::Condition condition;
    condition.field = TRY(parse_field_path());
    condition.op = TRY(parse_operator());
    if (condition.op != Operator::present) condition.value = TRY(parse_value(condition.op));
    if (condition.field == "until" || condition.field == "unused-for") return add_age(filter, condition);
    if (condition.op == Operator::matches) {
      auto expression = RecordFilter::compile(condition.value);
      if (!expression) return wrong(expression.error().message);
      condition.expression = std::move(*expression);
    }
    filter.conditions_.push_back(std::move(condition));
    return {};
  }

  base::Status add_age(RecordFilter& filter, const RecordFilter::Condition& condition) {
    if (condition.op != Operator::equal) return wrong("want until=AGE");
    const auto age = parse_age(condition.value);
    if (!age) return wrong(age.error().message);
    filter.unused_for_ = std::max(*age, filter.unused_for_.value_or(std::chrono::nanoseconds(0)));
    return {};
  }

  // Only the first component names a field of ours; the rest, as in containerd, is looked at by nobody.
  Result<std::string> parse_field_path() {
    std::string first = TRY(parse_field());
    skip_space();
    while (peek() == '.') {
      ++at_;
      TRY(parse_field());
      skip_space();
    }
    return first;
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

  const std::string_view text_;
  std::size_t at_ = 0;
};

Result<RecordFilter> RecordFilter::parse(std::string_view text) { return FilterParser(text).parse(); }

namespace {

// What is there of a field: nullopt is absent, and reads as "".
std::optional<std::string> value_of(std::string_view field, const RecordInfo& record, InUse in_use) {
  const auto present = [](bool is) { return is ? std::optional<std::string>("") : std::nullopt; };
  const auto text = [](std::string value) { return value.empty() ? std::nullopt : std::optional<std::string>(std::move(value)); };
  if (field == "id") return std::to_string(record.id.value());
  if (field == "description") return text(record.facts.description);
  if (field == "type") return std::string(to_string(record.facts.type));
  if (field == "inuse") return present(in_use == InUse::yes);
  // A committed record is never writable, and no image store shares records with us.
  if (field == "immutable" || field == "private") return present(true);
  if (field != "parents") return std::nullopt;
  std::string joined;
  for (const RecordId parent : record.parents) joined += (joined.empty() ? "" : ";") + std::to_string(parent.value());
  return text(std::move(joined));
}

}  // namespace

bool RecordFilter::holds(const Condition& condition, const RecordInfo& record, InUse in_use) {
  const auto value = value_of(condition.field, record, in_use);
  switch (condition.op) {
    case Operator::present: return value.has_value();
    case Operator::equal: return value && *value == condition.value;
    case Operator::not_equal: return value.value_or("") != condition.value;
    case Operator::matches: return re2::RE2::PartialMatch(value.value_or(""), condition.expression->re);
  }
  return false;
}

bool RecordFilter::matches(const RecordInfo& record, InUse in_use) const {
  return std::all_of(conditions_.begin(), conditions_.end(),
                     [&](const Condition& condition) { return holds(condition, record, in_use); });
}

std::optional<RecordType> RecordFilter::only_type() const {
  constexpr std::array types = {RecordType::regular, RecordType::source_local, RecordType::source_image,
                                RecordType::internal, RecordType::exec_cache_mount};
  for (const Condition& condition : conditions_) {
    if (condition.field != "type" || condition.op != Operator::equal) continue;
    for (const RecordType type : types)
      if (to_string(type) == condition.value) return type;
  }
  return std::nullopt;
}

}  // namespace cairn::cache
