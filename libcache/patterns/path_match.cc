// SPDX-License-Identifier: Apache-2.0
// Go's path.Match. A pattern is a row of chunks, each a text without '*' that may be preceded by stars. Every chunk
// takes the first place where it fits and is never tried again, so the cost is at most pattern times name.
#include <algorithm>
#include <optional>

#include "libcache/pattern.h"
#include "libcache/patterns/utf8.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

struct Chunk {
  bool star = false;
  std::string_view text;
};

// Takes the next chunk off the front of the pattern. A '*' between brackets is a character.
Chunk take_chunk(std::string_view& pattern) {
  Chunk chunk;
  while (pattern.starts_with('*')) {
    chunk.star = true;
    pattern.remove_prefix(1);
  }
  bool in_brackets = false;
  std::size_t end = 0;
  for (; end < pattern.size(); ++end) {
    const char c = pattern[end];
    if (c == '\\') {
      end = std::min(end + 1, pattern.size() - 1);
    } else if (c == '[') {
      in_brackets = true;
    } else if (c == ']') {
      in_brackets = false;
    } else if (c == '*' && !in_brackets) {
      break;
    }
  }
  chunk.text = pattern.substr(0, end);
  pattern.remove_prefix(end);
  return chunk;
}

auto bad_pattern() { return fail(ErrorCode::invalid_argument, "syntax error in pattern"); }

// One end of a range in brackets, possibly escaped. Something must follow it, at least the ']'.
Result<char32_t> take_range_end(std::string_view& chunk) {
  if (chunk.empty() || chunk.front() == '-' || chunk.front() == ']') return bad_pattern();
  if (chunk.front() == '\\') chunk.remove_prefix(1);
  const Rune rune = decode_rune(chunk);
  if (rune.width == 0 || rune.is_invalid()) return bad_pattern();
  chunk.remove_prefix(rune.width);
  if (chunk.empty()) return bad_pattern();
  return rune.value;
}

// Takes what stands between '[' and ']' (both included) and says whether the rune is one of it. Brackets, unlike '*'
// and
// '?', do match a '/'.
Result<bool> take_brackets(std::string_view& chunk, char32_t rune) {
  chunk.remove_prefix(1);
  const bool negated = chunk.starts_with('^');
  if (negated) chunk.remove_prefix(1);
  bool found = false;
  for (int ranges = 0; !(chunk.starts_with(']') && ranges > 0); ++ranges) {
    const char32_t low = TRY(take_range_end(chunk));
    char32_t high = low;
    if (chunk.front() == '-') {
      chunk.remove_prefix(1);
      high = TRY(take_range_end(chunk));
    }
    found = found || (low <= rune && rune <= high);
  }
  chunk.remove_prefix(1);
  return found != negated;
}

// What is left of name after the chunk, or nothing if it does not begin with it. The chunk's syntax is checked to its
// end in either case, so that whether a pattern is bad does not depend on the name.
Result<std::optional<std::string_view>> match_chunk(std::string_view chunk, std::string_view name) {
  bool failed = false;
  while (!chunk.empty()) {
    failed = failed || name.empty();
    if (chunk.front() == '[') {
      const Rune rune = failed ? Rune{0, 0} : decode_rune(name);
      name.remove_prefix(rune.width);
      if (!TRY(take_brackets(chunk, rune.value))) failed = true;
      continue;
    }
    if (chunk.front() == '?') {
      failed = failed || name.front() == '/';
      if (!failed) name.remove_prefix(decode_rune(name).width);
    } else {
      if (chunk.front() == '\\') {
        chunk.remove_prefix(1);
        if (chunk.empty()) return bad_pattern();
      }
      failed = failed || chunk.front() != name.front();
      if (!failed) name.remove_prefix(1);
    }
    chunk.remove_prefix(1);
  }
  if (failed) return std::nullopt;
  return name;
}

enum class Place { inner, last };

// The first place where the chunk fits: here, or behind some bytes that a star may swallow. The last chunk must reach
// the end of the name.
Result<std::optional<std::string_view>> place_chunk(const Chunk& chunk, std::string_view name, Place place) {
  for (std::size_t skipped = 0;; ++skipped) {
    const auto rest = TRY(match_chunk(chunk.text, name.substr(skipped)));
    if (rest && (rest->empty() || place == Place::inner)) return rest;
    if (!chunk.star || skipped >= name.size() || name[skipped] == '/') return std::nullopt;
  }
}

}  // namespace

Result<bool> path_match(std::string_view pattern, std::string_view name) {
  while (!pattern.empty()) {
    const Chunk chunk = take_chunk(pattern);
    if (chunk.star && chunk.text.empty()) return name.find('/') == std::string_view::npos;
    const auto rest = TRY(place_chunk(chunk, name, pattern.empty() ? Place::last : Place::inner));
    if (!rest) {
      while (!pattern.empty()) TRY(match_chunk(take_chunk(pattern).text, ""));
      return false;
    }
    name = *rest;
  }
  return name.empty();
}

bool has_wildcard(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '*' || text[i] == '?' || text[i] == '[') {
      return true;
    }
  }
  return false;
}

}  // namespace cairn::cache
