// SPDX-License-Identifier: Apache-2.0
#include "libcache/tree_entry.h"

#include <iterator>

#include "libbase/codec.h"

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

std::string header_text(const TreeEntry& entry, Times times) {
  const bool has_size = type_flag(entry.type) == '0';
  std::string text;
  text.reserve(128);
  fmt::format_to(std::back_inserter(text),
                 "namemode{}uid{}gid{}size{}typeflag{}linkname{}unamegnamedevmajor{}devminor{}", entry.mode & 07777,
                 entry.uid, entry.gid, has_size ? entry.size : 0, type_flag(entry.type),
                 entry.type == EntryType::symlink ? std::string_view(entry.link) : "", entry.device_major,
                 entry.device_minor);
  if (times == Times::counted) {
    fmt::format_to(std::back_inserter(text), "mtime{}.{:09}", entry.mtime_seconds, entry.mtime_nanoseconds);
  }
  for (const auto& [name, value] : entry.xattrs) {
    if (counts(name)) text.append(name).append(value);
  }
  return text;
}

XattrsDigest digest_xattrs(const std::map<std::string, std::string>& xattrs) {
  if (xattrs.empty()) return {};
  base::ByteWriter writer;
  for (const auto& [name, value] : xattrs) writer.string(name).string(value);
  return base::digest_of<XattrsDigest>(writer.take());
}

EntryHasher::EntryHasher(const TreeEntry& entry) { hash_.update(header_text(entry)); }

}  // namespace cairn::cache
