// SPDX-License-Identifier: Apache-2.0
// The real cached, on a store of its own and a port that was free, until it is told to end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/program.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

class CachedProgram {
 public:
  // policy: what gc.toml says; "": there is none.
  explicit CachedProgram(std::vector<std::string> more = {}, const std::string& policy = "");

  void start();            // returns when /health answers 200
  Ended stop(int signal);  // SIGTERM, SIGKILL
  std::string url(const std::string& path) const { return "http://" + address_ + path; }
  const std::string& address() const { return address_; }
  base::HostPath root() const { return dir_ / "store"; }
  pid_t pid() const { return program_->pid(); }
  // As it says itself at the start; "" without --grpc, --resp.
  std::string grpc_address() const { return address_behind("grpc://"); }
  std::string resp_address() const { return address_behind("redis://"); }
  Ended run(std::vector<std::string> argv, const std::string& input = "") const {
    return run_program(dir_.path(), std::move(argv), input);
  }
  // The status that curl gets, and before it, with "--output -", the body.
  Ended curl(std::vector<std::string> arguments) const;
  Ended cachectl(std::vector<std::string> arguments) const;
  std::string metrics() const;  // the text of /metrics
  base::HostPath work(const std::string& name) const { return dir_ / name; }

 private:
  std::string address_behind(const std::string& mark) const;
  TempDir dir_;
  const std::vector<std::string> more_;
  std::unique_ptr<Program> program_;
  std::string address_ = "127.0.0.1:0";
};

}  // namespace cairn::test
