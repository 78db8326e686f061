// SPDX-License-Identifier: Apache-2.0
// Whole reads and writes at a position of a file, by as many threads at once as like.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "libbase/result.h"

namespace cairn::cache {

// Reads until `size` bytes are there or the file ends; the count read.
base::Result<std::size_t> read_at(int file, std::uint64_t offset, char* out, std::size_t size);
// The same into two places, one behind the other.
base::Result<std::size_t> read_two_at(int file, std::uint64_t offset, char* first, std::size_t first_size, char* second,
                                      std::size_t second_size);
// Writes all of the three, one behind the other.
base::Status write_three_at(int file, std::uint64_t offset, std::string_view first, std::string_view second,
                            std::string_view third);

}  // namespace cairn::cache
