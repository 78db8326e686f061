// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/readers.h"

namespace cairn::cache {

std::vector<std::function<void()>> Readers::State::take_due() {
  std::vector<std::function<void()>> due;
  while (!waiting.empty() && (active.empty() || waiting.front().first <= *active.begin())) {
    due.push_back(std::move(waiting.front().second));
    waiting.pop_front();
  }
  return due;
}

std::uint64_t Readers::enter() {
  auto state = state_.lock();
  const std::uint64_t age = state->next++;
  state->active.insert(age);
  return age;
}

void Readers::leave(std::uint64_t age) {
  std::vector<std::function<void()>> due;
  {
    auto state = state_.lock();
    state->active.erase(age);
    due = state->take_due();
  }
  for (const auto& f : due) f();
}

void Readers::after_current(std::function<void()> f) {
  std::vector<std::function<void()>> due;
  {
    auto state = state_.lock();
    state->waiting.emplace_back(state->next, std::move(f));
    due = state->take_due();
  }
  for (const auto& g : due) g();
}

}  // namespace cairn::cache
