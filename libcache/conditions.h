// SPDX-License-Identifier: Apache-2.0
// containerd's grammar of filters: conditions with commas between them, all of which must hold. A condition is FIELD,
// FIELD==VALUE, FIELD!=VALUE or FIELD~=EXPRESSION. FIELD is components with dots between them, VALUE a word; both may be
// quoted as in Go ("..." or `...`), and an expression may stand between '/' or '|'. Beyond containerd: '=' is '=='.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::cache {

struct Condition {
  enum class Operator : std::uint8_t { present, equal, not_equal, matches };
  std::vector<std::string> path;  // at least one component
  Operator op = Operator::present;
  std::string value;  // or the expression, which is not compiled
};

// Gives them to `accept` in their order; what it refuses is an error of that place in the text. The empty text has none.
// like: a filter for the hint. Errors: invalid_argument, with the position in the text.
base::Status parse_conditions(std::string_view text, std::string_view like,
                              const std::function<base::Status(Condition)>& accept);

}  // namespace cairn::cache
