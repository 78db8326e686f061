// SPDX-License-Identifier: Apache-2.0
// A tree whose maker knows what is at each name and can say so, as a source that is synced does. Its digests and its pages
// follow from that, so nothing is read back; and what has to be done in a fork of an earlier tree to make it this one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/directory_stats.h"
#include "libcache/ref.h"
#include "libcache/tree_entry.h"

namespace cairn::cache {

struct PageSet;  // private

struct DescribedName {
  static constexpr std::uint32_t none = UINT32_MAX;

  std::string name;
  std::uint32_t parent = none;  // the index of its directory; none: the top
  std::uint32_t link = none;    // of another name of a file: the index of its first name
  TreeEntry entry;              // its attributes are in content
  NameContent content;          // of a directory: of its header
};

// Not thread-safe. O(names) memory.
class DescribedTree {
 public:
  // Names in the order of a walk: siblings bytewise, each directory followed by what is in it.
  explicit DescribedTree(std::vector<DescribedName> names);
  DescribedTree(DescribedTree&&) noexcept;
  DescribedTree& operator=(DescribedTree&&) noexcept;
  ~DescribedTree();

  // What a name turned out to be when it was made; its type, name and place are the same.
  void set(std::uint32_t index, const TreeEntry& entry, const NameContent& content);
  // It vanished before it could be made. A name that is none any more is in no digest and no page.
  void remove(std::uint32_t index);

  // The digest of all of it by the rules of streams. What has been computed before and has not changed since is kept.
  TreeDigest digest();

  // What to do in a fork of base. Names with several links are made anew together, so that a fork that copies files up
  // keeps them linked.
  struct Changes {
    std::vector<std::string> removed;        // paths, "a/b"; some of them are made anew
    std::vector<std::uint32_t> made;         // indices, in the order of the walk, directories with all that is in them
    std::vector<std::uint32_t> directories;  // that are there already and need their metadata again
    std::uint64_t bytes_made = 0;            // of files
    bool empty() const { return removed.empty() && made.empty() && directories.empty(); }
  };
  // nullopt: base is none to start from (its pages are not known, its chain is long or keeps much that is gone, or it has
  // little in common with this tree). O(names) and the pages of what differs. Errors: corrupt (a page), io.
  base::Result<std::optional<Changes>> changes_from(const ImmutableRef& base);

 private:
  friend class MutableRef;
  struct State;
  // The pages of the tree at this descriptor, as the record's. What changes_from() has found to be the base's is left out.
  base::Result<std::shared_ptr<const PageSet>> take_pages(RecordId record, int tree) &&;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache
