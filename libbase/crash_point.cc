// SPDX-License-Identifier: Apache-2.0
// Crash points that are armed. The environment is read once, before main(); a malformed CAIRN_CRASH_AT aborts, for a
// crash test that never crashes would prove nothing.
#include "libbase/crash_point.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "libbase/crash_watch.h"
#include "libbase/result.h"
#include "libbase/sync.h"

namespace cairn::base {

namespace {

struct Target {
  std::string name;
  std::uint64_t ordinal;
};

std::optional<Target> target_of_environment() {
  const char* text = std::getenv("CAIRN_CRASH_AT");
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view target = text;
  const std::size_t hash = target.rfind('#');
  CHECK(hash != std::string_view::npos && hash > 0, "CAIRN_CRASH_AT={} is not <name>#<ordinal>", target);
  std::uint64_t ordinal = 0;
  const auto [end, error] = std::from_chars(target.data() + hash + 1, target.data() + target.size(), ordinal);
  CHECK(error == std::errc() && end == target.data() + target.size() && ordinal > 0,
        "CAIRN_CRASH_AT={} has no ordinal from 1", target);
  return Target{std::string(target.substr(0, hash)), ordinal};
}

int trace_of_environment() {
  const char* file = std::getenv("CAIRN_CRASH_TRACE");
  if (file == nullptr || *file == '\0') return -1;
  const int fd = ::open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  CHECK(fd >= 0, "CAIRN_CRASH_TRACE={}: {}", file, errno_text(errno));
  return fd;
}

// Only looked at when armed; lives to the end of the process, as its descriptor does.
struct Passes {
  std::optional<Target> target = target_of_environment();
  int trace_fd = trace_of_environment();
  std::map<std::string, std::uint64_t, std::less<>> count_of_name;

  void pass(std::string_view name) {
    const auto found = count_of_name.try_emplace(std::string(name), 0).first;
    const std::uint64_t ordinal = ++found->second;
    if (trace_fd >= 0) {
      const std::string line = fmt::format("{} {}\n", name, ordinal);
      // One write with O_APPEND: lines of several processes do not mix.
      const ssize_t written = ::write(trace_fd, line.data(), line.size());
      CHECK(written == static_cast<ssize_t>(line.size()), "write the crash trace: {}", errno_text(errno));
    }
    if (target && target->name == name && target->ordinal == ordinal) ::raise(SIGKILL);
  }
};

Guarded<Passes>& passes() {
  static Guarded<Passes> instance;
  return instance;
}

bool arm() {
  const bool armed = std::getenv("CAIRN_CRASH_AT") != nullptr || std::getenv("CAIRN_CRASH_TRACE") != nullptr;
  if (armed) passes();
  return armed;
}

}  // namespace

bool crash_points_armed = arm();

namespace {
std::function<void(std::string_view)> watch;
}  // namespace

// The trace is written under the lock, against the rule: its lines must be in the order of the passes.
void pass_crash_point(const char* name) {
  if (watch) watch(name);
  passes().lock()->pass(name);
}

CrashPointWatch::CrashPointWatch(std::function<void(std::string_view)> pass)
    : armed_before_(std::exchange(crash_points_armed, true)) {
  CHECK(!watch, "crash points are watched already");
  watch = std::move(pass);
}

CrashPointWatch::~CrashPointWatch() {
  watch = nullptr;
  crash_points_armed = armed_before_;
}

}  // namespace cairn::base
