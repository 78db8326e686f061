// SPDX-License-Identifier: Apache-2.0
// CRC-32C (Castagnoli) through isa-l, which is why it is behind this door: it notices that stored bytes have changed,
// and is no protection against somebody who wants it not to.
#pragma once

#include <cstdint>
#include <string_view>

namespace cairn::base {

// Of `bytes`; or, given the checksum of what came before as `so_far`, of both together. Thread-safe. 10 GB/s and more.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t so_far = 0);

}  // namespace cairn::base
