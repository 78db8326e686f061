// SPDX-License-Identifier: Apache-2.0
// Bytes cut into chunks: none is empty or too long, none but the last too short, and what is behind the longest chunk does not
// matter. The first byte chooses the average.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libcache/chunk_rule.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  if (size == 0) return 0;
  const std::uint32_t average = cache::ChunkRule::average_min << (data[0] % 3);
  const auto rule = cache::ChunkRule::of_average(average);
  CHECK(rule.has_value() && rule->max_bytes() == 4 * average);
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  CHECK(rule->cut({}) == 0);
  while (!rest.empty()) {
    const std::size_t count = rule->cut(rest);
    CHECK(count > 0 && count <= std::min<std::size_t>(rest.size(), rule->max_bytes()));
    CHECK(count >= average / 4 || count == rest.size());
    CHECK(rule->cut(rest.substr(0, rule->max_bytes())) == count);
    rest.remove_prefix(count);
  }
  return 0;
}
