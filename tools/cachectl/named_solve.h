// SPDX-License-Identifier: Apache-2.0
// A solve of the history by what somebody calls it.
#pragma once

#include <string>

#include "libbase/lmdb/env.h"
#include "libcache/history.h"

namespace cairn::cachectl {

// "last", "previous", an id, or the first digits of one if no other begins so. Errors: not_found and invalid_argument (several begin so; or it
// is nothing of that), with a hint at those that there are.
base::Result<cache::SolveRow> find_named_solve(base::lmdb::Env& env, const base::HostPath& root, const std::string& name);
bool may_name_solve(const std::string& name);

}  // namespace cairn::cachectl
