// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "libcache/patterns/clean.h"
#include "libcache/trees/records.h"

namespace cairn::cache {
namespace {
constexpr int links_max = 255;
}

std::string key_of(std::string_view path) {
  std::string key(path);
  std::replace(key.begin(), key.end(), '/', '\0');
  return key;
}

std::string path_of(std::string_view key) {
  std::string path(key);
  std::replace(path.begin(), path.end(), '\0', '/');
  return path;
}

base::Result<Resolved> resolve(RecordSource& source, std::string_view path, FollowLast follow) {
  auto direct = TRY(source.find(path));
  if (direct && (follow == FollowLast::no || direct->type != TreeRecordType::symlink)) {
    return Resolved{std::string(path), std::move(direct)};
  }
  Resolved here;
  std::string rest(path);
  for (int links = 0; !rest.empty();) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    // The way so far holds no link, so stepping up may be done on the text.
    const std::string next = clean_rooted(here.path + "/" + rest.substr(0, slash));
    rest.erase(0, std::min(slash + 1, rest.size()));
    here.found = TRY(source.find(next));
    const bool is_link = here.found && here.found->type == TreeRecordType::symlink;
    if (!is_link || (follow == FollowLast::no && rest.empty())) {
      here.path = next;
      continue;
    }
    if (++links > links_max) return base::fail(base::ErrorCode::invalid_argument, "\"{}\": too many links", path);
    const std::string& target = here.found->link;
    if (target.starts_with('/')) here.path.clear();
    rest = target + "/" + rest;
  }
  return here;
}

}  // namespace cairn::cache
