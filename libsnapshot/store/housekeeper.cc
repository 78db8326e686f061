// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/store/housekeeper.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "libbase/log/log.h"

namespace cairn::snapshot {
namespace {

constexpr std::size_t squashes_max = 1024;
// Between tries of one squash.
constexpr std::chrono::seconds delay_min{1}, delay_max{64};

// ioprio_set(2) has no wrapper in libc.
constexpr int ioprio_who_process = 1;
constexpr int ioprio_idle = 3 << 13;

thread_local Housekeeper* works_for = nullptr;

// Of a thread (0: this one). Best effort: without it the work is done all the same.
bool set_policy(pid_t thread, int policy) {
  const sched_param none{};
  return ::sched_setscheduler(thread, policy, &none) == 0;
}

void give_way() {
  if (!set_policy(0, SCHED_IDLE)) base::log_debug("no idle scheduling for work in the background");
  if (::syscall(SYS_ioprio_set, ioprio_who_process, 0, ioprio_idle) != 0) {
    base::log_debug("no idle I/O for work in the background");
  }
}

}  // namespace

InHaste::InHaste() : housekeeper_(works_for) {
  if (housekeeper_ != nullptr) housekeeper_->hurry(1);
}

InHaste::~InHaste() {
  if (housekeeper_ != nullptr) housekeeper_->hurry(-1);
}

bool Housekeeper::State::idle() const {
  return !running && !erase && !look_at &&
         std::all_of(squashes.begin(), squashes.end(), [](const Squash& squash) { return squash.mounted; });
}

std::optional<Housekeeper::Clock::time_point> Housekeeper::State::next_time() const {
  auto time = look_at;
  for (const auto& squash : squashes) {
    if (!time || squash.not_before < *time) time = squash.not_before;
  }
  return time;
}

void Housekeeper::start(Jobs jobs, Times times) {
  auto state = state_.lock();
  CHECK(!std::exchange(state->started, true), "the work in the background was started twice");
  times_ = times;
  state->look_at = Clock::now() + times.quiet;
  thread_ = std::jthread([this, jobs = std::move(jobs)](std::stop_token stop) { run(jobs, std::move(stop)); });
}

bool Housekeeper::is_running() {
  auto state = state_.lock();
  return state->started && !state->stopped;
}

void Housekeeper::stop() {
  state_.lock()->stopped = true;
  if (!thread_.joinable()) return;
  const Hurry hurry(*this);
  thread_.request_stop();
  thread_.join();
  auto state = state_.lock();
  state->erase = false;
  state->running = false;
  state->thread = 0;
  state->look_at.reset();
  state->squashes.clear();
  state->queued.clear();
  idle_.notify_all();
}

void Housekeeper::erase_soon() {
  auto state = state_.lock();
  if (!state->started || state->stopped) return;
  state->erase = true;
  work_.notify_one();
}

void Housekeeper::squash_soon(SnapshotId id) {
  auto state = state_.lock();
  if (!state->started || state->stopped || state->queued.contains(id)) return;
  const auto now = Clock::now();
  if (state->squashes.size() < squashes_max) {
    state->queued.insert(id);
    state->squashes.push_back({.id = id, .since = now, .not_before = now, .delay = times_.quiet});
  } else if (!state->look_at) {
    state->look_at = now + delay_max;
  }
  work_.notify_one();
}

void Housekeeper::settle() {
  const Hurry hurry(*this);
  auto state = state_.lock();
  const auto now = Clock::now();
  if (state->look_at) state->look_at = now;
  for (auto& squash : state->squashes) {
    squash.not_before = now;
    squash.mounted = false;  // not known any more
  }
  work_.notify_one();
  idle_.wait(state.lock(), [&] { return !state->started || state->stopped || state->idle(); });
}

void Housekeeper::hurry(int change) {
  auto state = state_.lock();
  const bool hurried = state->hurries > 0;
  state->hurries += change;
  const bool hurries = state->hurries > 0;
  if (state->thread != 0 && hurries != hurried) set_policy(state->thread, hurries ? SCHED_OTHER : SCHED_IDLE);
}

Housekeeper::Job Housekeeper::next(const std::stop_token& stop, Squash& squash) {
  auto state = state_.lock();
  state->running = false;
  while (!stop.stop_requested()) {
    const auto now = Clock::now();
    state->running = true;
    if (std::exchange(state->erase, false)) return Job::erase;  // space first, speed after
    if (state->look_at && *state->look_at <= now) {
      state->look_at.reset();
      return Job::look;
    }
    const auto ready = std::find_if(state->squashes.begin(), state->squashes.end(),
                                    [&](const Squash& waiting) { return waiting.not_before <= now; });
    if (ready != state->squashes.end()) {
      squash = *ready;
      state->squashes.erase(ready);
      state->queued.erase(squash.id);
      return Job::squash;
    }
    state->running = false;
    if (state->idle()) idle_.notify_all();
    const auto something_came = [&, next = state->next_time()] { return state->erase || state->next_time() != next; };
    if (const auto until = state->next_time()) {
      work_.wait_until(state.lock(), stop, *until, something_came);
    } else {
      work_.wait(state.lock(), stop, something_came);
    }
  }
  return Job::none;
}

void Housekeeper::put_off(Squash squash, Squashed outcome) {
  squash.mounted = outcome == Squashed::mounted;
  if (squash.mounted) squash.delay = std::clamp<Clock::duration>(squash.delay * 2, delay_min, delay_max);
  squash.not_before = Clock::now() + (squash.mounted ? squash.delay : times_.quiet);
  auto state = state_.lock();
  if (state->queued.insert(squash.id).second) state->squashes.push_back(squash);
}

void Housekeeper::run(const Jobs& jobs, std::stop_token stop) {
  works_for = this;
  give_way();
  {
    auto state = state_.lock();
    state->thread = ::gettid();
    if (state->hurries > 0) set_policy(0, SCHED_OTHER);  // somebody waits already
  }
  Squash squash;
  while (true) {
    switch (next(stop, squash)) {
      case Job::none: state_.lock()->thread = 0; return;
      case Job::erase: jobs.erase(stop); break;
      case Job::look:
        for (const auto id : jobs.find_deep(squashes_max)) squash_soon(id);
        break;
      case Job::squash: {
        const auto patience = Clock::now() - squash.since < times_.patience ? Patience::left : Patience::gone;
        const auto outcome = jobs.squash(squash.id, patience, stop);
        if (outcome != Squashed::done) put_off(squash, outcome);
      }
    }
  }
}

}  // namespace cairn::snapshot
