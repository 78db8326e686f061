// SPDX-License-Identifier: Apache-2.0
// A server that is another program, until the test ends.
#pragma once

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "libbase/result.h"
#include "tests/e2e/program.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

class StartedServer {
 public:
  // Returns when the program has printed `mark` and a word behind it. "{dir}" in an argument is a directory of its own.
  StartedServer(std::vector<std::string> argv, const std::string& mark)
      : program_(dir_.path(), in_dir(std::move(argv))) {
    for (int look = 0; look < 3000; ++look) {
      const std::string out = program_.out_so_far();
      const std::size_t at = out.find(mark);
      const std::size_t end = at == std::string::npos ? at : out.find_first_of(" \r\n", at + mark.size());
      if (end != std::string::npos) {
        said_ = out.substr(at + mark.size(), end - at - mark.size());
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    CHECK(false, "the server did not start: {}{}", program_.out_so_far(), program_.err_so_far());
  }
  const std::string& said() const { return said_; }  // the word: a port, mostly
  const Program& program() const { return program_; }
  base::HostPath dir() const { return dir_.path(); }

 private:
  std::vector<std::string> in_dir(std::vector<std::string> argv) const {
    for (std::string& each : argv) {
      if (const std::size_t at = each.find("{dir}"); at != std::string::npos) each.replace(at, 5, dir_.path().str());
    }
    return argv;
  }
  TempDir dir_;
  Program program_;
  std::string said_;
};

}  // namespace cairn::test
