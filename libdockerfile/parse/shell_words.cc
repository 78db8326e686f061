// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/parse/shell_words.h"

#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/shell_pattern.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

using base::Result;
using base::Status;

constexpr std::size_t size_max = std::size_t{1} << 20;
constexpr int depth_max = 200;
constexpr int end_of_text = -1;

bool is_digit(int c) { return c >= '0' && c <= '9'; }
bool is_name(int c) { return is_digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80; }
bool is_special(int c) {
  return c > 0 && std::string_view("@*#?-$!0").find(static_cast<char>(c)) != std::string_view::npos;
}

// The text cut into words while it is made.
class Words {
 public:
  void add(char c) {
    if (!is_space(c)) return add_raw(c);
    if (in_word_ && !word_.empty()) take();
  }
  void add_raw(char c) {
    word_ += c;
    in_word_ = true;
  }
  void add(std::string_view text) {
    for (const char c : text) add(c);
  }
  void add_raw(std::string_view text) {
    word_ += text;
    in_word_ = true;
  }
  std::vector<std::string> finish() {
    if (!word_.empty()) take();
    return std::move(words_);
  }

 private:
  void take() {
    words_.push_back(std::move(word_));
    word_.clear();
    in_word_ = false;
  }
  std::string word_;
  bool in_word_ = false;
  std::vector<std::string> words_;
};

class Lexer {
 public:
  Lexer(std::string_view text, const Environment& environment, const WordRules& rules)
      : text_(text), environment_(environment), rules_(rules), raw_escapes_(rules.raw_escapes) {}

  Result<Expanded> run() {
    std::string text = TRY(until(end_of_text, raw_escapes_, &words_));
    out_.text = std::move(text);
    out_.words = words_.finish();
    return std::move(out_);
  }

 private:
  int peek() const { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : end_of_text; }
  int next() { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_++]) : end_of_text; }
  static char narrow(int c) { return static_cast<char>(c); }

  // Up to `stop`, which is taken too.
  Result<std::string> until(int stop, bool raw, Words* words) {
    if (++depth_ > depth_max) return refuse("substitutions are nested deeper than {}", depth_max);
    const bool raw_before = std::exchange(raw_escapes_, raw);
    std::string out;
    Status ended = collect(out, stop, words);
    raw_escapes_ = raw_before;
    --depth_;
    if (!ended) return tl::unexpected(ended.error());
    return out;
  }

  Status collect(std::string& out, int stop, Words* words) {
    while (peek() != end_of_text) {
      const int c = peek();
      if (c == stop) {
        ++at_;
        return {};
      }
      const bool is_quote = (c == '\'' || c == '"') && !rules_.skip_quotes;
      if (c == '$' || is_quote) {
        const std::string part = TRY(c == '$' ? dollar() : c == '"' ? double_quote() : single_quote());
        out += part;
        if (words != nullptr) c == '$' ? words->add(part) : words->add_raw(part);
      } else {
        plain(out, words);
      }
      if (out.size() > size_max) return refuse("it expands to more than {} bytes", size_max);
    }
    if (stop == end_of_text) return {};
    return refuse("unexpected end of statement while looking for matching {}", narrow(stop));
  }

  void plain(std::string& out, Words* words) {
    int c = next();
    const bool escapes = c == static_cast<unsigned char>(rules_.escape);
    if (escapes) {
      if (raw_escapes_) {
        out += narrow(c);
        if (words != nullptr) words->add_raw(narrow(c));
      }
      c = next();
      if (c == end_of_text) return;
    }
    out += narrow(c);
    if (words != nullptr) escapes ? words->add_raw(narrow(c)) : words->add(narrow(c));
  }

  Result<std::string> single_quote() {
    const std::size_t end = text_.find('\'', at_ + 1);
    if (end == std::string_view::npos)
      return refuse("unexpected end of statement while looking for matching single-quote");
    const std::string_view whole = text_.substr(at_, end + 1 - at_);
    at_ = end + 1;
    return std::string(rules_.raw_quotes ? whole : whole.substr(1, whole.size() - 2));
  }

  Result<std::string> double_quote() {
    std::string out;
    ++at_;
    if (rules_.raw_quotes) out += '"';
    while (true) {
      const int c = peek();
      if (c == end_of_text) return refuse("unexpected end of statement while looking for matching double-quote");
      if (c == '$') {
        out += TRY(dollar());
        continue;
      }
      ++at_;
      if (c == '"') break;
      if (c != static_cast<unsigned char>(rules_.escape)) {
        out += narrow(c);
        continue;
      }
      if (raw_escapes_) out += narrow(c);
      const int escaped = peek();
      if (escaped == end_of_text) continue;
      if (escaped == '"' || escaped == '$' || escaped == c)
        out += narrow(next());
      else
        out += narrow(c);
    }
    if (rules_.raw_quotes) out += '"';
    return out;
  }

  std::string name() {
    const std::size_t begin = at_;
    if (is_digit(peek())) {
      while (is_digit(peek())) ++at_;
    } else if (is_special(peek())) {
      ++at_;
    } else {
      while (peek() != end_of_text && is_name(peek())) ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  enum class Missing { is_reported, has_default };
  const std::string* get(const std::string& variable, Missing missing = Missing::is_reported) {
    const std::string* value = find_variable(environment_, variable);
    if (value != nullptr)
      out_.matched.insert(variable);
    else if (missing == Missing::is_reported)
      out_.unmatched.insert(variable);
    return value;
  }

  Result<std::string> dollar() {
    ++at_;
    if (peek() == end_of_text) return std::string("$");
    if (peek() != '{') {
      const std::string variable = name();
      if (variable.empty()) return std::string("$");
      const std::string* value = get(variable);
      if (value != nullptr) return *value;
      return rules_.skip_unset ? "$" + variable : std::string();
    }
    ++at_;
    if (peek() == end_of_text) return refuse("syntax error: missing '}}'");
    if (peek() == '{' || peek() == '}' || peek() == ':') return refuse("syntax error: bad substitution");
    return braced(name());
  }

  Result<std::string> braced(const std::string& variable) {
    int c = next();
    if (c == '}') {
      const std::string* value = get(variable);
      if (value != nullptr) return *value;
      return rules_.skip_unset ? fmt::format("${{{}}}", variable) : std::string();
    }
    if (c == '/') return replaced(variable);
    std::string modifier;
    if (c == ':') {
      modifier = ":";
      c = next();
    }
    if (c != end_of_text) modifier += narrow(c);
    const bool by_pattern = c == '#' || c == '%';
    const bool known = c == '+' || c == '-' || c == '?' || by_pattern;
    if (!known || (by_pattern && modifier.size() > 1))
      return refuse("unsupported modifier ({}) in substitution", modifier);
    std::string word = TRY(operand('}', by_pattern, "syntax error: missing '}'"));
    const std::string* value =
        get(variable, c == '-' || c == '+' || c == '?' ? Missing::has_default : Missing::is_reported);
    if (value == nullptr && rules_.skip_unset) return fmt::format("${{{}{}{}}}", variable, modifier, word);
    return substitute(variable, narrow(c), modifier.size() > 1, std::move(word), value);
  }

  Result<std::string> substitute(const std::string& variable, char kind, bool empty_is_unset, std::string word,
                                 const std::string* value) {
    const bool is_missing = value == nullptr || (empty_is_unset && value->empty());
    switch (kind) {
      case '-': return is_missing ? word : *value;
      case '+': return is_missing ? std::string() : word;
      case '?':
        if (!is_missing) return *value;
        if (word.empty()) word = value == nullptr ? "is not allowed to be unset" : "is not allowed to be empty";
        return refuse("{}: {}", variable, word);
      default: break;
    }
    Extent extent = Extent::shortest;
    if (word.starts_with(kind)) {
      extent = Extent::longest;
      word.erase(0, 1);
    }
    const auto pattern = ShellPattern::parse(word);
    if (!pattern) return refuse("invalid pattern ({}) in substitution: {}", word, pattern.error().message);
    if (value == nullptr) return std::string();
    return kind == '%' ? pattern->without_suffix(*value, extent) : pattern->without_prefix(*value, extent);
  }

  Result<std::string> replaced(const std::string& variable) {
    const bool every = peek() == '/';
    if (every) ++at_;
    const std::string pattern_text = TRY(operand('/', true, "syntax error: missing '/' in ${}"));
    const std::string replacement = TRY(operand('}', true, "syntax error: missing '}'"));
    const std::string* value = get(variable);
    if (value == nullptr) {
      return rules_.skip_unset ? fmt::format("${{{}/{}/{}}}", variable, pattern_text, replacement) : std::string();
    }
    const auto pattern = ShellPattern::parse(pattern_text);
    if (!pattern) return refuse("invalid pattern ({}) in substitution: {}", pattern_text, pattern.error().message);
    return pattern->replaced(*value, replacement, every ? ShellPattern::Which::all : ShellPattern::Which::first);
  }

  Result<std::string> operand(char stop, bool raw, const char* when_missing) {
    auto word = until(stop, raw, nullptr);
    if (!word && at_ >= text_.size() && depth_ < depth_max - 1) return refuse("{}", when_missing);
    return word;
  }

  std::string_view text_;
  const Environment& environment_;
  const WordRules& rules_;
  bool raw_escapes_;
  std::size_t at_ = 0;
  int depth_ = 0;
  Words words_;
  Expanded out_;
};

}  // namespace

const std::string* find_variable(const Environment& environment, std::string_view name) {
  for (auto entry = environment.rbegin(); entry != environment.rend(); ++entry) {
    if (entry->first == name) return &entry->second;
  }
  return nullptr;
}

Result<Expanded> expand_words(std::string_view text, const Environment& environment, const WordRules& rules) {
  return TRY(Lexer(text, environment, rules).run(), "failed to process {}", go_quoted(text));
}

}  // namespace cairn::dockerfile
