// SPDX-License-Identifier: Apache-2.0
// The patterns of ${NAME#…}, ${NAME%…} and ${NAME/…/…}: `*`, `?`, and characters, of which a backslash makes any plain.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::dockerfile {

enum class Extent { shortest, longest };

// Each match costs at most the length of the pattern times that of the text.
class ShellPattern {
 public:
  enum class Which { first, all };
  // Errors: invalid_argument (it ends in a backslash).
  static base::Result<ShellPattern> parse(std::string_view text);
  std::string without_prefix(std::string_view text, Extent extent) const;
  std::string without_suffix(std::string_view text, Extent extent) const;
  // Errors: invalid_argument (a long text and a pattern with `*`).
  base::Result<std::string> replaced(std::string_view text, std::string_view replacement, Which which) const;

 private:
  enum class Kind : char { character, any, many };
  struct Item {
    Kind kind;
    char character;
  };
  // Where matches that begin at the front of the text end: [i] if one ends before text[i].
  bool has_many() const;
  std::vector<bool> ends(std::string_view text) const;
  std::vector<Item> items_;
};

}  // namespace cairn::dockerfile
