// SPDX-License-Identifier: Apache-2.0
#include "libsolver/ops/source_attrs.h"

#include <charconv>

#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string hash_text(std::string_view text) { return "sha256:" + base::to_hex(base::sha256(text)); }

CacheMap source_map(std::string_view key) { return hashed_cache_map(fmt::format("buildkit.source.v0:{}", key)); }

const std::string* find_attr(const wire::SourceOp& source, const std::string& name) {
  const auto found = source.attrs.find(name);
  return found == source.attrs.end() ? nullptr : &found->second;
}

std::string attr_text(const wire::SourceOp& source, const std::string& name) {
  const std::string* attr = find_attr(source, name);
  return attr == nullptr ? std::string() : *attr;
}

Result<std::string> list_json_attr(const wire::SourceOp& source, const std::string& name) {
  const std::string* attr = find_attr(source, name);
  if (attr == nullptr) return std::string("null");
  const auto list = nlohmann::json::parse(*attr, nullptr, false);
  if (list.is_null()) return std::string("null");
  const auto bad = [&] { return fail(ErrorCode::invalid_argument, "{}: not a JSON list of strings: {}", name, *attr); };
  if (!list.is_array()) return bad();
  std::vector<std::string> texts;
  for (const auto& item : list) {
    if (!item.is_string() && !item.is_null()) return bad();
    texts.push_back(item.is_null() ? std::string() : item.get<std::string>());
  }
  return wire::go_json(texts);
}

Result<bool> bool_attr(const wire::SourceOp& source, const std::string& name) {
  const std::string* attr = find_attr(source, name);
  if (attr == nullptr) return false;
  for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (*attr == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (*attr == no) return false;
  }
  return fail(ErrorCode::invalid_argument, "{}: not a boolean: {}", name, *attr);
}

Result<std::int64_t> int_attr(const wire::SourceOp& source, const std::string& name) {
  const std::string* attr = find_attr(source, name);
  if (attr == nullptr) return 0;
  std::string_view digits = *attr;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = digits[1];
    base = mark == 'x' || mark == 'X' ? 16 : mark == 'b' || mark == 'B' ? 2 : 8;
    digits.remove_prefix(base != 8 || mark == 'o' || mark == 'O' ? 2 : 1);
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.starts_with('-')) {
    return fail(ErrorCode::invalid_argument, "{}: not a number: {}", name, *attr);
  }
  return negative ? -value : value;
}

Result<std::int64_t> layer_limit_attr(const wire::SourceOp& source, const std::string& name) {
  if (find_attr(source, name) == nullptr) return 0;
  const std::int64_t limit = TRY(int_attr(source, name));
  if (limit > 0) return limit;
  return fail(ErrorCode::invalid_argument, "{} \"{}\" is not a positive number", name, attr_text(source, name));
}

}  // namespace cairn::solver
