// SPDX-License-Identifier: Apache-2.0
// Patterns, one per line, then NUL, then a path. Whether the parents' results are handed down or looked up again must
// not matter to a list without "!".
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/pattern.h"
#include "libcache/patterns/clean.h"

namespace {

using cairn::base::Result;
using cairn::cache::PatternList;

Result<bool> matches_walking(const PatternList& list, std::string_view path) {
  PatternList::MatchInfo above;
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    PatternList::MatchInfo here;
    const bool matched = TRY(list.matches(path.substr(0, end), above, here));
    if (end == std::string_view::npos) return matched;
    above = here;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t nul = std::min(input.find('\0'), input.size());
  const std::string_view raw_path = input.substr(std::min(nul + 1, input.size()));
  std::vector<std::string> patterns;
  for (std::size_t at = 0; at < nul;) {
    const std::size_t end = std::min(input.find('\n', at), nul);
    patterns.emplace_back(input.substr(at, end - at));
    at = end + 1;
  }
  for (const std::string& pattern : patterns) {
    const bool bad = !cairn::cache::path_match(pattern, raw_path);
    if (bad != !cairn::cache::path_match(pattern, "")) std::abort();  // badness is the pattern's, not the name's
  }
  const auto list = PatternList::compile(patterns);
  if (!list) return 0;
  std::string path = cairn::cache::clean_rooted(raw_path);
  if (!path.empty()) path.erase(0, 1);
  PatternList::MatchInfo info;
  const auto at_once = list->matches(path, {}, info);
  const auto walking = matches_walking(*list, path);
  if (at_once && walking && !list->has_exclusions() && *at_once != *walking) std::abort();
  return 0;
}
