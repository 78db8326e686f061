// SPDX-License-Identifier: Apache-2.0
// What differs of one name that two trees have.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "libcache/tree_difference.h"

namespace cairn::cache {

struct NameInTree {
  SelectedTree tree;
  std::string path;  // relative, or from the root
};
// Reads both whole. The trees hold still meanwhile. Errors: not_found, cancelled, io.
base::Result<std::vector<DifferenceField>> differing_fields(const NameInTree& first, const NameInTree& second,
                                                            const Normalisation& policy, const std::stop_token& stop);

}  // namespace cairn::cache
