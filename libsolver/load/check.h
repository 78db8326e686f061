// SPDX-License-Identifier: Apache-2.0
// What must be true of one op before it may become a vertex (spec/solver 2, step 7).
#pragma once

#include "libbase/result.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

// Errors: invalid_argument, saying what is missing or out of range.
base::Status check_op(const wire::Op& op);
// Errors: invalid_argument, naming a capability that this engine does not have.
base::Status check_capabilities(const wire::OpMetadata& metadata);

}  // namespace cairn::solver
