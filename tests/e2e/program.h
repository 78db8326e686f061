// SPDX-License-Identifier: Apache-2.0
// Running programs as a user does: arguments in, exit code and what was printed out. Output goes to files, so a program
// never waits for its reader and a test can look at it meanwhile.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "libbase/path.h"

namespace cairn::test {

struct Ended {
  int code = -1;  // 128 + signal if a signal ended it
  std::string out, err;
};

// One process. The destructor kills it if nobody has waited for it.
class Program {
 public:
  // argv[0] is searched in PATH. Output files are made in `dir`. Aborts the test program if it cannot be started.
  Program(const base::HostPath& dir, std::vector<std::string> argv, const std::string& input = "");
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  std::string out_so_far() const;
  std::string err_so_far() const;
  Ended wait();

 private:
  pid_t pid_ = -1;
  std::string files_;  // the common part of the names of its output files
};

Ended run_program(const base::HostPath& dir, std::vector<std::string> argv, const std::string& input = "");

}  // namespace cairn::test
