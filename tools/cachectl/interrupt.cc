// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "tools/cachectl/command.h"

namespace cairn::cachectl {
namespace {

sigset_t watched() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR2}) sigaddset(&set, signal);
  return set;
}

std::jthread watcher;

}  // namespace

Interrupt::Interrupt() {
  ::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  watcher = std::jthread([source = source_](std::stop_token end) mutable {
    const sigset_t signals = watched();
    while (true) {
      int signal = 0;
      if (sigwait(&signals, &signal) != 0 || end.stop_requested()) return;
      if (source.stop_requested()) _exit(static_cast<int>(ExitCode::interrupted));
      source.request_stop();
    }
  });
}

Interrupt::~Interrupt() {
  watcher.request_stop();
  pthread_kill(watcher.native_handle(), SIGUSR2);  // wakes it from sigwait
  watcher.join();
}

}  // namespace cairn::cachectl
