// SPDX-License-Identifier: Apache-2.0
// A temporary directory with an open descriptor, shorthands to fill it, and mounts that end with a closure.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <gmock/gmock.h>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "tests/support/temp_dir.h"

namespace cairn::base {

class FsTest : public testing::Test {
 protected:
  int root() const { return root_.get(); }
  HostPath host(std::string_view path) const { return temp_ / path; }
  static TreePath tree(std::string_view path) { return TreePath::parse(path).value(); }

  void make_dirs(std::string_view path) {
    const Status made = make_dirs_beneath(root(), tree(path), 0755);
    ASSERT_TRUE(made) << made.error().message;
  }
  void make_file(std::string_view path, std::string_view bytes = "bytes") {
    make_dirs(tree(path).parent().str());
    const Status written = write_file_atomic(host(path), bytes, Durable::no);
    ASSERT_TRUE(written) << written.error().message;
  }
  void make_link(const std::string& target, std::string_view path) {
    ASSERT_EQ(::symlink(target.c_str(), host(path).c_str()), 0) << errno_text(errno);
  }
  bool exists(std::string_view path) {
    struct ::stat stat;
    return ::lstat(host(path).c_str(), &stat) == 0;
  }
  std::string contents(std::string_view path) { return read_file(host(path), 1 << 20).value_or("<unreadable>"); }

  // From here on the mounts of this thread (and of those it starts) are its own.
  static void leave_shared_mounts() {
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << errno_text(errno);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << errno_text(errno);
  }
  // Runs body on a thread with its own mounts, which are gone afterwards.
  template <class Body>
  void with_own_mounts(Body body) {
    std::thread([&] {
      leave_shared_mounts();
      // A descriptor from before does not see mounts of now.
      Fd outside = std::exchange(root_, open_host_dir(temp_.path()).value());
      body();
      root_ = std::move(outside);
    }).join();
  }

  // Runs body with a new directory that is a file system in memory, where many files cost little; gives its descriptor.
  template <class Body>
  void with_memory_at(std::string_view path, Body body) {
    make_dirs(path);
    with_own_mounts([&] {
      ASSERT_EQ(::mount("tmpfs", host(path).c_str(), "tmpfs", 0, nullptr), 0) << errno_text(errno);
      body(open_host_dir(host(path)).value().get());
    });
  }

  const test::TempDir temp_;
  Fd root_ = open_host_dir(temp_.path()).value();
};

#define EXPECT_CODE(expression, expected)                                 \
  do {                                                                    \
    const auto outcome = (expression);                                    \
    ASSERT_FALSE(outcome) << #expression << " has succeeded";             \
    EXPECT_EQ(outcome.error().code, expected) << outcome.error().message; \
  } while (false)
#define EXPECT_OK(expression)                                               \
  do {                                                                      \
    const auto outcome = (expression);                                      \
    EXPECT_TRUE(outcome) << #expression << ": " << outcome.error().message; \
  } while (false)

}  // namespace cairn::base
