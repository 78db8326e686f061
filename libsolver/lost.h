// SPDX-License-Identifier: Apache-2.0
// When a result that was believed to be somewhere is to be made again.
#pragma once

#include "libbase/result.h"

namespace cairn::solver {

// Whether an error in having a lazy layer says that it cannot be had, so that what it was made by is to be done again: not
// that somebody did not want it any more, nor that it found no room here.
inline bool may_be_lost(const base::Error& error) { return error.code != base::ErrorCode::cancelled && error.code != base::ErrorCode::no_space; }

}  // namespace cairn::solver
