// SPDX-License-Identifier: Apache-2.0
// Regular expressions in Go's syntax, behind the door of RE2: linear in the text, whatever the expression.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::cache {

// Immutable, so thread-safe; copies share what was compiled.
class Regex {
 public:
  // Errors: invalid_argument (what is wrong with it).
  static base::Result<Regex> compile(std::string_view expression);
  // The first match anywhere in the text: [0] all of it, then each group ("" for one that took no part). nullopt: none.
  std::optional<std::vector<std::string>> search(std::string_view text) const;
  const std::map<std::string, int>& named_groups() const;

 private:
  struct Compiled;
  explicit Regex(std::shared_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace cairn::cache
