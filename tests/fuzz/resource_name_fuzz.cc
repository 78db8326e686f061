// SPDX-License-Identifier: Apache-2.0
// Resource names and instance names from a client: parsing never crashes, and what is taken names one blob.
#include <cstddef>
#include <cstdint>

#include "libserve/grpc/resource_name.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::serve;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto& name : {parse_read_name(text), parse_write_name(text)}) {
    if (!name) continue;
    CHECK(text.find(name->blob.digest.hex()) != std::string_view::npos);
    CHECK(parse_instance(name->instance).has_value());
  }
  if (const auto instance = parse_instance(text)) CHECK(*instance == text);
  return 0;
}
