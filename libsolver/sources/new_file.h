// SPDX-License-Identifier: Apache-2.0
// A file beside others that has no name of theirs yet; without rename_to() it goes.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>

#include "libbase/fs/early_writeback.h"
#include "libbase/fs/fd.h"

namespace cairn::solver {

class NewFile {
 public:
  static base::Result<NewFile> create(const base::HostPath& folder) {
    std::string path = (folder / ".cairn-XXXXXX").str();
    base::Fd fd(::mkostemp(path.data(), O_CLOEXEC));
    if (fd.get() < 0) return base::fail_errno(errno, "create a file in {}", folder.str());
    NewFile file(std::move(fd), std::move(path));
    if (::fchmod(file.get(), 0644) != 0) return base::fail_errno(errno, "set the mode of {}", file.path_);
    return file;
  }
  ~NewFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  NewFile(NewFile&& other) noexcept
      : fd_(std::move(other.fd_)),
        path_(std::exchange(other.path_, {})),
        bytes_(other.bytes_),
        writeback_(other.writeback_) {}
  NewFile& operator=(NewFile&&) = delete;
  int get() const { return fd_.get(); }
  // Behind what has been written.
  base::Status write(std::span<const std::byte> bytes) {
    TRY(base::write_full(fd_.get(), bytes));
    writeback_.wrote(fd_.get(), bytes_ += bytes.size());
    return {};
  }
  // Its bytes are durable, and replace what had the name.
  base::Status rename_to(const base::HostPath& target) && {
    TRY(base::sync_data(fd_.get()), "write {}", target.str());
    if (::rename(path_.c_str(), target.c_str()) != 0) return base::fail_errno(errno, "rename to {}", target.str());
    path_.clear();
    return {};
  }

 private:
  NewFile(base::Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  base::Fd fd_;
  std::string path_;
  std::uint64_t bytes_ = 0;
  base::EarlyWriteback writeback_;
};

}  // namespace cairn::solver
