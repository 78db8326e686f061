// SPDX-License-Identifier: Apache-2.0
// Any WWW-Authenticate header and any answer of a token service: what comes of it can be sent.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "libbase/result.h"
#include "libremote/registry/challenge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::remote;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const Challenge& challenge : parse_challenges(text)) {
    CHECK(!challenge.scheme.empty());
    const auto url = token_url(challenge, "repository:a/b:pull");
    CHECK(!url || url->starts_with("http"));
    const auto form = refresh_request(challenge, "repository:a/b:pull", text);
    CHECK(form.has_value() == url.has_value());
    CHECK(!form || form->body.find_first_of(" \r\n") == std::string::npos);
  }
  if (const auto token = parse_token(text)) {
    CHECK(std::none_of(token->begin(), token->end(), [](unsigned char c) { return c <= 0x20 || c >= 0x7f; }));
  }
  return 0;
}
