// SPDX-License-Identifier: Apache-2.0
// For what a test cannot go on without.
#pragma once

#include <type_traits>
#include <utility>

#include "libbase/result.h"

namespace cairn::test {

// The value; aborts with the error if there is none.
template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace cairn::test
