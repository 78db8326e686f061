// SPDX-License-Identifier: Apache-2.0
// What a registry says of where an upload goes on (Location), how much it has of it (Range) and when to come again
// (Retry-After): a line each of the input, and a fourth that is its date. A place that is said without a host is where
// the answer is from, and what we would write ourselves is read as what it is.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libremote/registry/retry_after.h"
#include "libremote/registry/upload.h"

namespace {

using namespace cairn;

std::string take_line(std::string_view& text) {
  const std::string line(text.substr(0, text.find('\n')));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

void check_location(const std::string& location) {
  for (const char* from : {"https://r.example:5000/v2/a/b/blobs/uploads/7?state=x/y", "https://r.example:5000",
                           "https://r.example:5000/v2/a/blobs/uploads/"}) {
    cache::FetchAnswer answer;
    answer.url = from;
    answer.headers = {{"location", location}};
    const std::string place = remote::resolve_location(answer);
    if (location.empty() || location.starts_with("https://") || location.starts_with("http://")) {
      CHECK(place == location);
    } else if (location.starts_with("//")) {
      CHECK(place == "https:" + location);
    } else {
      CHECK(place.starts_with("https://r.example:5000/") && place.ends_with(location), "{}", place);
      CHECK(remote::origin_of(place) == remote::origin_of(from), "{}", place);
    }
  }
}

void check_retry_after(const std::string& text, const std::string& date) {
  cache::FetchAnswer answer;
  answer.headers = {{"retry-after", text}, {"date", date}};
  const auto asked = remote::retry_after(answer, {});
  if (!asked) return;
  CHECK(asked->count() > 0 && asked->count() <= 1'000'000'000);
  answer.headers = {{"retry-after", std::to_string(asked->count())}};
  CHECK(remote::retry_after(answer, {}) == asked);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  check_location(take_line(text));
  if (const std::uint64_t taken = remote::bytes_taken(take_line(text)); taken > 0)
    CHECK(remote::bytes_taken("0-" + std::to_string(taken - 1)) == taken);
  const std::string asked = take_line(text);
  check_retry_after(asked, take_line(text));
  return 0;
}
