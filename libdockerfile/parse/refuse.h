// SPDX-License-Identifier: Apache-2.0
// What is wrong with a Dockerfile or an option is always invalid_argument.
#pragma once

#include <utility>

#include "libbase/result.h"

namespace cairn::dockerfile {

template <class... Args>
[[nodiscard]] tl::unexpected<base::Error> refuse(fmt::format_string<Args...> format, Args&&... args) {
  return base::fail(base::ErrorCode::invalid_argument, format, std::forward<Args>(args)...);
}

}  // namespace cairn::dockerfile
