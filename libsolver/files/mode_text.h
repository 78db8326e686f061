// SPDX-License-Identifier: Apache-2.0
// Modes as chmod(1) takes them: "755", "u+x,go-w", "u=rwX,go=rX", "g=u-w".
#pragma once

#include <sys/stat.h>

#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::solver {

class ModeChange {
 public:
  // Errors: invalid_argument.
  static base::Result<ModeChange> parse(std::string_view text);
  // The permissions, set-id and sticky bits that a file of this mode (with its type) gets.
  mode_t apply(mode_t mode) const;

 private:
  struct Step {
    char op = '+';               // '+', '-', '='
    mode_t who = 0;              // the classes that it is about, as a mask of 0777; their set-id bits follow from it
    mode_t bits = 0;             // what is added or taken away, for all classes
    bool execute_if_any = false;  // X
    char copied_class = 0;       // 'u', 'g', 'o': the bits that this class has then
  };
  static base::Result<std::string_view> parse_clause(std::string_view text, std::vector<Step>& steps);
  std::vector<Step> steps_;
};

}  // namespace cairn::solver
