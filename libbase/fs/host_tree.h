// SPDX-License-Identifier: Apache-2.0
// Directories of the machine itself (a store's root, scratch space), named by trusted host paths: the Boost.Filesystem
// door. What is inside a tree goes through libbase/fs/beneath.h instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::base {

// mkdir -p; existing directories are kept as they are. Errors: already_exists (something else is in the way), no_space,
// io.
Status make_host_dirs(const HostPath& path);
// Whether anything is there; a dangling link is something. Errors: io (it cannot be told).
Result<bool> host_exists(const HostPath& path);
// Removes a file, or a directory with everything in it; nothing there is success. No link is followed below its parent
// and no mount entered. Errors: invalid_argument ("/"), busy (a mount is in it), io.
Status remove_host_tree(const HostPath& path);
// The names in a directory in bytewise order. Errors: not_found, io.
Result<std::vector<std::string>> list_host_dir(const HostPath& path);
// What an unprivileged user may still write on the file system that holds path, in bytes. Errors: not_found, io.
Result<std::uint64_t> free_bytes(const HostPath& path);

// A new empty directory (mode 0700) that is removed with everything in it when this object dies; that is best effort,
// so whoever must know calls remove_host_tree itself before. Movable; one owner.
class TemporaryDir {
 public:
  // Below `parent`, which exists; its name begins with `prefix` (no slash). Errors: not_found, no_space, io.
  static Result<TemporaryDir> create(const HostPath& parent, std::string_view prefix = "tmp-");
  ~TemporaryDir() { remove(); }
  TemporaryDir(TemporaryDir&& other) noexcept : path_(std::exchange(other.path_, std::nullopt)) {}
  TemporaryDir& operator=(TemporaryDir&& other) noexcept;

  const HostPath& path() const { return *path_; }

 private:
  explicit TemporaryDir(HostPath path) : path_(std::move(path)) {}
  void remove();

  std::optional<HostPath> path_;  // none once moved from
};

}  // namespace cairn::base
