// SPDX-License-Identifier: Apache-2.0
#include "libremote/registry/retry_after.h"

#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>

namespace cairn::remote {

namespace {

constexpr std::int64_t seconds_max = 1'000'000'000;

// RFC 9110, 5.6.7: as all write it now, and the two older spellings, which all have to read.
std::optional<std::int64_t> parse_http_date(const std::string& text) {
  for (const char* spelling : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    tm parts{};
    const char* end = ::strptime(text.c_str(), spelling, &parts);
    if (end == text.data() + text.size()) return ::timegm(&parts);
  }
  return std::nullopt;
}

std::optional<std::int64_t> parse_seconds(const std::string& text) {
  std::int64_t seconds = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, seconds);
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range) return text.starts_with('-') ? 0 : seconds_max;
  return seconds;
}

}  // namespace

std::optional<std::chrono::seconds> retry_after(const cache::FetchAnswer& answer,
                                                std::chrono::system_clock::time_point now) {
  const std::string& text = answer.header("retry-after");
  std::optional<std::int64_t> seconds = parse_seconds(text);
  if (!seconds) {
    const auto until = parse_http_date(text);
    if (!until) return std::nullopt;
    seconds = *until - parse_http_date(answer.header("date")).value_or(std::chrono::system_clock::to_time_t(now));
  }
  if (*seconds <= 0) return std::nullopt;
  return std::chrono::seconds(std::min(*seconds, seconds_max));
}

}  // namespace cairn::remote
