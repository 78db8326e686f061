// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e_cached/cached_program.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/result.h"

namespace cairn::test {

CachedProgram::CachedProgram(std::vector<std::string> more, const std::string& policy) : more_(std::move(more)) {
  if (!policy.empty()) {
    CHECK(base::make_host_dirs(root()).has_value());
    CHECK(base::write_file_atomic(root() / "gc.toml", policy, base::Durable::no).has_value());
  }
  start();
}

void CachedProgram::start() {
  std::vector<std::string> argv = {CAIRN_BIN_DIR "/cached", "--root", root().str(), "--http", address_};
  argv.insert(argv.end(), more_.begin(), more_.end());
  program_ = std::make_unique<Program>(dir_.path(), std::move(argv));
  for (int look = 0; look < 3000; ++look) {
    const std::string out = program_->out_so_far();
    const std::size_t at = out.find(" at http://"), end = out.find('\n');
    if (at != std::string::npos && end != std::string::npos) {
      address_ = out.substr(at + 11, std::min(out.find(' ', at + 11), end) - at - 11);
      CHECK(curl({url("/health")}).out == "200", "cached says that it serves, and is not healthy");
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(false, "cached did not start: {}", program_->err_so_far());
}

std::string CachedProgram::address_behind(const std::string& mark) const {
  const std::string said = program_->out_so_far();
  const std::size_t at = said.find(mark);
  return at == std::string::npos ? "" : said.substr(at + mark.size(), said.find_first_of(" \n", at) - at - mark.size());
}

Ended CachedProgram::stop(int signal) {
  program_->signal(signal);
  return program_->wait();
}

Ended CachedProgram::curl(std::vector<std::string> arguments) const {
  std::vector<std::string> argv = {"curl",        "--noproxy",    "*",          "--silent", "--show-error",
                                   "--write-out", "%{http_code}", "--max-time", "60"};
  if (std::find(arguments.begin(), arguments.end(), "--output") == arguments.end())
    argv.insert(argv.end(), {"--output", "/dev/null"});
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(std::move(argv));
}

std::string CachedProgram::metrics() const {
  return run({"curl", "--silent", "--noproxy", "*", url("/metrics")}).out;
}

Ended CachedProgram::cachectl(std::vector<std::string> arguments) const {
  std::vector<std::string> argv = {CAIRN_BIN_DIR "/cachectl", "--root", root().str()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(std::move(argv));
}

}  // namespace cairn::test
