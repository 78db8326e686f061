// SPDX-License-Identifier: Apache-2.0
// Access to files beneath a directory descriptor that no name in the tree can lead out of: every open is openat2 with
// RESOLVE_BENEATH or RESOLVE_IN_ROOT and without magic links. This is the only way tree contents are touched.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/path.h"

namespace cairn::base {

enum class Follow {
  no,       // RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS: a symlink anywhere on the way is an error (ELOOP)
  in_root,  // RESOLVE_IN_ROOT: symlinks are followed as if the directory were /
};

// Opens path beneath dir. The root path opens the directory itself. Errors: not_found, invalid_argument (a link on the
// way with Follow::no, or too many), io.
Result<Fd> open_beneath(int dir, const TreePath& path, int flags, unsigned mode = 0, Follow follow = Follow::no);
Result<std::string> read_beneath(int dir, const TreePath& path, std::size_t size_max, Follow follow = Follow::no);
// lstat of the last component (never followed); nullopt if it does not exist.
Result<std::optional<struct ::stat>> find_stat_beneath(int dir, const TreePath& path, Follow follow = Follow::no);
// mkdir -p beneath dir; existing directories are kept as they are; a link or file in the way is an error.
Status make_dirs_beneath(int dir, const TreePath& path, unsigned mode);
// Removes a file, or a directory with everything in it, beneath dir; nothing there is success. Never follows a link and
// does not leave the file system. Works on trees deeper than PATH_MAX. path must not be the root.
Status remove_all_beneath(int dir, const TreePath& path);

struct DirEntry {
  std::string name;
  unsigned char type;  // DT_*; DT_UNKNOWN is resolved by fstatat
};
// The entries of a directory in bytewise order, without "." and "..".
Result<std::vector<DirEntry>> list_dir(int dir);

// Extended attributes of an open file or (by /proc/self/fd) an O_PATH descriptor; sorted by name. A file system
// without xattrs gives an empty map.
Result<std::map<std::string, std::string>> list_xattrs(int fd);
// The same for a name in a directory, without following a link (symlinks, devices).
Result<std::map<std::string, std::string>> list_xattrs_at(int dir, const std::string& name);
Status set_xattr_at(int dir, const std::string& name, const std::string& key, std::string_view value);

// Allocated bytes (512 * st_blocks) and inodes of a tree, hard links counted once; does not leave the file system.
struct TreeSize {
  std::int64_t bytes = 0;
  std::int64_t inodes = 0;
};
Result<TreeSize> measure_tree(int dir);

// Replaces path (absolute host path) with these bytes atomically: temporary file, write, sync (if asked), rename, and
// sync of the directory (if asked).
enum class Durable { no, yes };
Status write_file_atomic(const HostPath& path, std::string_view bytes, Durable durable, unsigned mode = 0644);

}  // namespace cairn::base
