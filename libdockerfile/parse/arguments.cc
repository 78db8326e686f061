// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/parse/arguments.h"

#include <nlohmann/json.hpp>

#include "libdockerfile/dockerfile.h"
#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

using base::Result;

}  // namespace

std::vector<std::string> quoted_words(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  bool begun = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quote == 0 && is_space(c)) {
      if (begun) words.push_back(std::exchange(word, {}));
      begun = false;
      continue;
    }
    if (quote == 0 && (c == '\'' || c == '"'))
      quote = c;
    else if (c == quote)
      quote = 0;
    if (c == escape && quote != '\'') {
      if (at + 1 == text.size()) break;  // one at the end escapes nothing
      word += c;
      word += text[++at];
    } else {
      word += c;
    }
    begun = true;
  }
  if (begun) words.push_back(std::move(word));
  return words;
}

Result<ListOrText> list_or_text(std::string_view text) {
  ListOrText out;
  if (text.empty()) return out;
  const std::string_view trimmed = trim_left(text);
  if (trimmed.starts_with('[')) {
    const auto json = nlohmann::json::parse(trimmed, nullptr, false);
    if (json.is_array()) {
      for (const auto& element : json) {
        if (!element.is_string()) {
          return refuse("when using JSON array syntax, arrays must be comprised of strings only");
        }
        out.words.push_back(element.get<std::string>());
      }
      out.is_list = true;
      return out;
    }
  }
  out.words.emplace_back(text);
  return out;
}

Result<ListOrText> list_or_words(std::string_view text) {
  ListOrText out = TRY(list_or_text(text));
  if (!out.is_list) out.words = split_space(text);
  return out;
}

Result<std::vector<KeyValue>> key_values(std::string_view text, std::string_view instruction, char escape) {
  std::vector<KeyValue> pairs;
  const std::vector<std::string> words = quoted_words(text, escape);
  if (words.empty()) return pairs;
  if (words[0].find('=') == std::string::npos) {
    const Cut at = cut_space(text);
    if (!at.found) return refuse("{} must have two arguments", instruction);
    pairs.push_back({std::string(at.head), std::string(at.rest), true});
    return pairs;
  }
  for (const std::string& word : words) {
    const Cut at = cut(word, '=');
    if (!at.found) {
      return refuse("Syntax error - can't find = in {}. Must be of the form: name=value", go_quoted(word));
    }
    pairs.push_back({std::string(at.head), std::string(at.rest), false});
  }
  return pairs;
}

Result<std::vector<std::string>> csv_fields(std::string_view text) {
  std::vector<std::string> fields;
  std::size_t at = 0;
  while (true) {
    std::string field;
    if (at < text.size() && text[at] == '"') {
      for (++at;; ++at) {
        if (at >= text.size()) return refuse("extraneous or missing \" in quoted-field");
        if (text[at] != '"')
          field += text[at];
        else if (text.substr(at).starts_with("\"\""))
          field += text[at++];
        else
          break;
      }
      ++at;
      if (at < text.size() && text[at] != ',') {
        return refuse("extraneous or missing \" in quoted-field");
      }
    } else {
      const std::size_t end = std::min(text.find(',', at), text.size());
      field = text.substr(at, end - at);
      if (field.find('"') != std::string::npos) return refuse("bare \" in non-quoted-field");
      at = end;
    }
    fields.push_back(std::move(field));
    if (at >= text.size()) return fields;
    ++at;
  }
}

}  // namespace cairn::dockerfile
