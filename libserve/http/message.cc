// SPDX-License-Identifier: Apache-2.0
#include "libserve/http/message.h"

#include <algorithm>

#include "libserve/http/words.h"

namespace cairn::serve {

std::string_view find_header(const Headers& headers, std::string_view name) {
  const auto found = std::find_if(headers.begin(), headers.end(), [&](const Header& header) { return same_word(header.name, name); });
  return found == headers.end() ? std::string_view() : std::string_view(found->value);
}

Reply text_reply(unsigned status, std::string text) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  return {.status = status, .headers = {{"Content-Type", "text/plain; charset=utf-8"}}, .text = std::move(text)};
}

Reply error_reply(const base::Error& error) {
  const auto status = [&]() -> unsigned {
    switch (error.code) {
      case base::ErrorCode::not_found: return 404;
      case base::ErrorCode::already_exists: return 409;
      case base::ErrorCode::invalid_argument: return 400;
      case base::ErrorCode::corrupt: return 422;
      case base::ErrorCode::no_space: return 507;
      case base::ErrorCode::busy: return 503;
      case base::ErrorCode::unavailable: return 501;
      case base::ErrorCode::cancelled: return 503;
      case base::ErrorCode::io: break;
    }
    return 500;
  };
  return text_reply(status(), error.message);
}

}  // namespace cairn::serve
