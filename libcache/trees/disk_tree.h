// SPDX-License-Identifier: Apache-2.0
// The records of a tree on disk, read when they are asked for and not remembered. Names are touched only through
// descriptors beneath the top of the tree, and no link is ever followed by the kernel.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libcache/tree_entry.h"
#include "libcache/trees/records.h"

namespace cairn::cache {

class DiskTree final : public RecordSource {
 public:
  // tree stays open as long as this lives; counts may be null and is added to.
  DiskTree(int tree, DigestRules rules, DigestCounts* counts, std::stop_token stop);

  base::Result<std::optional<Found>> find(std::string_view path) override;
  // Errors: cancelled; io if something vanishes or changes while it is read. At most 64 directories are open at a time.
  base::Status walk(std::string_view path, const RecordVisit& visit) override;

 private:
  class Walk;
  struct Place {  // a name in an open directory; path is for messages
    int dir;
    const std::string& name;
    const std::string& path;
  };

  base::Status check_stop() const;
  base::Result<TreeDigest> digest_leaf(const Place& place);
  base::Result<TreeDigest> digest_file(const Place& place);
  base::Result<TreeDigest> digest_header(int dir, const std::string& path);
  base::Status hash_bytes(int fd, EntryHasher& hasher, std::uint64_t size, const std::string& path);
  TreeEntry entry_of(const struct ::stat& info) const;
  void drop_uncounted(TreeEntry& entry) const;

  int tree_;
  DigestRules rules_;
  DigestCounts* counts_;
  std::stop_token stop_;
  std::unique_ptr<std::byte[]> buffer_;  // made with the first file
};

}  // namespace cairn::cache
