// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/uploads.h"

#include <algorithm>
#include <vector>

namespace cairn::serve {

std::optional<Upload> Uploads::take(const std::string& name) {
  auto state = state_.lock();
  const auto found = state->kept.find(name);
  if (found == state->kept.end()) return std::nullopt;
  Upload upload = std::move(found->second.upload);
  state->kept.erase(found);
  return upload;
}

void Uploads::keep(const std::string& name, Upload upload, Clock::time_point now) {
  std::vector<Upload> dropped;  // outside the lock: a receiver takes its file away
  auto state = state_.lock();
  Kept& kept = state->kept[name];
  dropped.push_back(std::exchange(kept.upload, std::move(upload)));
  kept.since = now;
  if (state->kept.size() <= kept_max) return;
  const auto older = [](const auto& a, const auto& b) { return a.second.since < b.second.since; };
  const auto oldest = std::min_element(state->kept.begin(), state->kept.end(), older);
  dropped.push_back(std::move(oldest->second.upload));
  state->kept.erase(oldest);
}

std::optional<std::uint64_t> Uploads::received(const std::string& name) {
  auto state = state_.lock();
  if (const auto found = state->kept.find(name); found != state->kept.end()) return found->second.upload.received;
  if (const auto found = state->with_calls.find(name); found != state->with_calls.end()) return found->second;
  return std::nullopt;
}

void Uploads::begun(const std::string& name, std::uint64_t received) { state_.lock()->with_calls[name] = received; }
void Uploads::ended(const std::string& name) { state_.lock()->with_calls.erase(name); }

void Uploads::sweep(Clock::time_point now) {
  std::vector<Upload> dropped;
  auto state = state_.lock();
  for (auto at = state->kept.begin(); at != state->kept.end();) {
    if (now - at->second.since < kept_for) {
      ++at;
      continue;
    }
    dropped.push_back(std::move(at->second.upload));
    at = state->kept.erase(at);
  }
}

}  // namespace cairn::serve
