// SPDX-License-Identifier: Apache-2.0
// Small texts that say nearly the same: compressed against a text that both sides know, for which a stream of its own would be
// longer than what it saves.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::base {

// Without a checksum: whoever keeps the bytes has one. Thread-safe. Some 20 µs for 500 bytes.
std::string compress_with(std::string_view dictionary, std::string_view bytes);
// Errors: corrupt; invalid_argument (more than output_max bytes).
Result<std::string> decompress_with(std::string_view dictionary, std::string_view bytes, std::uint64_t output_max);

}  // namespace cairn::base
