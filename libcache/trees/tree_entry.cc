// SPDX-License-Identifier: Apache-2.0
#include "libcache/tree_entry.h"

namespace cairn::cache {
namespace {

// A socket has no letter of its own: its type is dropped, which leaves a regular file.
char type_flag(EntryType type) {
  switch (type) {
    case EntryType::file:
    case EntryType::socket: return '0';
    case EntryType::symlink: return '2';
    case EntryType::char_device: return '3';
    case EntryType::block_device: return '4';
    case EntryType::directory: return '5';
    case EntryType::fifo: return '6';
  }
  return '0';
}

bool counts(std::string_view xattr) {
  if (xattr == "security.capability") return true;
  return !xattr.starts_with("security.") && !xattr.starts_with("system.");
}

}  // namespace

EntryHasher::EntryHasher(const TreeEntry& entry) {
  const bool has_size = type_flag(entry.type) == '0';
  hash_.update(fmt::format("namemode{}uid{}gid{}size{}typeflag{}linkname{}unamegnamedevmajor{}devminor{}",
                           entry.mode & 07777, entry.uid, entry.gid, has_size ? entry.size : 0, type_flag(entry.type),
                           entry.type == EntryType::symlink ? entry.link : "", entry.device_major, entry.device_minor));
  for (const auto& [name, value] : entry.xattrs) {
    if (counts(name)) hash_.update(name).update(value);
  }
}

}  // namespace cairn::cache
