// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/tree_seal.h"

#include <algorithm>
#include <string>
#include <vector>

#include "libcache/trees/subtree_digester.h"

namespace cairn::cache {

using base::Result;

Result<TreeSeal> seal_of(int directory, const SealOptions& options) {
  const auto forget = [](const PageName&, std::string) {};
  SubtreeDigester digester(directory, {.normalisation = {},
                                       .stop = options.stop,
                                       .threads = 1,
                                       .pages = options.pages ? options.pages : PageSink(forget),
                                       .links = LinkGroups::left_out,
                                       .read = options.read});
  TRY(digester.digest(""));
  return TreeSeal(digester.page().page.bytes());
}

namespace {

// A whiteout stands for a name that the tree does not have.
bool is_whiteout(const PageEntry& entry) {
  return entry.type == EntryType::char_device && entry.device_major == 0 && entry.device_minor == 0;
}

// Marks of overlayfs are on the file, and are no part of the tree: then the digests are of two things. The digest by the
// rules of a scan is over all but times, names and devices.
bool tell_the_same(const PageEntry& own, const PageEntry& whole) {
  if (own.type != whole.type) return false;
  if (own.xattrs != whole.xattrs) return true;
  return own.device_major == whole.device_major && own.device_minor == whole.device_minor &&
         own.digests.scan == whole.digests.scan;
}

struct Pair {
  std::string path;
  PageName own, whole;
};

}  // namespace

Result<std::string> first_difference(const PageName& own, const PageLoad& read_own, const PageName& whole,
                                     const PageLoad& read_whole) {
  std::vector<Pair> left = {{"", own, whole}};
  while (!left.empty()) {
    const Pair pair = std::move(left.back());
    left.pop_back();
    const DirectoryPage mine = TRY(load_directory(pair.own, read_own));
    const DirectoryPage said = TRY(load_directory(pair.whole, read_whole));
    auto at = said.names.begin();
    for (const PageEntry& entry : mine.names) {
      if (is_whiteout(entry)) continue;
      const std::string path = pair.path + "/" + entry.name;
      at = std::lower_bound(at, said.names.end(), entry.name,
                            [](const PageEntry& other, const std::string& name) { return other.name < name; });
      if (at == said.names.end() || at->name != entry.name || at->is_directory() != entry.is_directory()) return path;
      if (entry.is_directory())
        left.push_back({path, entry.page, at->page});
      else if (!tell_the_same(entry, *at))
        return path;
    }
  }
  return std::string();
}

}  // namespace cairn::cache
