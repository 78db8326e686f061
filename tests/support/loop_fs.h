// SPDX-License-Identifier: Apache-2.0
// A file system of a test's own: made in memory, on a loop device, mounted where nobody else sees it. Nothing of it can
// stay behind, also if the test is killed: the mount is in a mount namespace of this process alone, the device clears
// itself when it is unmounted, and the image is a file without a name (only the empty directory it was mounted on needs
// a living process to go away).
//
// The one fact to know: the first LoopFs moves its thread into a new mount namespace. Make it on the main thread before
// others are started; what is started afterwards, threads and programs, sees the mount.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "libbase/path.h"
#include "libbase/result.h"
#include "tests/support/block_device.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

// The bytes are memory, but only those written to. xfs takes no less than 300 MiB, btrfs than 109 MiB.
class LoopFs {
 public:
  // Aborts with the reason if it cannot be made: a test that needs it cannot run. options: of mount(2), for this file
  // system ("noatime" is not one).
  explicit LoopFs(FileSystem kind, std::uint64_t size_bytes = std::uint64_t{4} << 30, const std::string& options = "");
  // The same for who can do without. Errors: unavailable.
  static base::Result<std::unique_ptr<LoopFs>> make(FileSystem kind, std::uint64_t size_bytes,
                                                    const std::string& options = "");
  ~LoopFs();
  LoopFs(const LoopFs&) = delete;
  LoopFs& operator=(const LoopFs&) = delete;

  const base::HostPath& path() const { return directory_.path(); }  // its root
  base::HostPath operator/(std::string_view relative) const { return path() / relative; }
  const std::string& device() const { return device_; }  // "/dev/loop3"

 private:
  LoopFs() = default;
  base::Status mount(FileSystem kind, std::uint64_t size_bytes, const std::string& options);

  TempDir directory_;
  std::string device_;
};

}  // namespace cairn::test
