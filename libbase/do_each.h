// SPDX-License-Identifier: Apache-2.0
// The same work on many things, several at once.
#pragma once

#include <cstddef>
#include <functional>

#include "libbase/result.h"

namespace cairn::base {

// Does it for 0 to count - 1, on this thread and at most at_once - 1 others; the first error ends it. What is being
// done then is waited for.
Status do_each(std::size_t count, std::size_t at_once, const std::function<Status(std::size_t at)>& work);

}  // namespace cairn::base
