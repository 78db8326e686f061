// SPDX-License-Identifier: Apache-2.0
// Where the golden data of a family is: in the tree, or in what CAIRN_VECTORS names, which is a folder of families or that
// of one family.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace cairn::test {

inline std::filesystem::path vector_folder(const std::string& family) {
  const char* given = std::getenv("CAIRN_VECTORS");
  if (given == nullptr) return std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/golden" / family;
  const std::filesystem::path folder = std::filesystem::path(given) / family;
  return std::filesystem::is_directory(folder) ? folder : std::filesystem::path(given);
}

}  // namespace cairn::test
