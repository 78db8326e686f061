// SPDX-License-Identifier: Apache-2.0
// A tar archive of plain files and directories, written as it goes out: images in one file. Its bytes follow from what
// is put into it: every member is root's, of the beginning of 1970.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::snapshot {

// Not thread-safe. Errors of all: those of the sink; invalid_argument (a name that no tar holds).
class ArchiveWriter {
 public:
  using Sink = std::function<base::Status(std::string_view)>;
  explicit ArchiveWriter(Sink sink) : sink_(std::move(sink)) {}

  base::Status add_directory(const std::string& name);
  base::Status add_file(const std::string& name, std::string_view bytes);
  // Exactly size bytes follow by write(), and then end_file().
  base::Status begin_file(const std::string& name, std::uint64_t size);
  base::Status write(std::string_view bytes);
  base::Status end_file();
  // The archive is complete.
  base::Status finish();

 private:
  Sink sink_;
  std::uint64_t size_ = 0, written_ = 0;  // of the file that was begun
};

}  // namespace cairn::snapshot
