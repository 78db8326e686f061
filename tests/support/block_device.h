// SPDX-License-Identifier: Apache-2.0
// Images of disks in memory, loop devices over them, and file systems made and mounted on those. Nothing can stay
// behind: images have no name, devices clear themselves with their last user, mounts are in a mount namespace of this
// process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "libbase/fs/fd.h"
#include "libbase/path.h"

namespace cairn::test {

// From now on mounts of this process are seen by nobody else, and go with it; those of a child are the child's own once it
// calls this, too. Call it before threads are started. Errors: unavailable.
base::Status own_mounts();

enum class FileSystem { ext4, btrfs, xfs };  // xfs with reflinks
std::string_view name_of(FileSystem kind);
std::uint64_t smallest_disk(FileSystem kind);  // in bytes, with some room

// Aborts if there is no memory. Close-on-exec.
base::Fd memory_image(std::uint64_t size_bytes);

class LoopDevice {
 public:
  // Binds a free device to an open file. It clears itself when nobody uses it any more. Errors: unavailable.
  static base::Result<LoopDevice> attach(int file);
  const std::string& path() const { return path_; }  // "/dev/loop3"
  std::uint64_t flushes() const;  // that the kernel has completed on it

 private:
  LoopDevice(std::string path, base::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::string path_;
  base::Fd fd_;
};

// What ext4 may leave for the kernel to write in the background: less memory, but writes that nobody asked for.
enum class Tables { left_for_later, written };
// Errors: unavailable.
base::Status make_file_system(FileSystem kind, const std::string& device, Tables tables = Tables::written);

// A mounted file system. Unmounting waits a while for users that are just ending, then detaches it.
class Mount {
 public:
  // options: of mount(2), for this file system. Errors: corrupt (it cannot be mounted; the message has the errno).
  static base::Result<Mount> make(FileSystem kind, const std::string& device, const base::HostPath& where,
                                  const std::string& options = "");
  Mount(Mount&& other) noexcept : where_(std::move(other.where_)) { other.where_.clear(); }
  ~Mount();
  // False: it is still used, and has only been detached.
  bool unmount();

 private:
  explicit Mount(std::string where) : where_(std::move(where)) {}
  std::string where_;  // "": none
};

}  // namespace cairn::test
