// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/parse/heredoc.h"

#include <algorithm>

#include "libdockerfile/parse/shell_words.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {

base::Result<std::optional<Heredoc>> parse_heredoc(std::string_view word) {
  // A number before it is the descriptor that a shell would give it to.
  const std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  if (!word.substr(digits).starts_with("<<")) return std::nullopt;
  std::string_view rest = word.substr(digits + 2);
  Heredoc heredoc;
  heredoc.chomp = rest.starts_with('-');
  if (heredoc.chomp) rest.remove_prefix(1);
  rest = trim_left(rest);
  if (rest.empty() || rest.find('<') != std::string_view::npos) return std::nullopt;

  const Expanded name = TRY(expand_words(rest, {}, {.skip_unset = true}));
  if (name.words.size() != 1) return std::nullopt;
  const Expanded written = TRY(expand_words(rest, {}, {.raw_quotes = true, .raw_escapes = true, .skip_unset = true}));
  heredoc.name = name.words.front();
  heredoc.expand = written.words.size() == 1 && heredoc.name == written.words.front();
  return heredoc;
}

base::Result<std::vector<Heredoc>> heredocs_of(std::string_view line) {
  const WordRules as_written{.raw_quotes = true, .raw_escapes = true, .skip_unset = true};
  std::vector<Heredoc> found;
  for (const std::string& word : TRY(expand_words(line, {}, as_written)).words) {
    auto heredoc = TRY(parse_heredoc(word));
    if (heredoc) found.push_back(std::move(*heredoc));
  }
  return found;
}

std::string without_leading_tabs(std::string_view content) {
  std::string out;
  bool at_front = true;
  for (const char c : content) {
    if (at_front && c == '\t') continue;
    at_front = c == '\n';
    out += c;
  }
  return out;
}

}  // namespace cairn::dockerfile
