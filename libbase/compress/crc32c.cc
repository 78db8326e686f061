// SPDX-License-Identifier: Apache-2.0
#include "libbase/compress/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace cairn::base {

std::uint32_t crc32c(std::string_view bytes, std::uint32_t so_far) {
  constexpr std::size_t piece_max = 1u << 30;  // isa-l takes an int
  std::uint32_t state = ~so_far;
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), piece_max);
    // isa-l does not write to its input, it only lacks the const.
    auto* const data = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(bytes.data()));
    state = crc32_iscsi(data, static_cast<int>(count), state);
    bytes.remove_prefix(count);
  }
  return ~state;
}

}  // namespace cairn::base
