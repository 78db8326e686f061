// SPDX-License-Identifier: Apache-2.0
// In what two operations differ, by their fields.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libcache/recipe.h"

namespace cairn::cache {

struct FieldDifference {
  std::string name;
  std::optional<std::string> before, after;  // nullopt: it was not there, it is not there
};
// In the order of the fields. If both have the same ones in another order, that is the difference.
std::vector<FieldDifference> differing_fields(const std::vector<RecipeField>& before, const std::vector<RecipeField>& after);

// Whether one is likely to be a newer version of the other: what differs of each value is less than half of it.
bool are_akin(const std::vector<FieldDifference>& differences);

}  // namespace cairn::cache
