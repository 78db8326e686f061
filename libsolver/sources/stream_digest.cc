// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/stream_digest.h"

#include <sys/sysmacros.h>

#include "libbase/result.h"

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

std::string key_of(std::string_view name) { return std::string("\0", 1).append(name); }

}  // namespace

cache::EntryHasher stream_hasher(mode_t mode, std::uint64_t size, std::string_view link, dev_t device,
                                 const Xattrs& xattrs) {
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
  return cache::EntryHasher(entry);
}

StreamDigest::StreamDigest() {
  levels_.emplace_back();
  // The root is never sent, so its header is the hash of nothing.
  levels_.back().hash.update(std::string_view("\0", 1)).update(base::digest_of<TreeDigest>("").str());
}

// A key is the path from the level's directory, with a NUL before each name.
void StreamDigest::add(Level& level, std::string_view key, const TreeDigest& digest) {
  level.hash.update(key).update(digest.str());
  if (key[1] == '\xff') level.again.emplace_back(key, digest);
}

void StreamDigest::leaf(std::string_view name, const TreeDigest& digest) { add(levels_.back(), key_of(name), digest); }

void StreamDigest::enter(std::string_view name, const TreeDigest& header) {
  Level& level = levels_.emplace_back();
  level.name = name;
  level.hash.update(std::string_view("\0", 1)).update(header.str());
}

void StreamDigest::leave() {
  CHECK(levels_.size() > 1, "a directory is left that was not entered");
  Level child = std::move(levels_.back());
  levels_.pop_back();
  Level& parent = levels_.back();
  const std::string key = key_of(child.name);
  add(parent, key, TreeDigest(child.hash.finish()));
  for (const auto& [below, digest] : child.again) add(parent, key + below, digest);
}

TreeDigest StreamDigest::finish() {
  CHECK(levels_.size() == 1, "a directory was not left");
  return TreeDigest(levels_.back().hash.finish());
}

}  // namespace cairn::solver
