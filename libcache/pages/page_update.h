// SPDX-License-Identifier: Apache-2.0
// The pages of a tree from those of the tree it was made on, and from what has changed since. Only directories on the way to
// a change are hashed again; the rest is pointed at. Work: the names of those directories, and what is new.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libcache/pages/page.h"
#include "libcache/tree_digest.h"

namespace cairn::cache {

struct ChangedPath {
  enum class Kind : std::uint8_t { made, changed, removed };
  std::string path;  // clean: "/a/b", "" for the top
  Kind kind = Kind::changed;
};

struct PageUpdate {
  int tree = -1;  // the new tree, mounted
  std::uint64_t link_salt = 0;
  PageLoad read;
  PageSink sink;
  // Where the maker of the tree knows what it made: the entry at a path, but for its name. nullopt: a directory, or it has to
  // be read. With this the changes hold all that is new, so that a directory that is not in the old pages is not listed.
  std::function<std::optional<PageEntry>(const std::string& path)> made = {};
  DigestCounts* counts = nullptr;  // added to, if given
  std::stop_token stop;
};

// The new page of the directory at `top`, whose old one is `page` (nullopt: there was none, so it has only what changes
// says; `made` is given then). changes: all at or below top, in any order.
// Errors: io (the tree is not what the changes say), corrupt (a page), unavailable (too deep for this way), cancelled.
base::Result<PageName> update_pages(const std::optional<PageName>& page, const std::string& top, std::vector<ChangedPath> changes,
                                    const PageUpdate& update);

}  // namespace cairn::cache
