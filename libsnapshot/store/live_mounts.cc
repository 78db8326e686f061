// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/store/live_mounts.h"

#include <utility>

#include "libsnapshot/store/housekeeper.h"

namespace cairn::snapshot {

bool LiveMounts::State::is_mounted(SnapshotId layer) {
  if (!layers_known) {
    layers.clear();
    for (const auto& [first, chain] : chains) {
      for (const Chain* next = chain.get(); next != nullptr; next = next->below.get()) layers.insert(next->id);
    }
    layers_known = true;
  }
  return layers.contains(layer);
}

void LiveMounts::State::remove(const Chain* chain) {
  if (--counts.at(chain) > 0) return;
  counts.erase(chain);
  const auto gone = chains.extract(chain);
  layers_known = false;
  forget_old();
  if (quiet.count() > 0) unmounted.emplace_back(Clock::now(), gone.mapped());
}

void LiveMounts::State::forget_old() {
  const auto since = Clock::now() - quiet;
  while (!unmounted.empty() && unmounted.front().first < since) unmounted.pop_front();
}

std::shared_ptr<void> LiveMounts::add(ChainPtr chain) {
  const Chain* key = chain.get();
  auto state = state_->lock();
  if (++state->counts[key] == 1) {
    state->chains.emplace(key, std::move(chain));
    state->layers_known = false;
  }
  linked_.wait(state.lock(), [&] { return state->linking == 0; });
  return std::shared_ptr<void>(nullptr, [shared = state_, key](void*) { shared->lock()->remove(key); });
}

InUse LiveMounts::in_use(const Chain& chain) {
  const InHaste hurry;  // mounts wait for the lock
  auto state = state_->lock();
  state->forget_old();
  for (const Chain* layer = &chain; layer != nullptr; layer = layer->below.get()) {
    if (state->is_mounted(layer->id)) return InUse::now;
  }
  std::unordered_set<SnapshotId> layers;
  for (const Chain* layer = &chain; layer != nullptr; layer = layer->below.get()) layers.insert(layer->id);
  for (const auto& [when, used] : state->unmounted) {
    for (const Chain* layer = used.get(); layer != nullptr; layer = layer->below.get()) {
      if (layers.contains(layer->id)) return InUse::lately;
    }
  }
  return InUse::no;
}

bool LiveMounts::begin_link(SnapshotId layer, std::uint64_t links) {
  auto state = state_->lock();
  if (!state->chains.empty() && (links > 1 || state->is_mounted(layer))) return false;
  ++state->linking;
  return true;
}

void LiveMounts::end_link() {
  if (--state_->lock()->linking == 0) linked_.notify_all();
}

}  // namespace cairn::snapshot
