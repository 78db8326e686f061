// SPDX-License-Identifier: Apache-2.0
// Where file actions work. Their paths are those of the tree: links in them are followed as if the tree were "/", which
// gives a path without links; that is then opened without following any. So whoever exchanges a directory for a link
// meanwhile gets an error, and nothing outside the tree is ever touched.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsolver/wire/ops.h"

namespace cairn::solver {

// ".." steps up, but never out of the tree. What does not exist stays as it is. Errors: invalid_argument (too many links).
enum class LastName { follow, keep };
base::Result<base::TreePath> resolve_in(int tree, std::string_view path, LastName last);

// The directory that a path without links lies in, and its name there. Errors: not_found, invalid_argument (a link is on
// the way now).
struct Place {
  base::Fd directory;
  std::string name;
};
base::Result<Place> open_place(int tree, const base::TreePath& path);  // not of the root (CHECKed)

struct Ownership {
  uid_t uid = 0;
  gid_t gid = 0;
};
// What an action says of all that it makes.
struct Given {
  std::optional<Ownership> owner{};   // nullopt: as it comes
  std::optional<timespec> modified{};  // likewise
};
// Of a timestamp on the wire: nanoseconds, and -1 for none.
std::optional<timespec> timestamp_of(std::int64_t nanoseconds);
// fd may be O_PATH.
base::Status give(int fd, const Given& given);

// mkdir -p: those that are missing are made with this mode, whatever the umask, and given what is given; returned from
// above downward. Errors: already_exists (something that is no directory is in the way), no_space, io.
base::Result<std::vector<base::TreePath>> make_dirs(int tree, const base::TreePath& path, mode_t mode, const Given& given);

// The paths that a path with wildcards means, in bytewise order; without wildcards the path itself, there or not. What has
// matched is not looked into. last: whether a link that the part before the wildcards ends in is followed.
// Errors: not_found (that part), invalid_argument (a pattern that means nothing).
base::Result<std::vector<std::string>> expand_wildcards(int tree, std::string_view path, LastName last);

}  // namespace cairn::solver
