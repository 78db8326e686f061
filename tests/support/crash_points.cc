// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_points.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace cairn::test {

std::vector<Pass> passes_in(const std::string& trace) {
  std::vector<Pass> passes;
  std::ifstream in(trace);
  for (Pass pass; in >> pass.name >> pass.ordinal;) passes.push_back(pass);
  return passes;
}

std::set<std::string> crash_points_in(const std::vector<std::string>& directories) {
  std::set<std::string> names;
  for (const std::string& directory : directories) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
      if (entry.path().extension() != ".cc") continue;
      std::ostringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      const std::string source = text.str(), mark = "CRASH_POINT(\"";
      for (std::size_t at = source.find(mark); at != std::string::npos; at = source.find(mark, at + 1)) {
        const std::size_t begin = at + mark.size();
        names.insert(source.substr(begin, source.find('"', begin) - begin));
      }
    }
  }
  return names;
}

}  // namespace cairn::test
