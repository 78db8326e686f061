// SPDX-License-Identifier: Apache-2.0
// Paths as Go's package path treats them; selectors and file actions are hashed in that form.
#include <set>

#include "libbase/hash/sha256.h"
#include "libsolver/ops/cache_maps.h"

namespace cairn::solver {

SelectorDigest selector_digest(const std::vector<std::string>& paths) {
  base::Sha256 hash;
  for (const auto& path : paths) {
    if (&path != &paths.front()) hash.update(std::string_view("\0", 1));
    hash.update(path);
  }
  return SelectorDigest(hash.finish());
}

std::string rooted_path(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const auto part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part.empty() || part == ".") continue;
    if (part != "..") parts.push_back(part);
    else if (!parts.empty()) parts.pop_back();
  }
  std::string out;
  for (const auto part : parts) {
    out += '/';
    out += part;
  }
  return out.empty() ? "/" : out;
}

std::string path_base(std::string_view path) {
  if (path.empty()) return ".";
  const std::size_t last = path.find_last_not_of('/');
  if (last == std::string_view::npos) return "/";
  path = path.substr(0, last + 1);
  const std::size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::vector<std::string> dedupe_paths(const std::vector<std::string>& paths) {
  const std::set<std::string, std::less<>> all(paths.begin(), paths.end());
  std::vector<std::string> kept;
  for (const std::string& path : all) {
    bool below_another = false;
    for (std::size_t slash = path.find('/'); slash != std::string::npos && !below_another; slash = path.find('/', slash + 1)) {
      below_another = all.contains(std::string_view(path).substr(0, slash));
    }
    if (!below_another) kept.push_back(path);
  }
  return kept;
}

bool has_wildcard(std::string_view path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\') ++i;
    else if (path[i] == '*' || path[i] == '?' || path[i] == '[') return true;
  }
  return false;
}

}  // namespace cairn::solver
