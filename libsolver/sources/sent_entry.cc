// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/sent_entry.h"

#include <sys/sysmacros.h>

namespace cairn::solver {
namespace {

cache::EntryType type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return cache::EntryType::directory;
    case S_IFLNK: return cache::EntryType::symlink;
    case S_IFCHR: return cache::EntryType::char_device;
    case S_IFBLK: return cache::EntryType::block_device;
    case S_IFIFO: return cache::EntryType::fifo;
    case S_IFSOCK: return cache::EntryType::socket;
    default: return cache::EntryType::file;
  }
}

}  // namespace

cache::TreeEntry sent_entry(mode_t mode, std::uint64_t size, std::string_view link, dev_t device, const Xattrs& xattrs) {
  cache::TreeEntry entry;
  entry.type = type_of(mode);
  // A symlink's mode is what every Linux client sends.
  entry.mode = S_ISLNK(mode) ? 0777 : mode & 07777;
  entry.size = size;
  entry.link = link;
  if (S_ISCHR(mode) || S_ISBLK(mode)) {
    entry.device_major = major(device);
    entry.device_minor = minor(device);
  }
  entry.xattrs = xattrs;
  return entry;
}

cache::NameContent header_content(const cache::TreeEntry& entry) {
  cache::NameContent content;
  content.digests.stream = content.digests.scan = cache::EntryHasher(entry).finish();
  content.xattrs = cache::digest_xattrs(entry.xattrs);
  if (entry.device_major == 0 && entry.device_minor == 0) return content;
  // spec/storage 3.1: a scan never sees device numbers.
  cache::TreeEntry scanned = entry;
  scanned.device_major = scanned.device_minor = 0;
  content.digests.scan = cache::EntryHasher(scanned).finish();
  return content;
}

cache::NameContent file_content(const TreeDigest& digest, const Xattrs& xattrs) {
  return {{digest, digest}, cache::digest_xattrs(xattrs)};
}

}  // namespace cairn::solver
