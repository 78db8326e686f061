// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/parse/source.h"

#include <optional>

#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

using base::ErrorCode;
using base::Result;
using base::Status;

constexpr std::size_t line_max = 65535;

bool may_hold_heredocs(std::string_view name) { return name == "add" || name == "copy" || name == "run"; }

// "# name = value".
struct DirectiveText {
  std::string name, value;
};
std::optional<DirectiveText> directive_of(std::string_view line) {
  if (!line.starts_with('#')) return std::nullopt;
  line = trim(line.substr(1));
  std::size_t end = 0;
  while (end < line.size() && std::isalnum(static_cast<unsigned char>(line[end]))) ++end;
  if (end == 0 || std::isdigit(static_cast<unsigned char>(line[0]))) return std::nullopt;
  const std::string_view after = trim_left(line.substr(end));
  if (!after.starts_with('=')) return std::nullopt;
  const std::string_view value = trim(after.substr(1));
  if (value.empty()) return std::nullopt;
  return DirectiveText{lower(line.substr(0, end)), std::string(value)};
}

// Takes the flags at the front of `text`; what is left is the rest.
std::vector<std::string> take_flags(std::string_view& text) {
  std::vector<std::string> flags;
  while (true) {
    text = trim_left(text);
    if (!text.starts_with("--")) return flags;
    std::string word;
    char quote = 0;
    std::size_t at = 0;
    for (; at < text.size(); ++at) {
      char c = text[at];
      if (quote == 0 && is_space(c)) break;
      if (c == quote) {
        quote = 0;
        continue;
      }
      if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
        continue;
      }
      if (c == '\\') {
        if (++at == text.size()) break;
        c = text[at];
      }
      word += c;
    }
    text.remove_prefix(std::min(at, text.size()));
    if (word == "--") return flags;
    flags.push_back(std::move(word));
  }
}

class Parser {
 public:
  Parser(std::string_view text, Lines& error_lines) : text_(text), error_lines_(error_lines) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  Result<Source> run() {
    while (auto line = TRY(next_line())) TRY(statement(*line));
    if (source_.statements.empty()) return refuse({number_, number_}, "file with no instructions");
    return std::move(source_);
  }

 private:
  template <class... Args>
  tl::unexpected<base::Error> refuse(Lines where, fmt::format_string<Args...> format, Args&&... args) {
    error_lines_ = where;
    return base::fail(ErrorCode::invalid_argument, format, std::forward<Args>(args)...);
  }

  // With its line end.
  Result<std::optional<std::string_view>> next_line() {
    if (text_.empty()) return std::nullopt;
    const std::size_t end = text_.find('\n');
    const std::string_view line = text_.substr(0, end == std::string_view::npos ? end : end + 1);
    text_.remove_prefix(line.size());
    ++number_;
    if (line.size() > line_max)
      return refuse({number_, number_}, "dockerfile line greater than maximum allowed size of {}", line_max);
    return line;
  }

  static std::string_view without_line_end(std::string_view line) {
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }

  Status directive(std::string_view line) {
    if (directives_done_) return {};
    const auto found = directive_of(line);
    if (!found) {
      directives_done_ = true;
      return {};
    }
    if (found->name != "syntax" && found->name != "escape" && found->name != "check") return {};
    if (!source_.directives.emplace(found->name, Directive{found->value, number_}).second) {
      return refuse({number_, number_}, "only one {} parser directive can be used", found->name);
    }
    if (found->name != "escape") return {};
    if (found->value != "`" && found->value != "\\") {
      return refuse({number_, number_}, "invalid escape token '{}' does not match ` or \\", found->value);
    }
    source_.escape = found->value[0];
    return {};
  }

  // Takes the escape that continues the line on the next one; false: the line ends here.
  bool take_continuation(std::string_view& line) const {
    std::string_view body = line;
    while (body.ends_with(' ') || body.ends_with('\t')) body.remove_suffix(1);
    if (!body.ends_with(source_.escape)) return false;
    body.remove_suffix(1);
    if (body.ends_with(source_.escape)) return false;
    line = body;
    return true;
  }

  Status statement(std::string_view raw) {
    std::string_view line = trim_left(without_line_end(raw));
    TRY(directive(line));
    if (line.starts_with('#')) {
      const std::string_view comment = trim(line.substr(1));
      if (comment.empty())
        comments_.clear();
      else
        comments_.emplace_back(comment);
      return {};
    }
    const int first = number_;
    bool continues = take_continuation(line);
    if (!continues && line.empty()) {
      comments_.clear();
      return {};
    }
    std::string whole(line);
    bool has_empty = false;
    while (continues) {
      const auto more = TRY(next_line());
      if (!more) break;
      std::string_view next = without_line_end(*more);
      const std::string_view trimmed = trim_left(next);
      if (trimmed.starts_with('#')) continue;
      if (trimmed.empty()) {
        has_empty = true;
        continue;
      }
      continues = take_continuation(next);
      whole += next;
      if (whole.size() > (std::size_t{16} << 20))
        return refuse({first, number_}, "an instruction is longer than 16 MiB");
    }
    if (has_empty) source_.empty_continuations.push_back({number_, number_});
    return add(whole, first);
  }

  Status add(const std::string& whole, int first) {
    Statement statement = parse_statement(whole);
    std::string name = lower(statement.name);
    if (name == "onbuild") name = lower(cut_space(statement.rest).head);
    if (may_hold_heredocs(name) && whole.find("<<") != std::string::npos) {
      auto heredocs = heredocs_of(whole);
      if (!heredocs) {
        error_lines_ = {first, number_};
        return tl::unexpected(heredocs.error());
      }
      for (Heredoc& heredoc : *heredocs) TRY(read(heredoc, first));
      statement.heredocs = std::move(*heredocs);
    }
    statement.lines = {first, number_};
    statement.comments = std::exchange(comments_, {});
    source_.statements.push_back(std::move(statement));
    return {};
  }

  Status read(Heredoc& heredoc, int first) {
    while (const auto line = TRY(next_line())) {
      std::string_view end = without_line_end(*line);
      while (heredoc.chomp && end.starts_with('\t')) end.remove_prefix(1);
      if (end == heredoc.name) return {};
      heredoc.content += *line;
    }
    return refuse({first, number_}, "unterminated heredoc");
  }

  std::string_view text_;
  Lines& error_lines_;
  int number_ = 0;
  bool directives_done_ = false;
  std::vector<std::string> comments_;
  Source source_;
};

}  // namespace

Statement parse_statement(std::string_view line) {
  Statement statement;
  statement.original = trim(line);
  const Cut at = cut_space(statement.original);
  statement.name = at.head;
  std::string_view rest = at.rest;
  statement.flags = take_flags(rest);
  statement.rest = trim(rest);
  return statement;
}

Result<Source> parse_source(std::string_view text, Lines& error_lines) { return Parser(text, error_lines).run(); }

}  // namespace cairn::dockerfile
