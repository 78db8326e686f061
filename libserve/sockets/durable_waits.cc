// SPDX-License-Identifier: Apache-2.0
#include "libserve/sockets/durable_waits.h"

#include <algorithm>

namespace cairn::serve {

DurableWaits::DurableWaits(base::lmdb::GroupWriter& writer)
    : writer_(writer), thread_([this](std::stop_token stop) { run(std::move(stop)); }) {}

DurableWaits::~DurableWaits() {
  thread_.request_stop();
  thread_.join();
}

void DurableWaits::add(base::lmdb::SequenceNumber number, Then then) {
  waits_.lock()->push_back({number, std::move(then)});
  added_.notify_one();
}

void DurableWaits::run(std::stop_token stop) {
  for (;;) {
    std::vector<Wait> taken;
    {
      auto waits = waits_.lock();
      added_.wait(waits.lock(), stop, [&] { return !waits->empty(); });
      taken.swap(*waits);
    }
    if (taken.empty()) return;  // stopped
    // By number: the first wait makes the writer commit, and most others are over with it.
    std::sort(taken.begin(), taken.end(), [](const Wait& a, const Wait& b) { return a.number < b.number; });
    (void)writer_.wait_durable(taken.back().number);
    for (Wait& wait : taken) wait.then(writer_.wait_durable(wait.number));
  }
}

}  // namespace cairn::serve
