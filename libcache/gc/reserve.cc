// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "libbase/fs/fd.h"

namespace cairn::cache {
namespace {

constexpr std::uint64_t reserve_bytes_max = 8 << 20;
constexpr std::uint64_t plenty = 4;  // times the reserve has to be free

}  // namespace

void Reserve::fill() {
  const std::lock_guard lock(turn_);
  struct ::statvfs disk {};
  if (::statvfs(root_.c_str(), &disk) != 0) return;
  const std::uint64_t bytes = std::min<std::uint64_t>(reserve_bytes_max, disk.f_blocks * disk.f_frsize / 128);
  const auto file = base::open_host(root_ / "reserve", O_RDWR | O_CREAT, 0600);
  struct ::stat facts {};
  if (!file || ::fstat(file->get(), &facts) != 0) return;
  if (static_cast<std::uint64_t>(facts.st_blocks) * 512 >= bytes) return;
  if (disk.f_bavail * disk.f_frsize < plenty * bytes) return;
  // What could not be had whole is given back: it would be missing to others and help nobody.
  if (::fallocate(file->get(), 0, 0, static_cast<off_t>(bytes)) != 0 && ::ftruncate(file->get(), 0) != 0) return;
}

Reserve::Released Reserve::release() {
  const std::lock_guard lock(turn_);
  struct ::stat facts {};
  const base::HostPath path = root_ / "reserve";
  if (::stat(path.c_str(), &facts) != 0 || facts.st_blocks == 0) return Released::nothing;
  return ::truncate(path.c_str(), 0) == 0 ? Released::something : Released::nothing;
}

}  // namespace cairn::cache
