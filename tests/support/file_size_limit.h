// SPDX-License-Identifier: Apache-2.0
// Writes that fail: no file of this process grows beyond a size, for as long as this lives. What is beyond it fails with
// EFBIG.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

namespace cairn::test {

class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    EXPECT_EQ(::getrlimit(RLIMIT_FSIZE, &before_), 0);
    const struct ::rlimit low{bytes, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before_), 0);
    ::signal(SIGXFSZ, signals_);
  }

 private:
  struct ::rlimit before_ {};
  void (*signals_)(int) = ::signal(SIGXFSZ, SIG_IGN);
};

}  // namespace cairn::test
