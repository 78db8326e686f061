// SPDX-License-Identifier: Apache-2.0
// The flags of one instruction. Each is known or an error, and given once unless it is a list.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::dockerfile {

class Flags {
 public:
  enum class Kind { text, list, yes_or_no };
  using Known = std::map<std::string, Kind, std::less<>>;

  // Errors: invalid_argument (unknown flag, given twice, a value that is missing or no boolean).
  static base::Result<Flags> parse(const std::vector<std::string>& flags, const Known& known);

  std::string text(std::string_view name) const;
  const std::vector<std::string>& list(std::string_view name) const;
  bool is_set(std::string_view name) const { return values_.contains(name); }
  bool is_true(std::string_view name) const { return text(name) == "true"; }

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

// " (did you mean X?)", or "" if nothing is near.
std::string suggestion(std::string_view word, const std::vector<std::string>& options);
// The option that is nearest and at most two letters off; "": none, or the word is one of them.
std::string nearest(std::string_view word, const std::vector<std::string>& options);

}  // namespace cairn::dockerfile
