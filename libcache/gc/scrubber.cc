// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/scrubber.h"

#include <algorithm>

#include "libbase/log/log.h"
#include "libcache/account/scrub_totals.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using std::chrono::nanoseconds;

namespace {

constexpr nanoseconds after_an_error = std::chrono::hours(1);
constexpr nanoseconds rest_max = std::chrono::hours(1);  // the clock of the machine may be put right meanwhile

}  // namespace

void Scrubber::start(const BackgroundScrub& options, Scrub scrub) {
  if (options.bytes_per_second == 0) return;
  options_ = options;
  scrub_ = std::move(scrub);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void Scrubber::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Scrubber::settle() {
  auto state = state_.lock();
  settled_.wait(state.lock(), [&] { return !thread_.joinable() || state->resting; });
}

void Scrubber::run(const std::stop_token& stop) {
  wait(options_.delay, stop);
  while (!stop.stop_requested()) {
    auto time = rest();
    if (time && *time <= nanoseconds::zero()) {
      const auto report = scrub_({.bytes_per_second = options_.bytes_per_second}, stop);
      if (!report) time = tl::unexpected(report.error());
    }
    if (!time) base::log_warning("scrub in the background: {}", time.error().message);
    const nanoseconds pause = time.value_or(after_an_error);
    if (pause <= nanoseconds::zero()) continue;
    state_.lock()->resting = true;
    settled_.notify_all();
    wait(std::min(pause, rest_max), stop);
    state_.lock()->resting = false;
  }
  state_.lock()->resting = true;
  settled_.notify_all();
}

Result<nanoseconds> Scrubber::rest() {
  const ScrubTotals totals = TRY(store_.scrub_tally.totals(store_.env));
  if (!totals.last_complete) return nanoseconds::zero();
  return *totals.last_complete + options_.every - store_.clock.now();
}

void Scrubber::wait(nanoseconds time, const std::stop_token& stop) {
  auto state = state_.lock();
  woken_.wait_for(state.lock(), stop, time, [] { return false; });
}

}  // namespace cairn::cache
