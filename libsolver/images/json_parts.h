// SPDX-License-Identifier: Apache-2.0
// JSON that is kept as somebody else has written it: numbers, escapes and members that nobody here knows stay what they
// are, to the byte, as Go's encoding/json keeps a RawMessage.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::solver {

// Without white space between tokens, and with `<`, `>`, `&`, U+2028 and U+2029 escaped. Errors: corrupt (not JSON),
// invalid_argument (over the limits of OciDocumentLimits).
base::Result<std::string> compact_json(std::string_view text);

struct JsonPart {
  std::string key;   // of an object's member, unescaped
  std::string text;  // of the value
};
// The members of an object, or the elements of an array, of compact JSON, in their order. Errors: corrupt (it is
// neither; an object names a member twice).
base::Result<std::vector<JsonPart>> json_parts(std::string_view compact);

// The string that a JSON string stands for. Errors: corrupt (it is none).
base::Result<std::string> json_string(std::string_view compact);

// Of JSON that is valid: what Go escapes in strings, escaped.
std::string escape_as_go(std::string_view json);

}  // namespace cairn::solver
