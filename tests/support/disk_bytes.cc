// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk_bytes.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "libbase/fs/beneath.h"

namespace cairn::test {

void DiskBytes::add(int directory) {
  others_ += base::stat_fd(directory).value().st_blocks * 512;
  const auto entries = base::list_dir(directory).value();
  for (const auto& entry : entries) {
    if (entry.type != DT_DIR && entry.type != DT_REG) {
      struct ::stat status {};
      CHECK(::fstatat(directory, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0);
      // A fork of a subvolume has the same inode, unchanged.
      const auto changed = status.st_ctim.tv_sec * 1'000'000'000 + status.st_ctim.tv_nsec;
      if (links_.emplace(status.st_ino, changed).second) others_ += status.st_blocks * 512;
      continue;
    }
    const base::Fd inside(::openat(directory, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    CHECK(inside, "open {}: {}", entry.name, ::strerror(errno));
    entry.type == DT_DIR ? add(inside.get()) : add_file(inside.get());
  }
}

void DiskBytes::add_file(int file) {
  constexpr std::uint32_t extents_max = 512;
  std::vector<char> memory(sizeof(::fiemap) + extents_max * sizeof(::fiemap_extent));
  auto* map = reinterpret_cast<::fiemap*>(memory.data());
  map->fm_length = FIEMAP_MAX_OFFSET;
  map->fm_flags = FIEMAP_FLAG_SYNC;
  map->fm_extent_count = extents_max;
  CHECK(::ioctl(file, FS_IOC_FIEMAP, map) == 0, "list extents: {}", ::strerror(errno));
  CHECK(map->fm_mapped_extents < extents_max, "more extents than a test needs");
  for (std::uint32_t i = 0; i < map->fm_mapped_extents; ++i) {
    const auto& extent = map->fm_extents[i];
    CHECK((extent.fe_flags & FIEMAP_EXTENT_DATA_INLINE) == 0, "mount with max_inline=0");
    auto& end = ends_[extent.fe_physical];
    end = std::max<std::uint64_t>(end, extent.fe_physical + extent.fe_length);
  }
}

std::int64_t DiskBytes::bytes() const {
  std::uint64_t bytes = 0;
  std::uint64_t reached = 0;
  for (const auto& [start, end] : ends_) {
    if (end <= reached) continue;
    bytes += end - std::max(start, reached);
    reached = end;
  }
  return static_cast<std::int64_t>(bytes) + others_;
}

}  // namespace cairn::test
