// SPDX-License-Identifier: Apache-2.0
// What each build check is for.
#pragma once

#include <string_view>

namespace cairn::dockerfile {

// "" for a rule that is none.
std::string_view description_of_rule(std::string_view rule);

}  // namespace cairn::dockerfile
