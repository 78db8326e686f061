// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cairn::serve {

// What Capabilities say of FastCDC 2020, and SplitBlob cuts by: seed 0, normalization 2, from a quarter to four times
// of it.
inline constexpr std::uint32_t chunk_bytes_average = 512 * 1024;

}  // namespace cairn::serve
