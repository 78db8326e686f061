// SPDX-License-Identifier: Apache-2.0
// Small trees from lines, and digests of selections of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libcache/streamed_tree.h"
#include "libcache/tree_digest.h"
#include "tests/support/temp_dir.h"

namespace cairn::cache {

// One line makes one name: "path dir", "path symlink target", "path file content", "path file" (empty). Names hold no
// space. Directories are 0755, files 0644, all of root, whatever the umask.
class TestTree {
 public:
  explicit TestTree(const std::vector<std::string>& lines);
  void add(std::string_view line);
  std::string path(std::string_view relative) const { return (dir_ / relative).str(); }
  const base::HostPath& top() const { return dir_.path(); }

  base::Result<TreeDigest> digest(const Selection& selection, DigestRules rules = DigestRules::scan,
                                  DigestCounts* counts = nullptr) const;

 private:
  test::TempDir dir_;
};

// The same names, announced one by one.
void announce(StreamedTree& tree, const std::vector<std::string>& lines);
void announce_directory(StreamedTree& tree, const std::string& path, std::uint32_t mode);

// Selections in one line.
Selection plain(std::string path);
Selection followed(std::string path);
Selection wildcard(std::string path);
Selection including(std::string path, std::vector<std::string> patterns);
Selection excluding(std::string path, std::vector<std::string> patterns);

// The hex of the digest, or "error: " and the message.
std::string shown(const base::Result<TreeDigest>& digest);

TreeDigest file_digest(std::string_view content);
TreeDigest link_digest(std::string_view target);
TreeDigest header_digest(std::uint32_t mode = 0755);
std::string hash_of(std::string_view bytes);  // hex

}  // namespace cairn::cache
