// SPDX-License-Identifier: Apache-2.0
// One name in a tree as digests see it, and the hash of it: a header of fixed fields, then the bytes of a file
// (spec/storage 3.1). Names are not part of it, nor are times unless somebody asks for them.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "libbase/hash/sha256.h"
#include "libcache/digests.h"

namespace cairn::cache {

enum class EntryType : std::uint8_t { file, directory, symlink, char_device, block_device, fifo, socket };

struct TreeEntry {
  EntryType type = EntryType::file;
  std::uint32_t mode = 0;  // permission, setuid, setgid and sticky bits (07777)
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t size = 0;  // counts for files and sockets only
  std::string link;        // counts for symlinks only
  std::uint32_t device_major = 0, device_minor = 0;
  std::int64_t mtime_seconds = 0;
  std::uint32_t mtime_nanoseconds = 0;
  std::map<std::string, std::string> xattrs;  // those of security.* (but capabilities) and system.* do not count
};

// What an entry's hash begins with. Times::counted is no digest of BuildKit's.
enum class Times : std::uint8_t { ignored, counted };
std::string header_text(const TreeEntry& entry, Times times = Times::ignored);

// Of all attributes, those too that do not count in digests; zero if there is none.
using XattrsDigest = base::Digest<struct XattrsMeaning>;
XattrsDigest digest_xattrs(const std::map<std::string, std::string>& xattrs);

// The hash of one entry: the entry, then all bytes if it is a file, then finish().
class EntryHasher {
 public:
  explicit EntryHasher(const TreeEntry& entry);
  void update(std::string_view bytes) { hash_.update(bytes); }
  void update(std::span<const std::byte> bytes) { hash_.update(bytes); }
  TreeDigest finish() { return TreeDigest(hash_.finish()); }

 private:
  base::Sha256 hash_;
};

}  // namespace cairn::cache
