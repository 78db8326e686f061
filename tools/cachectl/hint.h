// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "libbase/result.h"

namespace cairn::cachectl {

// What to do about something that is not there, if nobody has said it yet.
inline base::Error hint_if_missing(base::Error error, std::string hint) {
  if (error.code == base::ErrorCode::not_found && error.hint.empty()) error.hint = std::move(hint);
  return error;
}

}  // namespace cairn::cachectl
