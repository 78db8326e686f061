// SPDX-License-Identifier: Apache-2.0
// What several doors answer with.
#pragma once

#include <string>
#include <string_view>

#include "libserve/http/message.h"

namespace cairn::serve {

inline Begun answered(Reply reply) {
  Begun begun;
  begun.answer.reply = std::move(reply);
  return begun;
}
Begun only(std::string methods);  // 405
Reply refusal(Verdict verdict);   // 401, 403, 429

// Headers that a door keeps with a value, as lines "Name: value\n" among its attributes.
void add_attributes(Reply& reply, std::string_view attributes);
Headers read_attributes(std::string_view attributes);

}  // namespace cairn::serve
