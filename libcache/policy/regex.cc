// SPDX-License-Identifier: Apache-2.0
#include "libcache/regex.h"

#include <re2/re2.h>

namespace cairn::cache {

struct Regex::Compiled {
  explicit Compiled(std::string_view expression) : re(re2::StringPiece(expression.data(), expression.size()), options()) {}
  static RE2::Options options() {
    RE2::Options quiet(RE2::Quiet);
    quiet.set_max_mem(8 << 20);
    return quiet;
  }
  RE2 re;
};

base::Result<Regex> Regex::compile(std::string_view expression) {
  auto compiled = std::make_shared<const Compiled>(expression);
  if (!compiled->re.ok()) {
    return base::fail(base::ErrorCode::invalid_argument, "regular expression \"{}\": {}", expression, compiled->re.error());
  }
  return Regex(std::move(compiled));
}

std::optional<std::vector<std::string>> Regex::search(std::string_view text) const {
  const RE2& re = compiled_->re;
  std::vector<re2::StringPiece> found(static_cast<std::size_t>(re.NumberOfCapturingGroups()) + 1);
  const re2::StringPiece piece(text.data(), text.size());
  if (!re.Match(piece, 0, piece.size(), RE2::UNANCHORED, found.data(), static_cast<int>(found.size()))) return std::nullopt;
  std::vector<std::string> groups;
  for (const re2::StringPiece& each : found) groups.emplace_back(each.data() == nullptr ? "" : each.data(), each.size());
  return groups;
}

const std::map<std::string, int>& Regex::named_groups() const { return compiled_->re.NamedCapturingGroups(); }

}  // namespace cairn::cache
