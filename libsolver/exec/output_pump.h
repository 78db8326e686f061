// SPDX-License-Identifier: Apache-2.0
// Hands a running child's output over and waits for its end, killing it when asked to stop.
#pragma once

#include <functional>
#include <stop_token>
#include <string_view>

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libsolver/exec/spawner.h"
#include "libsolver/executor.h"

namespace cairn::solver {

struct Pipe {
  base::Fd read;  // non-blocking
  base::Fd write;
};
base::Result<Pipe> make_pipe();

// A descriptor that can be read once a stop is requested; for poll.
class StopEvent {
 public:
  explicit StopEvent(std::stop_token stop);
  const base::Fd& fd() const { return fd_; }  // none if there are no descriptors left

 private:
  struct Signal {
    int fd;
    void operator()() const;
  };
  base::Fd fd_;
  std::stop_callback<Signal> on_stop_;
};

// Reads both to the end of the child (all writers are dead then, so what is in the pipes is all there is) and returns
// its exit code. The child is reaped in every case, also if this fails. Errors: cancelled, io.
base::Result<int> pump_output(const Child& child, base::Fd out, base::Fd err,
                              const std::function<void(Stream, std::string_view)>& output, std::stop_token stop);

}  // namespace cairn::solver
