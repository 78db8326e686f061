// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/size_text.h"

#include <fmt/format.h>

#include <array>

namespace cairn::cachectl {

std::string size_text(double bytes) {
  constexpr std::array<const char*, 6> units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < units.size(); ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, units[unit]);
}

}  // namespace cairn::cachectl
