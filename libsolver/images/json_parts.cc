// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/json_parts.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "libsolver/sources/oci_json.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

// Looks at the characters of valid JSON one by one: which of them are structure, and how deep they are.
class Cursor {
 public:
  // Whether the character is outside of strings; the quotes are inside.
  bool is_structure(char c) {
    if (in_string_) {
      if (escaped_)
        escaped_ = false;
      else if (c == '\\')
        escaped_ = true;
      else if (c == '"')
        in_string_ = false;
      return false;
    }
    if (c == '"') {
      in_string_ = true;
      return false;
    }
    if (c == '{' || c == '[') ++depth_;
    if (c == '}' || c == ']') --depth_;
    return true;
  }
  int depth() const { return depth_; }  // behind the character

 private:
  bool in_string_ = false, escaped_ = false;
  int depth_ = 0;
};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

std::string escape_as_go(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '<' || c == '>' || c == '&') {
      out += c == '<' ? "\\u003c" : c == '>' ? "\\u003e" : "\\u0026";
    } else if (json.substr(i, 2) == "\xe2\x80" && i + 2 < json.size() && (json[i + 2] & ~1) == '\xa8') {
      out += json[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += c;
    }
  }
  return out;
}

Result<std::string> compact_json(std::string_view text) {
  if (text.size() > OciDocumentLimits::bytes_max)
    return fail(ErrorCode::invalid_argument, "{} bytes of JSON; at most {} are read", text.size(),
                OciDocumentLimits::bytes_max);
  // The parser takes a NUL for the end.
  if (text.find('\0') != text.npos || !nlohmann::json::accept(text)) return fail(ErrorCode::corrupt, "not JSON");
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Cursor cursor;
  std::string out;
  for (const char c : text) {
    if (cursor.is_structure(c) && is_space(c)) continue;
    out += c;
    if (cursor.depth() > OciDocumentLimits::depth_max)
      return fail(ErrorCode::invalid_argument, "JSON nested more than {} deep", OciDocumentLimits::depth_max);
  }
  return escape_as_go(out);
}

Result<std::vector<JsonPart>> json_parts(std::string_view compact) {
  const bool is_object = compact.starts_with('{');
  if (!is_object && !compact.starts_with('[')) return fail(ErrorCode::corrupt, "neither a JSON object nor an array");
  std::vector<JsonPart> parts;
  std::set<std::string> keys;
  Cursor cursor;
  JsonPart part;
  std::size_t begin = 1;
  for (std::size_t i = 0; i < compact.size(); ++i) {
    const char c = compact[i];
    if (!cursor.is_structure(c)) continue;
    const bool is_end = cursor.depth() == 0;
    if (is_object && c == ':' && cursor.depth() == 1) {
      part.key = TRY(json_string(compact.substr(begin, i - begin)));
      if (!keys.insert(part.key).second)
        return fail(ErrorCode::corrupt, "\"{}\" is there twice", part.key.substr(0, 100));
      begin = i + 1;
    } else if (is_end || (c == ',' && cursor.depth() == 1)) {
      if (begin < i) parts.push_back({std::move(part.key), std::string(compact.substr(begin, i - begin))});
      part = {};
      begin = i + 1;
    }
  }
  return parts;
}

Result<std::string> json_string(std::string_view compact) {
  const auto parsed = nlohmann::json::parse(compact, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_string()) return fail(ErrorCode::corrupt, "no JSON string: {}", compact.substr(0, 100));
  return parsed.get<std::string>();
}

}  // namespace cairn::solver
