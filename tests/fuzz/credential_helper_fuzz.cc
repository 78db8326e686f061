// SPDX-License-Identifier: Apache-2.0
// What a credential helper says: an answer is read again as itself, and what is told of a failure is one short line
// that is no answer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "libremote/registry/credential_helper.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::remote;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto answer = parse_helper_answer(text)) {
    const nlohmann::json json = {{"ServerURL", "x"}, {"Username", answer->user}, {"Secret", answer->secret}};
    const auto again = parse_helper_answer(json.dump());
    CHECK(again && again->user == answer->user && again->secret == answer->secret);
    CHECK(helper_reason(text).empty());
  } else {
    CHECK(answer.error().code == cairn::base::ErrorCode::unavailable && answer.error().message.size() < 200);
  }
  const std::string reason = helper_reason(text);
  CHECK(reason.size() <= 200 && (reason.empty() || text.find('{') == text.npos));
  CHECK(std::none_of(reason.begin(), reason.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
  return 0;
}
