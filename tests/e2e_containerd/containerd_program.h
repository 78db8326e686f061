// SPDX-License-Identifier: Apache-2.0
// The real containerd with a configuration, a root and a state of its own, whose snapshotter `cairn` is the real cached.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/e2e_cached/cached_program.h"

namespace cairn::test {

class ContainerdProgram {
 public:
  ContainerdProgram();
  ~ContainerdProgram();  // ends its tasks, then itself

  // `ctr` against it; what is refused because cached has just begun again is asked anew for some seconds.
  Ended ctr(std::vector<std::string> arguments) const;
  // The same, of an argument of which the snapshotter is said, too.
  Ended snapshots(std::vector<std::string> arguments) const;
  // The standard output of a container that ends, removed afterwards. Fails the test if it does not end well.
  std::string run(const std::string& image, const std::string& id, std::vector<std::string> command) const;
  CachedProgram& cached() { return *cached_; }
  // The directories of trees in the store, by their names.
  std::vector<std::string> trees() const;
  base::HostPath work(const std::string& name) const { return dir_ / name; }
  std::string log() const { return containerd_->err_so_far(); }

 private:
  Ended run_in_dir(std::vector<std::string> argv) const { return run_program(dir_.path(), std::move(argv)); }

  TempDir dir_;
  std::unique_ptr<CachedProgram> cached_;
  std::unique_ptr<Program> containerd_;
};

}  // namespace cairn::test
