// SPDX-License-Identifier: Apache-2.0
#include "libbase/do_each.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "libbase/sync.h"

namespace cairn::base {

Status do_each(std::size_t count, std::size_t at_once, const std::function<Status(std::size_t at)>& work) {
  std::atomic<std::size_t> next{0};
  Guarded<std::optional<Error>> failed;
  const auto take_part = [&] {
    for (std::size_t at = next++; at < count; at = next++) {
      auto done = work(at);
      if (done) continue;
      next = count;
      auto error = failed.lock();
      if (!*error) *error = std::move(done).error();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < std::min(at_once, count); ++i) threads.emplace_back(take_part);
    take_part();
  }
  if (auto error = failed.lock(); *error) return tl::unexpected(**error);
  return {};
}

}  // namespace cairn::base
