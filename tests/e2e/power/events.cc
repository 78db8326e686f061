// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/events.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>

namespace cairn::test {
namespace {

struct EventHeader {
  Event::Kind kind;
  std::uint32_t state_size;
  std::uint64_t subject, position;
};


}  // namespace

std::vector<Event> read_events(int pipe) {
  const auto report = base::read_all(pipe, std::size_t{1} << 30);
  CHECK(report, "{}", report.error().message);
  const std::string& bytes = *report;
  std::vector<Event> events;
  for (std::size_t at = 0; at < bytes.size();) {
    EventHeader header;
    if (at + sizeof header > bytes.size()) break;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    at += sizeof header;
    if (at + header.state_size > bytes.size()) break;
    events.push_back({header.kind, header.subject, header.position, bytes.substr(at, header.state_size)});
    at += header.state_size;
  }
  return events;
}

void Reporter::say(Event::Kind kind, std::uint64_t subject, std::string_view state) {
  const EventHeader header{kind, static_cast<std::uint32_t>(state.size()), subject, log_ == nullptr ? 0 : log_->position()};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += state;
  const auto written = base::write_full(pipe_, std::string_view(bytes));
  CHECK(written, "report: {}", written.error().message);
}

std::vector<Event> run_in_child(const DiskLog& log, const std::function<void(Reporter&)>& work) {
  std::array<int, 2> ends{};
  CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe: {}", ::strerror(errno));
  base::Fd from(ends[0]), to(ends[1]);
  const pid_t child = ::fork();
  CHECK(child >= 0, "fork: {}", ::strerror(errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    from.reset();
    Reporter reporter(to.get(), log);
    work(reporter);
    ::_exit(0);
  }
  to.reset();
  auto events = read_events(from.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(status == 0, "the workload failed: status {:#x}", status);
  return events;
}

// The last that was said of a subject by the time of the cut decides. What is queued after n requests can have its effect
// only behind them, so it counts from n + 1 on; what is acknowledged after n requests holds from n on.
Expected expected_after(const std::vector<Event>& events, std::size_t cut_end) {
  Expected expected;
  std::map<std::uint64_t, Event::Kind> last;
  for (const Event& event : events) {
    if (event.kind == Event::Kind::intent) {
      expected.may_exist.emplace_back(event.subject, event.state);
    } else if (event.position < cut_end || (event.position == cut_end && event.kind != Event::Kind::retiring)) {
      last[event.subject] = event.kind;
    }
  }
  for (const auto& [subject, kind] : last) {
    if (kind == Event::Kind::committed) expected.must_exist.push_back(subject);
    if (kind == Event::Kind::retired) expected.must_be_gone.push_back(subject);
  }
  return expected;
}

}  // namespace cairn::test
