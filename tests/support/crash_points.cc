// SPDX-License-Identifier: Apache-2.0
#include "tests/support/crash_points.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace cairn::test {

std::vector<Pass> passes_in(const std::string& trace) {
  std::vector<Pass> passes;
  std::ifstream in(trace);
  for (Pass pass; in >> pass.name >> pass.ordinal;) passes.push_back(pass);
  return passes;
}

std::vector<Pass> ends_of(const std::vector<Pass>& passes) {
  std::map<std::string, unsigned> last;
  for (const Pass& pass : passes) last[pass.name] = std::max(last[pass.name], pass.ordinal);
  std::vector<Pass> chosen;
  for (const Pass& pass : passes) {
    if (pass.ordinal <= 2 || pass.ordinal == last[pass.name]) chosen.push_back(pass);
  }
  return chosen;
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
