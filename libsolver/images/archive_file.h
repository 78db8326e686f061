// SPDX-License-Identifier: Apache-2.0
// Where an archive goes: a file that has its name when all of it is there, or a descriptor of the caller.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "libsolver/images.h"
#include "libsolver/sources/new_file.h"

namespace cairn::solver {

class ArchiveFile {
 public:
  // Errors: invalid_argument (dest is a directory, or there is neither a dest nor a descriptor), not_found, io.
  static base::Result<ArchiveFile> open(const ImageExport& order);
  base::Status write(std::string_view bytes);
  std::uint64_t bytes() const { return bytes_; }
  // It has its name and survives a power cut. Of a descriptor: nothing.
  base::Status finish() &&;

 private:
  ArchiveFile(int fd, const std::function<void(std::uint64_t, std::uint64_t)>& progress)
      : fd_(fd), progress_(progress) {}

  int fd_;
  const std::function<void(std::uint64_t, std::uint64_t)>& progress_;
  std::optional<NewFile> file_;
  std::optional<base::HostPath> dest_, folder_;
  std::uint64_t bytes_ = 0, reported_ = 0;
};

}  // namespace cairn::solver
