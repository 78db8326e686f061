// SPDX-License-Identifier: Apache-2.0
// One poll loop over two pipes, the child and the wish to stop.
#include "libsolver/exec/output_pump.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;

enum class PipeEnd { open, closed };

// Reads what is there now.
PipeEnd drain(const Fd& pipe, Stream stream, std::vector<char>& buffer,
              const std::function<void(Stream, std::string_view)>& output) {
  while (true) {
    const ::ssize_t size = ::read(pipe.get(), buffer.data(), buffer.size());
    if (size > 0) {
      output(stream, std::string_view(buffer.data(), static_cast<std::size_t>(size)));
      if (static_cast<std::size_t>(size) < buffer.size()) return PipeEnd::open;
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return PipeEnd::open;
    return PipeEnd::closed;
  }
}

}  // namespace

base::Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::fail_errno(errno, "make a pipe for output");
  Pipe pipe{Fd(ends[0]), Fd(ends[1])};
  if (::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return base::fail_errno(errno, "set up a pipe for output");
  return pipe;
}

StopEvent::StopEvent(std::stop_token stop)
    : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), on_stop_(std::move(stop), Signal{fd_.get()}) {}

void StopEvent::Signal::operator()() const { (void)::eventfd_write(fd, 1); }

base::Result<int> pump_output(const Child& child, Fd out, Fd err,
                              const std::function<void(Stream, std::string_view)>& output, std::stop_token stop) {
  const StopEvent stop_event(std::move(stop));
  if (!stop_event.fd()) {
    const int error = errno;
    kill_child(child);
    (void)wait_child(child);
    return base::fail_errno(error, "make an event for cancellation");
  }
  std::vector<char> buffer(64 * 1024);
  std::array<struct ::pollfd, 4> polled{
      {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}, {child.pidfd.get(), POLLIN, 0}, {stop_event.fd().get(), POLLIN, 0}}};
  bool stopped = false;
  while (polled[2].revents == 0) {
    if (::poll(polled.data(), polled.size(), -1) < 0) {
      CHECK(errno == EINTR, "poll: {}", base::errno_text(errno));
      continue;
    }
    if (polled[3].revents != 0) {
      stopped = true;
      kill_child(child);
      polled[3].fd = -1;  // poll skips it
    }
    if (polled[0].revents != 0 && drain(out, Stream::out, buffer, output) == PipeEnd::closed) polled[0].fd = -1;
    if (polled[1].revents != 0 && drain(err, Stream::err, buffer, output) == PipeEnd::closed) polled[1].fd = -1;
  }
  const int code = TRY(wait_child(child));
  (void)drain(out, Stream::out, buffer, output);
  (void)drain(err, Stream::err, buffer, output);
  if (stopped) return base::fail(ErrorCode::cancelled, "the step was stopped");
  return code;
}

}  // namespace cairn::solver
