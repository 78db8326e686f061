// SPDX-License-Identifier: Apache-2.0
#include "tests/support/loop_fs.h"

#include <sys/mount.h>

#include <cerrno>

namespace cairn::test {

using base::Status;

LoopFs::LoopFs(FileSystem kind, std::uint64_t size_bytes, const std::string& options) {
  const auto mounted = mount(kind, size_bytes, options);
  CHECK(mounted.has_value(), "{}", mounted.error().message);
}

base::Result<std::unique_ptr<LoopFs>> LoopFs::make(FileSystem kind, std::uint64_t size_bytes,
                                                   const std::string& options) {
  std::unique_ptr<LoopFs> fs(new LoopFs());
  TRY(fs->mount(kind, size_bytes, options), "make a file system of type {}", name_of(kind));
  return fs;
}

Status LoopFs::mount(FileSystem kind, std::uint64_t size_bytes, const std::string& options) {
  TRY(own_mounts());
  const base::Fd image = memory_image(size_bytes);
  const LoopDevice device = TRY(LoopDevice::attach(image.get()));
  TRY(make_file_system(kind, device.path(), Tables::left_for_later));
  if (::mount(device.path().c_str(), path().c_str(), name_of(kind).data(), MS_NOATIME, options.c_str()) != 0) {
    return base::fail(base::ErrorCode::unavailable, "mount {}: {}", device.path(), base::errno_text(errno));
  }
  device_ = device.path();
  return {};
}

LoopFs::~LoopFs() {
  // Lazily: a test that failed may still have something open in it.
  if (!device_.empty()) (void)::umount2(path().c_str(), MNT_DETACH);
}

}  // namespace cairn::test
