// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/image_check.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "tests/support/must.h"

namespace cairn::test {
namespace {

using Kind = Violation::Kind;

std::vector<Violation> mount_and_check(FileSystem kind, int image, const base::HostPath& where,
                                       const std::function<std::vector<Violation>(const base::HostPath&)>& check) {
  CHECK(::unshare(CLONE_NEWNS) == 0, "a mount namespace for a check: {}", ::strerror(errno));
  const LoopDevice device = must(LoopDevice::attach(image));
  auto mount = Mount::make(kind, device.path(), where);
  if (!mount) return {{Kind::unmountable, mount.error().message}};
  auto found = check(where);
  if (!mount->unmount()) found.push_back({Kind::unopenable, "the file system is still busy after the check"});
  return found;
}

// "<kind> <text>\n" for each, and "end\n".
void report(int pipe, const std::vector<Violation>& found) {
  std::string text;
  for (const Violation& violation : found) {
    std::string line = violation.text;
    std::replace(line.begin(), line.end(), '\n', ' ');
    text += fmt::format("{} {}\n", static_cast<std::uint32_t>(violation.kind), line);
  }
  (void)base::write_full(pipe, std::string_view(text + "end\n"));
}

std::vector<Violation> parse_report(const std::string& text, int status) {
  std::vector<Violation> found;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    at = end + 1;
    if (line == "end") return found;
    const std::size_t space = line.find(' ');
    found.push_back({static_cast<Kind>(std::stoul(line)), line.substr(space + 1)});
  }
  found.push_back({Kind::crashed, fmt::format("status {:#x}", status)});
  return found;
}

}  // namespace

std::string_view to_string(Violation::Kind kind) {
  switch (kind) {
    case Kind::unmountable: return "unmountable";
    case Kind::unopenable: return "unopenable";
    case Kind::bad_tree: return "bad tree";
    case Kind::lost: return "lost";
    case Kind::came_back: return "came back";
    case Kind::stray: return "stray";
    case Kind::crashed: return "crashed";
  }
  return "";
}

std::vector<Violation> check_image(FileSystem kind, int image, const base::HostPath& where,
                                   const std::function<std::vector<Violation>(const base::HostPath&)>& check) {
  std::array<int, 2> ends{};
  CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe: {}", ::strerror(errno));
  base::Fd from(ends[0]), to(ends[1]);
  const pid_t child = ::fork();
  CHECK(child >= 0, "fork: {}", ::strerror(errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(120);  // a check that hangs is a finding too
    report(to.get(), mount_and_check(kind, image, where, check));
    ::_exit(0);
  }
  to.reset();
  const auto text = base::read_all(from.get(), 1u << 26);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return parse_report(text ? *text : "", status);
}

}  // namespace cairn::test
