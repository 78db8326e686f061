// SPDX-License-Identifier: Apache-2.0
// Any WWW-Authenticate header and any answer of a token service: what comes of it can be sent, and challenges that are
// written again are read as themselves.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "libbase/result.h"
#include "libremote/registry/challenge.h"

namespace {

using namespace cairn::remote;

std::string written(const std::vector<Challenge>& challenges) {
  std::string header;
  for (const Challenge& challenge : challenges) {
    header += (header.empty() ? "" : ", ") + challenge.scheme;
    const char* between = " ";
    for (const auto& [name, value] : challenge.parameters) {
      header += std::exchange(between, ", ") + name + "=\"";
      for (const char c : value) header += (c == '"' || c == '\\') ? std::string{'\\', c} : std::string{c};
      header += '"';
    }
  }
  return header;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::vector<Challenge> challenges = parse_challenges(text);
  const std::vector<Challenge> again = parse_challenges(written(challenges));
  CHECK(std::equal(challenges.begin(), challenges.end(), again.begin(), again.end(), [](const auto& a, const auto& b) {
    return a.scheme == b.scheme && a.parameters == b.parameters;
  }));
  for (const Challenge& challenge : challenges) {
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
