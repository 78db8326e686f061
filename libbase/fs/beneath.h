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
  no,       // RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS: a symlink anywhere on the way is an error (ELOOP); a last
            // component that is one can be opened itself, with O_PATH | O_NOFOLLOW
  in_root,  // RESOLVE_IN_ROOT: symlinks are followed as if the directory were /
};

// Opens path beneath dir, close-on-exec. The root path opens the directory itself. A path may be longer than PATH_MAX.
// Errors: not_found, invalid_argument (a link on the way with Follow::no, or too many), already_exists, no_space, io.
Result<Fd> open_beneath(int dir, const TreePath& path, int flags, unsigned mode = 0, Follow follow = Follow::no);
// The bytes of a regular file. Errors: also invalid_argument (anything else than a file, or more than size_max bytes).
Result<std::string> read_beneath(int dir, const TreePath& path, std::size_t size_max, Follow follow = Follow::no);
// lstat of the last component (never followed); nullopt if it does not exist, or what is above it is no directory.
Result<std::optional<struct ::stat>> find_stat_beneath(int dir, const TreePath& path, Follow follow = Follow::no);
// mkdir -p beneath dir, with mode less the umask; existing directories are kept as they are. Errors: already_exists (a
// link or file is in the way), no_space, io.
Status make_dirs_beneath(int dir, const TreePath& path, unsigned mode);
// Removes a directory with another device number than what it lies in, which no mount is on: a subvolume. It is given by
// the directory that holds it and its name.
using RemoveSubvolume = std::function<Status(int parent, const std::string& name)>;
// Removes a file, or a directory with everything in it, beneath dir; nothing there is success. Never follows a link,
// and never enters a mount (not even one of the same file system) or, inside it, another device number: subvolumes go
// by remove_subvolume, if one is given. Works on trees of any depth, with two descriptors and no recursion. path must
// not be the root (CHECKed). Errors: busy (a mount or subvolume is in it, or somebody moves or fills directories of it
// meanwhile), invalid_argument (a link on the way to it), io. After an error some of it is gone; the call can be
// repeated.
Status remove_all_beneath(int dir, const TreePath& path, const RemoveSubvolume& remove_subvolume = {});

struct DirEntry {
  std::string name;
  unsigned char type;  // DT_*; DT_UNKNOWN is resolved by fstatat
};
// The entries of a directory in bytewise order, without "." and "..".
Result<std::vector<DirEntry>> list_dir(int dir);

// Extended attributes of an open file or (by /proc/self/fd) an O_PATH descriptor; sorted by name. A file system
// without xattrs gives an empty map; left out is one that cannot be read (spec/storage 3.1), and XFS's own form of ACLs.
Result<std::map<std::string, std::string>> list_xattrs(int fd);
// The same for a name in a directory, without following a link (symlinks, devices).
Result<std::map<std::string, std::string>> list_xattrs_at(int dir, const std::string& name);
Status set_xattr_at(int dir, const std::string& name, const std::string& key, std::string_view value);

// Allocated bytes (512 * st_blocks), sizes of the regular files, and inodes of a tree, the root included, hard links
// counted once; mounts in it are left out. visit, if given, sees each name as it is met, further names of an inode
// included: `directory` is open for reading and holds it, or is itself what is met, if `name` is ".".
// Works on trees of any depth. O(tree), one stat per name. Errors: those of visit, busy (a directory was moved out
// meanwhile), io.
struct TreeSize {
  std::int64_t bytes = 0;
  std::int64_t inodes = 0;
  std::int64_t logical_bytes = 0;
};
struct TreeEntry {
  int directory = -1;
  const std::string& name;
  const struct ::stat& stat;
};
Result<TreeSize> measure_tree(int dir, const std::function<Status(const TreeEntry&)>& visit = {});

// Replaces path (absolute host path) with these bytes atomically: temporary file ".cairn-new-*" beside it, write, sync
// (if asked), rename, and sync of the directory (if asked). mode is less the umask. A process that dies may leave the
// temporary file. Durable::yes costs one fdatasync and one fsync. Errors: not_found (no such directory), no_space, io.
enum class Durable { no, yes };
Status write_file_atomic(const HostPath& path, std::string_view bytes, Durable durable, unsigned mode = 0644);

}  // namespace cairn::base
