// SPDX-License-Identifier: Apache-2.0
// Reading one file of a directory that others may be writing to: what is hashed, and written if a copy is made, is one
// buffer, between two looks at the same descriptor that agree.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <stop_token>
#include <utility>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libsolver/sources/sent_entry.h"

namespace cairn::solver {

// Where the bytes of a file go. Holes are kept for sources that have some.
class FileWriter {
 public:
  explicit FileWriter(base::Fd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }

  enum class Holes { none, keep };
  base::Status restart(Holes holes);
  base::Status write(std::span<const std::byte> bytes);
  base::Status finish();

 private:
  base::Fd fd_;
  Holes holes_ = Holes::none;
  off_t size_ = 0;
};

// A file as it was read.
struct FileState {
  cache::StatX facts;
  Xattrs xattrs;  // those that are sent
  TreeDigest digest;
};

class FileReader {
 public:
  // on_bytes (may be empty) gets the count of each buffer that was read.
  FileReader(std::stop_token stop, std::function<void(std::size_t)> on_bytes);

  // Reads the regular file `fd`, into `writer` if there is one (not null). If it changes meanwhile, it is read again,
  // once. Errors: busy (it changed twice, or is not a regular file), no_space, cancelled, io.
  base::Result<FileState> read(int fd, FileWriter* writer);

 private:
  enum class Attempt { good, changed };
  base::Result<Attempt> try_read(int fd, FileWriter* writer, FileState& state);

  std::stop_token stop_;
  std::function<void(std::size_t)> on_bytes_;
  std::vector<std::byte> buffer_;
};

}  // namespace cairn::solver
