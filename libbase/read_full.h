// SPDX-License-Identifier: Apache-2.0
// A source of bytes gives as many as it has at hand; most of its readers want their buffer full.
#pragma once

#include <cstddef>
#include <span>

#include "libbase/compress/decoder.h"

namespace cairn::base {

// As much as fits; less means that the source has ended. Errors: those of the source.
Result<std::size_t> read_full(ByteSource& source, std::span<std::byte> out);
inline Result<std::size_t> read_full(ByteSource& source, std::span<char> out) {
  return read_full(source, std::as_writable_bytes(out));
}

}  // namespace cairn::base
