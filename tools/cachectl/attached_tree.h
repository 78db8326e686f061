// SPDX-License-Identifier: Apache-2.0
// A tree that everybody can see at a directory, for as long as this process lives and no longer: a process that it forks takes the mount
// away when this one ends, however it ends. That one keeps what was open when it was forked (the lock of the store, or the connection
// to its owner), so nobody can collect the tree before it is away.
#pragma once

#include <sys/types.h>

#include <stop_token>
#include <string>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::cachectl {

class AttachedTree {
 public:
  // `tree` is the root of a detached mount, and open for as long as this is. Errors: not_found (no such directory), io.
  static base::Result<AttachedTree> attach(int tree, const base::HostPath& dir);
  AttachedTree(AttachedTree&& other) noexcept : keeper_(other.keeper_), life_(std::move(other.life_)) { other.keeper_ = -1; }
  AttachedTree& operator=(AttachedTree&&) = delete;
  ~AttachedTree();  // it is away; who has files of it open still reads them

 private:
  AttachedTree() = default;
  pid_t keeper_ = -1;
  base::Fd life_;  // the end of a pipe that nobody else has
};

// Runs a command with this process's input and output, and gives its exit code, as a shell does. A stop is passed on as SIGTERM. It dies with
// this process. Errors: not_found, io.
base::Result<int> run_command(const std::vector<std::string>& words, const std::stop_token& stop);

}  // namespace cairn::cachectl
