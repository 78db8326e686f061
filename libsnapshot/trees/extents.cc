// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/trees/extents.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <set>

#include "libsnapshot/trees/walk.h"

namespace cairn::snapshot {
namespace {

using base::Status;

struct Extents {
  std::int64_t shared = 0, own = 0;  // bytes
};

base::Result<Extents> read_extents(int file, std::uint32_t flags) {
  constexpr std::uint32_t extents_max = 64;
  alignas(::fiemap) std::array<char, sizeof(::fiemap) + extents_max * sizeof(::fiemap_extent)> memory;
  auto* map = reinterpret_cast<::fiemap*>(memory.data());
  Extents found;
  std::uint64_t start = 0;
  while (true) {
    memory.fill(0);
    map->fm_start = start;
    map->fm_length = std::numeric_limits<std::uint64_t>::max() - start;
    map->fm_flags = flags;
    map->fm_extent_count = extents_max;
    if (::ioctl(file, FS_IOC_FIEMAP, map) != 0) return base::fail_errno(errno, "list extents");
    for (std::uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
      const auto& extent = map->fm_extents[i];
      const bool shared = (extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0;
      (shared ? found.shared : found.own) += static_cast<std::int64_t>(extent.fe_length);
      start = extent.fe_logical + extent.fe_length;
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return found;
    }
    if (map->fm_mapped_extents == 0) return found;
  }
}

// Blocks that were written over belong to both files until they are written out. New files are left in memory.
base::Result<Extents> extents_of(int file) {
  const auto found = TRY(read_extents(file, 0));
  if (found.shared == 0) return found;
  return read_extents(file, FIEMAP_FLAG_SYNC);
}

}  // namespace

base::Result<std::int64_t> shared_bytes_of_file(int file) { return TRY(extents_of(file)).shared; }

base::Result<std::int64_t> shared_bytes(int tree) {
  std::int64_t shared = 0;
  std::set<std::pair<dev_t, ino_t>> linked;
  Walk walk;
  walk.entry = [&](int directory, const base::DirEntry& entry) -> Status {
    if (entry.type != DT_REG) return {};
    const base::Fd file(::openat(directory, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return base::fail_errno(errno, "open \"{}\"", entry.name);
    const auto status = TRY(base::stat_fd(file.get()));
    if (status.st_blocks == 0) return {};
    if (status.st_nlink > 1 && !linked.emplace(status.st_dev, status.st_ino).second) return {};
    const auto found = TRY(extents_of(file.get()), "\"{}\"", entry.name);
    if (found.shared == 0) return {};
    // Not the shared ones themselves: what stat counts has also room in it that XFS keeps for a while for more writes.
    shared += std::max<std::int64_t>(0, static_cast<std::int64_t>(status.st_blocks) * 512 - found.own);
    return {};
  };
  TRY(walk_tree(tree, walk));
  return shared;
}

}  // namespace cairn::snapshot
