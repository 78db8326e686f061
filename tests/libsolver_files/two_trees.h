// SPDX-License-Identifier: Apache-2.0
// A tree to copy from and one to change, and something outside of both that must stay as it is.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/files/actions.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {

class TwoTrees : public ::testing::Test {
 protected:
  ~TwoTrees() override { EXPECT_EQ(test::describe_tree(outside.root(), test::Times::show), outside_before_); }

  static wire::FileActionCopy copy_of(std::string src, std::string dest) {
    wire::FileActionCopy action;
    action.src = std::move(src);
    action.dest = std::move(dest);
    action.mode = -1;
    action.timestamp = -1;
    return action;
  }
  base::Status copy(const wire::FileActionCopy& action, CopyOptions options = {}) const {
    return copy_paths(from_fd_.fd(), to_fd_.fd(), action, options);
  }
  base::Status copy(std::string src, std::string dest) const { return copy(copy_of(std::move(src), std::move(dest))); }

  std::set<std::string> names() const { return test::names_below(to.root()); }
  std::string content(std::string_view path) const { return base::read_file(to.root() / path, 1 << 20).value_or("<none>"); }
  struct ::stat stat_of(std::string_view path) const {
    struct ::stat stat {};
    EXPECT_EQ(::lstat((to.root() / path).c_str(), &stat), 0) << path;
    return stat;
  }
  mode_t mode_of(std::string_view path) const { return stat_of(path).st_mode & 07777; }

  test::TempDir temporary;
  test::TreeOnDisk from{temporary / "from"}, to{temporary / "to"}, outside{temporary / "outside"};

 private:
  snapshot::MountedTree from_fd_ = test::as_tree(from.root()), to_fd_ = test::as_tree(to.root());
  std::map<std::string, std::string> outside_before_ = [this] {
    outside.file("secret", "outside");
    outside.modified("secret", {1000, 0});
    return test::describe_tree(outside.root(), test::Times::show);
  }();

 protected:
  int to_fd() const { return to_fd_.fd(); }
};

}  // namespace cairn::solver
