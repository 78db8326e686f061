// SPDX-License-Identifier: Apache-2.0
// What progress shows for a vertex (spec/solver 2).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "libsolver/wire/ops.h"

namespace cairn::solver {

// Names of merges and diffs contain the names of their inputs, so a chain of merges of the same thing twice would double
// a name at every step. What one name and all such names together may take is bounded; beyond it the name is just the
// kind, or cut with "…".
struct NameBudget {
  std::size_t bytes_left = std::size_t{16} << 20;
};

// input_names[i] names op.inputs[i].
std::string vertex_name(const wire::Op& op, const wire::OpMetadata& metadata,
                        const std::vector<const std::string*>& input_names, NameBudget& budget);

}  // namespace cairn::solver
