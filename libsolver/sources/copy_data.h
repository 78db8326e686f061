// SPDX-License-Identifier: Apache-2.0
// The content of one file into another, by the cheapest means the kernel offers: shared extents, a copy within the
// kernel, and only then through memory. Holes stay holes.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "libbase/result.h"

namespace cairn::solver {

// `to` is empty. Afterwards it has the first `size` bytes of `from`. on_bytes gets the count of each part (all data,
// but no holes). Errors: no_space, cancelled, io.
base::Status copy_data(int from, int to, std::uint64_t size, const std::stop_token& stop,
                       const std::function<void(std::uint64_t)>& on_bytes);

}  // namespace cairn::solver
