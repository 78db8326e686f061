// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cairn::cachectl {

// "1.4 GiB", for people.
std::string size_text(double bytes);

}  // namespace cairn::cachectl
