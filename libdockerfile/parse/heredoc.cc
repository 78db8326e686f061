// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/parse/heredoc.h"

#include <algorithm>

#include "libdockerfile/parse/shell_words.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {

base::Result<std::optional<Heredoc>> parse_heredoc(std::string_view word) {
  std::size_t at = 0;
  while (at < word.size() && word[at] >= '0' && word[at] <= '9') ++at;
  const std::string_view descriptor = word.substr(0, at);
  if (!word.substr(at).starts_with("<<") || (!descriptor.empty() && descriptor != "0")) return std::nullopt;
  std::string_view rest = word.substr(at + 2);
  Heredoc heredoc;
  heredoc.chomp = rest.starts_with('-');
  if (heredoc.chomp) rest.remove_prefix(1);
  rest = trim_left(rest);
  if (rest.empty() || rest.find('<') != std::string_view::npos) return std::nullopt;

  const auto words = expand_words(rest, {}, {.raw_escapes = true, .skip_unset = true});
  if (!words || words->words.size() != 1) return std::nullopt;
  const auto with_quotes = TRY(expand_words(rest, {}, {.raw_quotes = true, .raw_escapes = true, .skip_unset = true}));
  if (with_quotes.words.size() != 1) return std::nullopt;
  heredoc.name = words->words.front();
  heredoc.expand = heredoc.name == with_quotes.words.front();
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
