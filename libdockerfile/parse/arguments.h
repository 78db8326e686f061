// SPDX-License-Identifier: Apache-2.0
// What stands behind an instruction and its flags, in the forms that instructions have (spec/solver 9.3).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::dockerfile {

// Words with their quotes and escapes.
std::vector<std::string> quoted_words(std::string_view text, char escape);

struct ListOrText {
  bool is_list = false;            // it was written as a JSON array
  std::vector<std::string> words;  // its elements; else the one text, or nothing
};
// Errors: invalid_argument (an array that holds something else than strings). What is no JSON is text.
base::Result<ListOrText> list_or_text(std::string_view text);
// Likewise, but a text is cut at white space.
base::Result<ListOrText> list_or_words(std::string_view text);

struct KeyValue {
  std::string key, value;
  bool legacy = false;  // "KEY value": everything behind the key
};
// Errors: invalid_argument. `instruction` is for messages.
base::Result<std::vector<KeyValue>> key_values(std::string_view text, std::string_view instruction, char escape);

}  // namespace cairn::dockerfile
