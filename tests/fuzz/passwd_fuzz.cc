// SPDX-License-Identifier: Apache-2.0
// User and group files of a step's root, and the user text: three parts divided by NUL.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "libsolver/exec/user.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t first = std::min(input.find('\0'), input.size());
  const std::size_t second = std::min(input.find('\0', first + 1), input.size());
  const std::string_view passwd = first < input.size() ? input.substr(first + 1, second - first - 1) : "";
  const std::string_view group = second < input.size() ? input.substr(second + 1) : "";
  const auto user = cairn::solver::resolve_user(input.substr(0, first), passwd, group);
  if (user && (user->groups.empty() || user->groups.front() != user->gid)) std::abort();
  return 0;
}
