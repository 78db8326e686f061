// SPDX-License-Identifier: Apache-2.0
// Directories with everything a tree can hold, made and read back by tests.
#pragma once

#include <sys/resource.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/path.h"
#include "libcache/digests.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::test {

// Makes things below a directory; aborts if that fails. Parents are made as needed (0755).
class TreeOnDisk {
 public:
  explicit TreeOnDisk(base::HostPath root);
  void dir(std::string_view path, mode_t mode = 0755) const;
  void file(std::string_view path, std::string_view content = {}, mode_t mode = 0644) const;
  void symlink(std::string_view path, std::string_view target) const;
  void hard_link(std::string_view path, std::string_view existing) const;
  void node(std::string_view path, mode_t type_and_mode, dev_t device = 0) const;  // mknod
  void xattr(std::string_view path, const std::string& name, std::string_view value) const;
  void owner(std::string_view path, uid_t uid, gid_t gid) const;
  void modified(std::string_view path, timespec time) const;
  // Directories within directories, longer in all than a path may be, and a file at the end.
  void deep(int levels) const;
  const base::HostPath& root() const { return root_; }

 private:
  std::string made(std::string_view path) const;  // the host path, its parents made
  base::HostPath root_;
};

// While it lives, the process may have 100 descriptors open.
class FewDescriptors {
 public:
  FewDescriptors();
  ~FewDescriptors();
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
};

// The directory as a mounted tree.
snapshot::MountedTree as_tree(const base::HostPath& dir);

// Every name below dir with type, mode, owner, size, link target, device, content, user.* xattrs, and the first name of
// its hard link group.
enum class Times { leave_out, show };
std::map<std::string, std::string> describe_tree(const base::HostPath& dir, Times times);
// Only the names.
std::set<std::string> names_below(const base::HostPath& dir);

// cache::tree_digest of the whole directory by stream rules.
TreeDigest stream_digest_of(const base::HostPath& dir);

}  // namespace cairn::test
