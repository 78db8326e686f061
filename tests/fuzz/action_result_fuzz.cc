// SPDX-License-Identifier: Apache-2.0
// Any ActionResult and any Tree: what they name is no more than their bytes have room for.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libserve/reapi/closure.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::serve;
  constexpr std::size_t digest_bytes_min = 66;  // a hash of 64 digits, with its tag and length
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto named = blobs_of_action_result(bytes)) CHECK((named->files.size() + named->trees.size()) * digest_bytes_min <= size);
  if (const auto files = files_of_tree(bytes)) CHECK(files->size() * digest_bytes_min <= size);
  return 0;
}
