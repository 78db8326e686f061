// SPDX-License-Identifier: Apache-2.0
// The part of extracting a member that is neither names nor bytes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libsnapshot/tar/tar_entry.h"

namespace cairn::snapshot {

inline constexpr std::string_view access_acl_key = "system.posix_acl_access";
inline constexpr std::string_view default_acl_key = "system.posix_acl_default";

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};
// What a directory does to what is made in it.
struct Inheritance {
  std::optional<Owner> owner;  // what new entries have without being given one, if that is certain
  bool acl = false;            // new entries get an ACL that the layer does not speak of
};
// process: the effective ids of this one.
base::Result<Inheritance> inheritance_of(int directory, const Owner& process);

// Gives an open file or directory the owner, mode and xattrs of the entry, and its time too unless it is a directory
// (then the time and a default ACL wait until its contents are there). Of the entry's xattrs overlay's own are left out;
// those that the file system cannot hold are counted in `skipped`.
base::Status set_metadata(const TarEntry& entry, int fd, const Inheritance& inheritance, std::uint64_t& skipped);
// The same for what cannot be opened: a symlink, a device, a fifo, or another name of any inode. `name` is one component
// of `directory`, not followed.
base::Status set_metadata_at(const TarEntry& entry, int directory, const std::string& name,
                             const Inheritance& inheritance, std::uint64_t& skipped);

}  // namespace cairn::snapshot
