// SPDX-License-Identifier: Apache-2.0
#include "libsolver/remote_cache/settle.h"

#include <algorithm>
#include <random>

#include "libbase/pause.h"

namespace cairn::solver {
namespace {

constexpr std::chrono::milliseconds settle_time{2'000}, jitter_max{500};
constexpr std::chrono::milliseconds stand_back_step{20};

std::chrono::milliseconds random_up_to(std::chrono::milliseconds length) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::chrono::milliseconds(std::uniform_int_distribution<int>(0, static_cast<int>(length.count()))(random));
}

base::Status pause(const CacheAddress& address, std::chrono::milliseconds length, const std::stop_token& stop) {
  if (base::pause_for(length, stop)) return {};
  return base::fail(base::ErrorCode::cancelled, "{}: cancelled", address.text());
}

}  // namespace

base::Status settle(const CacheAddress& address, const std::stop_token& stop) {
  return pause(address, settle_time + random_up_to(jitter_max), stop);
}

base::Status stand_back(const CacheAddress& address, int round, const std::stop_token& stop) {
  return pause(address, random_up_to(std::min(stand_back_step * (round + 1), jitter_max)), stop);
}

}  // namespace cairn::solver
