// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/store/housekeeper.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "libbase/log/log.h"

namespace cairn::snapshot {
namespace {

constexpr std::size_t squash_max = 1024;

// ioprio_set(2) has no wrapper in libc.
constexpr int ioprio_who_process = 1;
constexpr int ioprio_idle = 3 << 13;

thread_local bool gives_way = false;

// Best effort: without it the work is done all the same.
void give_way() {
  const sched_param none{};
  gives_way = true;
  if (::sched_setscheduler(0, SCHED_IDLE, &none) != 0) base::log_debug("no idle scheduling for work in the background");
  if (::syscall(SYS_ioprio_set, ioprio_who_process, 0, ioprio_idle) != 0) {
    base::log_debug("no idle I/O for work in the background");
  }
}

}  // namespace

InHaste::InHaste() {
  const sched_param none{};
  if (gives_way) (void)::sched_setscheduler(0, SCHED_OTHER, &none);
}

InHaste::~InHaste() {
  const sched_param none{};
  if (gives_way) (void)::sched_setscheduler(0, SCHED_IDLE, &none);
}

void Housekeeper::start(Jobs jobs) {
  CHECK(!std::exchange(state_.lock()->started, true), "the work in the background was started twice");
  thread_ = std::jthread([this, jobs = std::move(jobs)](std::stop_token stop) { run(jobs, std::move(stop)); });
}

void Housekeeper::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  auto state = state_.lock();
  state->erase = false;
  state->squash.clear();
  state->queued.clear();
  idle_.notify_all();
}

void Housekeeper::erase_soon() {
  auto state = state_.lock();
  if (!state->started) return;
  state->erase = true;
  work_.notify_one();
}

void Housekeeper::squash_soon(SnapshotId id) {
  auto state = state_.lock();
  if (!state->started || state->squash.size() >= squash_max || !state->queued.insert(id).second) return;
  state->squash.push_back(id);
  work_.notify_one();
}

void Housekeeper::settle() {
  auto state = state_.lock();
  idle_.wait(state.lock(), [&] { return state->idle(); });
}

void Housekeeper::run(const Jobs& jobs, std::stop_token stop) {
  give_way();
  while (true) {
    bool erase = false;
    SnapshotId id;
    {
      auto state = state_.lock();
      state->running = false;
      if (state->idle()) idle_.notify_all();
      work_.wait(state.lock(), stop, [&] { return state->erase || !state->squash.empty(); });
      if (stop.stop_requested()) return;
      state->running = true;
      erase = std::exchange(state->erase, false);
      if (!erase) {  // space first, speed after
        id = state->squash.front();
        state->squash.pop_front();
        state->queued.erase(id);
      }
    }
    if (erase) {
      jobs.erase(stop);
    } else {
      jobs.squash(id, stop);
    }
  }
}

}  // namespace cairn::snapshot
