// SPDX-License-Identifier: Apache-2.0
// Any target of a request: what is parsed is a name that needs no look any more. And any header field that is looked into.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "libserve/http/words.h"
#include "libserve/routes/route.h"

namespace {

void expect_plain(std::string_view name) {
  CHECK(name != ".." && !name.starts_with("../") && name.find("/../") == std::string_view::npos && !name.ends_with("/.."), "{}", name);
  CHECK(std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '%' && c != '\\' && c != '"' && c != '<'; }), "{}", name);
  CHECK(!name.starts_with('/') && name.find("//") == std::string_view::npos, "{}", name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::serve;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto route = parse_route(text)) {
    expect_plain(route->instance);
    expect_plain(route->key);
    expect_plain(route->team);
    CHECK(route->instance.size() <= instance_bytes_max);
    CHECK(route->door != Door::bazel_cas || (route->digest && route->digest->hex() == route->key));
    const cairn::cache::EntryName name = entry_of(*route);
    CHECK(cairn::cache::check_owner(cairn::cache::owner_of(name)).has_value());
  }
  const std::uint64_t of = size * 3;
  const RangeAsked asked = parse_range(text, of);
  if (asked.fit == RangeFit::part) CHECK(asked.bytes.length > 0 && asked.bytes.offset < of && asked.bytes.length <= of - asked.bytes.offset);
  (void)accepts_encoding(text, "zstd");
  (void)names_tag(text, "\"tag\"");
  return 0;
}
