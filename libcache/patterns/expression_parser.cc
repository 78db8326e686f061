// SPDX-License-Identifier: Apache-2.0
// Reading an expression in the part of Go's regular expression syntax that translated patterns can contain.
#include <algorithm>
#include <array>
#include <optional>

#include "libcache/patterns/expression.h"
#include "libcache/patterns/utf8.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

auto bad_expression() { return fail(ErrorCode::invalid_argument, "syntax error in pattern"); }

struct NamedClass {
  std::string_view name;
  std::string_view ranges;  // pairs of first and last
};
constexpr std::array named_classes = {
    NamedClass{"alnum", "09AZaz"},
    NamedClass{"alpha", "AZaz"},
    NamedClass{"ascii", {"\x00\x7f", 2}},
    NamedClass{"blank", "\t\t  "},
    NamedClass{"cntrl", {"\x00\x1f\x7f\x7f", 4}},
    NamedClass{"digit", "09"},
    NamedClass{"graph", "!~"},
    NamedClass{"lower", "az"},
    NamedClass{"print", " ~"},
    NamedClass{"punct", "!/:@[`{~"},
    NamedClass{"space", "\t\r  "},
    NamedClass{"upper", "AZ"},
    NamedClass{"word", "09AZaz__"},
    NamedClass{"xdigit", "09AFaf"},
};

RuneSet set_of(std::string_view ranges) {
  RuneSet set;
  for (std::size_t i = 0; i + 1 < ranges.size(); i += 2) {
    set.add(static_cast<unsigned char>(ranges[i]), static_cast<unsigned char>(ranges[i + 1]));
  }
  return set;
}

// \d \s \w and their capitals, which mean all others.
std::optional<std::string_view> perl_class(char letter) {
  switch (letter | 0x20) {
    case 'd': return "09";
    case 's': return "\t\n\f\r  ";
    case 'w': return "09AZaz__";
    default: return std::nullopt;
  }
}

enum class Take { listed, all_others };

void add_class(RuneSet& set, std::string_view ranges, Take take) {
  const RuneSet named = set_of(ranges);
  if (take == Take::all_others) {
    set.add_all_but(named);
  } else {
    set.ranges.insert(set.ranges.end(), named.ranges.begin(), named.ranges.end());
  }
}

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_octal(char c) { return c >= '0' && c <= '7'; }

std::optional<unsigned> hex_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return static_cast<unsigned>((c | 0x20) - 'a' + 10);
  return std::nullopt;
}

}  // namespace

class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view source) : rest_(source) {}

  Result<Expression> parse() {
    while (!rest_.empty()) TRY(parse_one());
    put({Kind::accept});
    return std::move(result_);
  }

 private:
  using Kind = Expression::Kind;
  using Step = Expression::Step;

  void put(Step step) { result_.steps_.push_back(step); }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  char32_t take_rune() {
    const Rune rune = decode_rune(rest_);
    rest_.remove_prefix(rune.width);
    return rune.value;
  }
  std::uint32_t here() const { return static_cast<std::uint32_t>(result_.steps_.size()); }

  // A set, once or any number of times. A loop is: split to behind it, the set, an unconditional way back. The way back
  // is a split whose two ways are the same loop head and the step behind, which says the same with one kind less.
  void put_set(RuneSet set) {
    result_.sets_.push_back(std::move(set));
    const auto index = static_cast<std::uint32_t>(result_.sets_.size() - 1);
    if (!take("*")) return put({Kind::set, 0, index});
    const std::uint32_t head = here();
    put({Kind::split, 0, head + 3});
    put({Kind::set, 0, index});
    put({Kind::split, 0, head + 1});
  }

  static RuneSet all_but_newline() {
    RuneSet set;
    set.add('\n', '\n');
    set.negated = true;
    return set;
  }

  Status parse_one() {
    if (take("(.*/)?")) {
      const std::uint32_t group = here();
      put({Kind::split});
      result_.sets_.push_back(all_but_newline());
      const auto index = static_cast<std::uint32_t>(result_.sets_.size() - 1);
      put({Kind::split, 0, group + 4});
      put({Kind::set, 0, index});
      put({Kind::split, 0, group + 2});
      put({Kind::rune, '/'});
      result_.steps_[group].index = here();
    } else if (take("^")) {
      put({Kind::begin});
    } else if (take("$")) {
      put({Kind::end});
    } else if (take(".")) {
      put_set(all_but_newline());
    } else if (take("[")) {
      put_set(TRY(parse_class()));
    } else if (rest_.front() == '\\') {
      return parse_backslash();
    } else if (std::string_view("*?+()|{}").find(rest_.front()) != std::string_view::npos) {
      return bad_expression();
    } else {
      put({Kind::rune, take_rune()});
    }
    return {};
  }

  Status parse_backslash() {
    if (take("\\A")) {
      put({Kind::begin});
    } else if (take("\\z")) {
      put({Kind::end});
    } else if (take("\\b")) {
      put({Kind::word_boundary});
    } else if (take("\\B")) {
      put({Kind::no_word_boundary});
    } else if (take("\\Q")) {
      while (!rest_.empty() && !take("\\E")) put({Kind::rune, take_rune()});
    } else if (RuneSet set; take_perl_class(set)) {
      put_set(std::move(set));
    } else {
      put({Kind::rune, TRY(parse_escape())});
    }
    return {};
  }

  bool take_perl_class(RuneSet& set) {
    if (rest_.size() < 2 || rest_.front() != '\\') return false;
    const char letter = rest_[1];
    const auto ranges = perl_class(letter);
    if (!ranges) return false;
    add_class(set, *ranges, is_upper(letter) ? Take::all_others : Take::listed);
    rest_.remove_prefix(2);
    return true;
  }

  // What follows '[', up to and with its ']'.
  Result<RuneSet> parse_class() {
    RuneSet set;
    set.negated = take("^");
    for (bool first = true; first || !rest_.starts_with(']'); first = false) {
      if (rest_.empty()) return bad_expression();
      if (TRY(take_named_class(set)) || take_perl_class(set)) continue;
      const char32_t low = TRY(parse_class_rune());
      char32_t high = low;
      if (rest_.size() >= 2 && rest_[0] == '-' && rest_[1] != ']') {
        rest_.remove_prefix(1);
        high = TRY(parse_class_rune());
      }
      if (high < low) return bad_expression();
      set.add(low, high);
    }
    rest_.remove_prefix(1);
    return set;
  }

  Result<bool> take_named_class(RuneSet& set) {
    if (!rest_.starts_with("[:")) return false;
    const std::size_t end = rest_.find(":]", 2);
    if (end == std::string_view::npos) return false;
    std::string_view name = rest_.substr(2, end - 2);
    const bool complement = name.starts_with('^');
    if (complement) name.remove_prefix(1);
    const auto found = std::find_if(named_classes.begin(), named_classes.end(),
                                    [name](const NamedClass& named) { return named.name == name; });
    if (found == named_classes.end()) return bad_expression();
    add_class(set, found->ranges, complement ? Take::all_others : Take::listed);
    rest_.remove_prefix(end + 2);
    return true;
  }

  Result<char32_t> parse_class_rune() {
    if (rest_.empty()) return bad_expression();
    if (rest_.front() == '\\') return parse_escape();
    return take_rune();
  }

  Result<char32_t> parse_escape() {
    rest_.remove_prefix(1);
    if (rest_.empty()) return bad_expression();
    const char32_t rune = take_rune();
    if (rune >= 0x80) return bad_expression();
    const char c = static_cast<char>(rune);
    switch (c) {
      case 'a': return 0x07;
      case 'f': return 0x0c;
      case 'n': return 0x0a;
      case 'r': return 0x0d;
      case 't': return 0x09;
      case 'v': return 0x0b;
      case 'x': return parse_hex();
      default: break;
    }
    if (is_octal(c)) return parse_octal(rune - '0');
    const bool is_word = (c >= '0' && c <= '9') || is_upper(c) || (c >= 'a' && c <= 'z');
    if (is_word) return bad_expression();
    return rune;
  }

  // "\0" may stand alone; "\1" to "\7" must have a second digit, for alone they would be back references.
  Result<char32_t> parse_octal(char32_t value) {
    if (value != 0 && (rest_.empty() || !is_octal(rest_.front()))) return bad_expression();
    for (int i = 1; i < 3 && !rest_.empty() && is_octal(rest_.front()); ++i) value = value * 8 + (take_rune() - '0');
    return value;
  }

  // Two digits. The form with braces cannot come from a pattern, in which braces are escaped.
  Result<char32_t> parse_hex() {
    char32_t value = 0;
    for (int i = 0; i < 2; ++i) {
      const auto digit = rest_.empty() ? std::nullopt : hex_value(rest_.front());
      if (!digit) return bad_expression();
      value = value * 16 + *digit;
      rest_.remove_prefix(1);
    }
    return value;
  }

  std::string_view rest_;
  Expression result_;
};

Result<Expression> Expression::parse(std::string_view source) { return ExpressionParser(source).parse(); }

}  // namespace cairn::cache
