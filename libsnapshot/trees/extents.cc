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

base::Result<std::int64_t> count_shared(int file, std::uint32_t flags) {
  constexpr std::uint32_t extents_max = 64;
  alignas(::fiemap) std::array<char, sizeof(::fiemap) + extents_max * sizeof(::fiemap_extent)> memory;
  auto* map = reinterpret_cast<::fiemap*>(memory.data());
  std::int64_t shared = 0;
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
      if ((extent.fe_flags & FIEMAP_EXTENT_SHARED) != 0) shared += static_cast<std::int64_t>(extent.fe_length);
      start = extent.fe_logical + extent.fe_length;
      if ((extent.fe_flags & FIEMAP_EXTENT_LAST) != 0) return shared;
    }
    if (map->fm_mapped_extents == 0) return shared;
  }
}

}  // namespace

base::Result<std::int64_t> shared_bytes_of_file(int file) {
  // Blocks that were written over belong to both files until they are written out. New files are left in memory.
  if (TRY(count_shared(file, 0)) == 0) return 0;
  return count_shared(file, FIEMAP_FLAG_SYNC);
}

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
    const auto bytes = TRY(shared_bytes_of_file(file.get()), "\"{}\"", entry.name);
    shared += std::min(bytes, static_cast<std::int64_t>(status.st_blocks) * 512);
    return {};
  };
  TRY(walk_tree(tree, walk));
  return shared;
}

}  // namespace cairn::snapshot
