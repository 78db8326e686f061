// SPDX-License-Identifier: Apache-2.0
#include "libbase/toml/toml_table.h"

#include <algorithm>

namespace cairn::base {

namespace {

bool same_key(std::string_view a, std::string_view b, KeyCase key_case) {
  if (key_case == KeyCase::exact) return a == b;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

// Behind the string that begins at the given place, or the end of the text.
std::size_t after_string(std::string_view text, std::size_t at) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool is_long = text.substr(at).starts_with(three);
  for (at += is_long ? 3 : 1; at < text.size(); ++at) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
    } else if (is_long && text.substr(at).starts_with(three)) {
      at += 3;
      for (int more = 0; more < 2 && at < text.size() && text[at] == quote; ++more) ++at;  // its last characters
      return at;
    } else if (!is_long && (text[at] == quote || text[at] == '\n')) {
      return at + 1;
    }
  }
  return text.size();
}

// Where there is more than printable ASCII and space outside of strings and comments. No TOML has that, and the parser
// runs into what it holds for unreachable when a key begins with it.
std::optional<std::size_t> find_stray_character(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    const bool is_space = c == '\t' || c == '\n' || c == '\r';
    if (!is_space && (c < ' ' || c > '~')) return at;  // above ASCII it is negative
    if (c == '"' || c == '\'') {
      at = after_string(text, at);
    } else {
      at = c == '#' ? std::min(text.find('\n', at), text.size()) : at + 1;
    }
  }
  return std::nullopt;
}

}  // namespace

Result<toml::parse_result> parse_toml(std::string_view text, std::string_view file) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const auto is_beyond = [](char c) { return static_cast<unsigned char>(c) >= 0x80; };
  if (std::any_of(text.begin(), text.end(), is_beyond)) {
    // Where strings begin and end can be trusted once the text is TOML but for these characters.
    std::string plain(text);
    std::replace_if(plain.begin(), plain.end(), is_beyond, 'x');
    TRY(parse_toml(plain, file));
  }
  if (const auto stray = find_stray_character(text)) {
    return fail(ErrorCode::invalid_argument, "{}, line {}: only strings and comments hold other than printable ASCII",
                file, 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(*stray), '\n'));
  }
  toml::parse_result parsed = toml::parse(text);
  if (parsed) return parsed;
  return fail(ErrorCode::invalid_argument, "{}, line {}: {}", file, parsed.error().source().begin.line,
              parsed.error().description());
}

const toml::node* TomlTable::find(std::string_view key) const {
  for (const auto& [name, node] : *table_)
    if (same_key(name.str(), key, key_case_)) return &node;
  return nullptr;
}

const toml::node* TomlTable::take(std::string_view key) {
  asked_.emplace(key);
  return find(key);
}

tl::unexpected<Error> TomlTable::wrong(std::string_view key, std::string_view why) const {
  const toml::node* node = find(key);
  const auto line = (node != nullptr ? node->source() : table_->source()).begin.line;
  const std::string where = path_.empty() ? std::string(key) : key.empty() ? path_ : fmt::format("{}, {}", path_, key);
  return fail(ErrorCode::invalid_argument, "{}, line {}: {}: {}", file_, line, where, why);
}

Result<std::optional<std::string>> TomlTable::text(std::string_view key) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::optional<std::string>();
  if (const auto* value = node->as_string()) return std::optional<std::string>(value->get());
  return wrong(key, "want a text in quotes");
}

Result<std::optional<bool>> TomlTable::truth(std::string_view key) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::optional<bool>();
  if (const auto* value = node->as_boolean()) return std::optional<bool>(value->get());
  return wrong(key, "want true or false");
}

Result<std::optional<std::int64_t>> TomlTable::integer(std::string_view key) {
  const toml::node* node = take(key);
  if (node == nullptr || node->is_string()) return std::optional<std::int64_t>();
  const auto* value = node->as_integer();
  if (value == nullptr || value->get() < 0) return wrong(key, "want a text in quotes or a number from 0 on");
  return std::optional<std::int64_t>(value->get());
}

template <class T>
Result<std::vector<T>> TomlTable::one_or_more(std::string_view key, std::string_view what) {
  std::vector<T> out;
  const toml::node* node = take(key);
  if (node == nullptr) return out;
  if (const auto* value = node->as<T>()) return std::vector<T>{value->get()};
  const auto* array = node->as_array();
  if (array == nullptr) return wrong(key, fmt::format("want {} or an array of them", what));
  for (const toml::node& element : *array) {
    const auto* value = element.as<T>();
    if (value == nullptr) return wrong(key, fmt::format("every element has to be {}", what));
    out.push_back(value->get());
  }
  return out;
}

Result<std::vector<std::string>> TomlTable::texts(std::string_view key) {
  return one_or_more<std::string>(key, "a text in quotes");
}

Result<std::vector<std::int64_t>> TomlTable::integers(std::string_view key) {
  auto numbers = TRY(one_or_more<std::int64_t>(key, "a number"));
  for (const std::int64_t number : numbers)
    if (number < 0) return wrong(key, "want numbers from 0 on");
  return numbers;
}

Result<std::vector<TomlTable>> TomlTable::tables(std::string_view key) {
  std::vector<TomlTable> out;
  const toml::node* node = take(key);
  if (node == nullptr) return out;
  const auto* array = node->as_array();
  if (array == nullptr) return wrong(key, fmt::format("want [[{}]]", key));
  for (const toml::node& element : *array) {
    const auto* table = element.as_table();
    if (table == nullptr) return wrong(key, fmt::format("want [[{}]]", key));
    const std::string path = (path_.empty() ? "" : path_ + ", ") + fmt::format("{} {}", key, out.size() + 1);
    out.emplace_back(*table, file_, path, key_case_);
  }
  return out;
}

Result<std::optional<TomlTable>> TomlTable::table(std::string_view key) {
  const toml::node* node = take(key);
  if (node == nullptr) return std::optional<TomlTable>();
  const auto* table = node->as_table();
  if (table == nullptr) return wrong(key, fmt::format("want [{}]", key));
  const std::string path = path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
  return std::optional<TomlTable>(TomlTable(*table, file_, path, key_case_));
}

Status TomlTable::expect_no_other() const {
  for (const auto& field : *table_) {
    const auto name = field.first.str();
    const bool known = std::any_of(asked_.begin(), asked_.end(),
                                   [&](const std::string& key) { return same_key(name, key, key_case_); });
    if (!known) return wrong(name, "no such field");
  }
  return {};
}

}  // namespace cairn::base
