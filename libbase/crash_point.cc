// SPDX-License-Identifier: Apache-2.0
#include "libbase/crash_point.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "libbase/result.h"

namespace cairn::base {
namespace {

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

struct Armed {
  std::string trace_file = from_environment("CAIRN_CRASH_TRACE");
  std::string crash_at = from_environment("CAIRN_CRASH_AT");
  std::mutex mutex;
  std::map<std::string, unsigned> passes;
};

// Never destroyed: crash points may be passed while the process ends.
Armed& armed() {
  static Armed* instance = new Armed;
  return *instance;
}

}  // namespace

bool crash_points_armed = !armed().trace_file.empty() || !armed().crash_at.empty();

void pass_crash_point(const char* name) {
  Armed& state = armed();
  std::lock_guard lock(state.mutex);
  const unsigned ordinal = ++state.passes[name];
  if (!state.trace_file.empty()) {
    const std::string line = fmt::format("{} {}\n", name, ordinal);
    const int fd = ::open(state.trace_file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    ::close(fd);
  }
  if (state.crash_at == fmt::format("{}#{}", name, ordinal)) ::kill(::getpid(), SIGKILL);
}

}  // namespace cairn::base
