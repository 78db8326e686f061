// SPDX-License-Identifier: Apache-2.0
// The bytes of an open file from its start, wherever others who share the descriptor stand in it.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "libbase/compress/decoder.h"
#include "libbase/fs/fd.h"

namespace cairn::base {

class FileSource final : public ByteSource {
 public:
  explicit FileSource(Fd file) : file_(std::move(file)) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    ssize_t count;
    do {
      count = ::pread(file_.get(), out.data(), out.size(), at_);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return fail_errno(errno, "read a file");
    at_ += count;
    return static_cast<std::size_t>(count);
  }

 private:
  Fd file_;
  off_t at_ = 0;
};

}  // namespace cairn::base
