// SPDX-License-Identifier: Apache-2.0
// LMDB's return codes as our errors: negative ones are its own, positive ones are errno values.
#pragma once

#include <string>
#include <utility>

#include <fmt/format.h>

#include "libbase/result.h"

namespace cairn::base::lmdb {

ErrorCode code_of_mdb(int mdb_code);
std::string mdb_text(int mdb_code);  // thread-safe

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail_mdb(int mdb_code, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{code_of_mdb(mdb_code),
                                     fmt::format(format, std::forward<Args>(args)...) + ": " + mdb_text(mdb_code),
                                     {}});
}

}  // namespace cairn::base::lmdb
