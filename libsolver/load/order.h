// SPDX-License-Identifier: Apache-2.0
// The order in which a graph can be walked so that every input comes before its user. Without recursion: the depth of a
// graph is the client's choice.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "libbase/result.h"

namespace cairn::solver {

// inputs_of(n) are the nodes that n needs, all below `count`. Returns what the roots reach, depth first, each once.
// Errors: invalid_argument naming a node of a cycle. O(nodes + edges).
base::Result<std::vector<std::size_t>> post_order(
    std::size_t count, std::span<const std::size_t> roots,
    const std::function<std::span<const std::size_t>(std::size_t)>& inputs_of);

}  // namespace cairn::solver
