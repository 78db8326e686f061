// SPDX-License-Identifier: Apache-2.0
// Trees for tests: a few verbs that fail the test by themselves, a dump of everything a tree holds, and change streams as
// lines of text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libsnapshot/changes.h"
#include "tests/conformance/snapshotter_fixture.h"

namespace cairn::snapshot {

// A directory to build in: a path of the machine, or of a mount that is attached nowhere (/proc/self/fd/N). Paths are
// relative to it; times are set so that a tree does not depend on when it was made.
class TreeAt {
 public:
  explicit TreeAt(std::string root) : root_(std::move(root)) {}
  static TreeAt of(int directory) { return TreeAt(fmt::format("/proc/self/fd/{}", directory)); }

  std::string at(std::string_view path) const { return root_ + "/" + std::string(path); }
  void dir(const std::string& path, unsigned mode = 0755) const;
  void file(const std::string& path, std::string_view text, unsigned mode = 0644) const;  // truncates
  void symlink(const std::string& path, const std::string& target) const;
  void link(const std::string& path, const std::string& target) const;
  void node(const std::string& path, unsigned mode, unsigned major = 0, unsigned minor = 0) const;  // fifo, device, socket
  void owner(const std::string& path, unsigned uid, unsigned gid) const;
  void mode(const std::string& path, unsigned mode) const;
  void xattr(const std::string& path, const std::string& name, std::string_view value) const;
  void time(const std::string& path, std::int64_t seconds, long nanoseconds = 0) const;
  void remove(const std::string& path) const;  // with everything in it
  void rename(const std::string& from, const std::string& to) const;
  // Everything in it, and itself, gets this time.
  void time_all(std::int64_t seconds, long nanoseconds = 0) const;
  base::Fd open() const;

 private:
  std::string root_;
};

// Everything a tree holds, by path ("." is the root): type, mode, owner, device, time, xattrs, contents or target, and the
// first name of its inode if it has several names in the tree.
std::map<std::string, std::string> dump(int directory);
// What differs between two dumps, a line each; empty if nothing does.
std::string difference(const std::map<std::string, std::string>& expected,
                       const std::map<std::string, std::string>& got);

// "add a/b", "modify a (not in layer)", in the order of the stream.
std::string line_of(const Change& change);
std::vector<std::string> stream(std::optional<int> lower, int upper, ChangeOptions options = {});

}  // namespace cairn::snapshot
