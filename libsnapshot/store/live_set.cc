// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/store/live_set.h"

#include <algorithm>

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;

}  // namespace

LiveSnapshot* LiveSet::find_mutable(SnapshotId id) {
  const auto found = live_.find(id);
  return found == live_.end() ? nullptr : &found->second;
}

std::optional<LiveSnapshot> LiveSet::find(SnapshotId id) const {
  const auto found = live_.find(id);
  if (found == live_.end()) return std::nullopt;
  return found->second;
}

base::Result<ChainPtr> LiveSet::pin_parent(SnapshotId parent) {
  const LiveSnapshot* snapshot = find_mutable(parent);
  if (snapshot != nullptr && snapshot->phase != Phase::frozen) {
    return fail(ErrorCode::invalid_argument, "build on snapshot {}: it is {}", parent,
                snapshot->phase == Phase::view ? "a view" : "still active");
  }
  ++children_[parent];
  return snapshot == nullptr ? nullptr : snapshot->chain;
}

void LiveSet::unpin_parent(SnapshotId parent) {
  const auto found = children_.find(parent);
  CHECK(found != children_.end(), "snapshot {} has no children to lose", parent);
  if (--found->second == 0) children_.erase(found);
}

base::Status LiveSet::pin_stack(std::span<const SnapshotId> stacked_on) {
  for (std::size_t done = 0; done < stacked_on.size(); ++done) {
    const auto pinned = pin_parent(stacked_on[done]);
    if (pinned) continue;
    unpin_stack(stacked_on.first(done));
    return tl::unexpected(pinned.error());
  }
  return {};
}

void LiveSet::unpin_stack(std::span<const SnapshotId> stacked_on) {
  for (const auto id : stacked_on) unpin_parent(id);
}

void LiveSet::add(SnapshotId id, LiveSnapshot snapshot) { live_.emplace(id, std::move(snapshot)); }

void LiveSet::remove(SnapshotId id) {
  const auto found = live_.find(id);
  CHECK(found != live_.end(), "snapshot {} is not live", id);
  if (found->second.parent) unpin_parent(found->second.parent);
  unpin_stack(found->second.stacked_on);
  live_.erase(found);
}

bool LiveSet::doom(SnapshotId id, std::size_t count_max) {
  if (doomed_.size() >= count_max) return false;
  forget_flat(id);
  remove(id);
  doomed_.insert(id);
  return true;
}

std::vector<SnapshotId> LiveSet::doomed() const { return {doomed_.begin(), doomed_.end()}; }

std::vector<SnapshotId> LiveSet::unpublished() const {
  std::vector<SnapshotId> ids = doomed();
  for (const auto& [id, snapshot] : live_) {
    if (visible(snapshot.phase) && snapshot.phase != Phase::view) ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<std::pair<SnapshotId, LiveSnapshot>> LiveSet::everything_visible() const {
  std::vector<std::pair<SnapshotId, LiveSnapshot>> all;
  for (const auto& [id, snapshot] : live_) {
    if (visible(snapshot.phase)) all.emplace_back(id, snapshot);
  }
  std::sort(all.begin(), all.end(), [](const auto& left, const auto& right) { return left.first < right.first; });
  return all;
}

bool LiveSet::set_labels(SnapshotId id, const Labels& labels, base::WallTime updated) {
  LiveSnapshot* snapshot = find_mutable(id);
  if (snapshot == nullptr || !visible(snapshot->phase)) return false;
  snapshot->labels = labels;
  snapshot->updated = updated;
  return true;
}

base::Result<LiveSnapshot> LiveSet::begin_mount(SnapshotId id) {
  const LiveSnapshot* snapshot = find_mutable(id);
  if (snapshot == nullptr || !visible(snapshot->phase)) {
    return fail(ErrorCode::not_found, "mount snapshot {} for writing: there is no active one", id);
  }
  if (snapshot->phase != Phase::active) {
    return fail(ErrorCode::invalid_argument, "mount snapshot {} for writing: it is {}", id,
                snapshot->phase == Phase::view ? "a view" : "frozen");
  }
  if (snapshot->mounted->exchange(true)) {
    return fail(ErrorCode::busy, "mount snapshot {} for writing: it is mounted already", id);
  }
  return *snapshot;
}

base::Status LiveSet::begin_freeze(SnapshotId id) {
  LiveSnapshot* snapshot = find_mutable(id);
  if (snapshot == nullptr || !visible(snapshot->phase)) {
    return fail(ErrorCode::not_found, "freeze snapshot {}: there is no active one", id);
  }
  if (snapshot->phase != Phase::active) {
    return fail(ErrorCode::invalid_argument, "freeze snapshot {}: it is not active", id);
  }
  if (snapshot->mounted->load()) {
    return fail(ErrorCode::busy, "freeze snapshot {}: it is still mounted for writing", id);
  }
  snapshot->phase = Phase::freezing;
  return {};
}

void LiveSet::end_freeze(SnapshotId id, const std::optional<Frozen>& frozen, base::WallTime now) {
  LiveSnapshot& snapshot = live_.at(id);
  snapshot.phase = frozen ? Phase::frozen : Phase::active;
  if (!frozen) return;
  snapshot.measure = frozen->measure;
  snapshot.synced = frozen->reached == Reached::disk;
  snapshot.linked.clear();
  for (const auto& [inode, usage] : snapshot.measure.linked_elsewhere) {
    const auto source = snapshot.noted.find(inode);
    if (source != snapshot.noted.end()) snapshot.linked.push_back({inode, source->second, usage});
  }
  snapshot.measure.linked_elsewhere.clear();
  snapshot.created = snapshot.updated = now;
}

base::Result<Phase> LiveSet::begin_abandon(SnapshotId id) {
  LiveSnapshot* snapshot = find_mutable(id);
  if (snapshot == nullptr || (snapshot->phase != Phase::active && snapshot->phase != Phase::frozen &&
                              snapshot->phase != Phase::view)) {
    return fail(ErrorCode::not_found, "abandon snapshot {}: there is no unpublished one", id);
  }
  if (has_children(id)) {
    return fail(ErrorCode::invalid_argument, "abandon snapshot {}: others are built on it", id);
  }
  if (snapshot->mounted->load()) {
    return fail(ErrorCode::busy, "abandon snapshot {}: it is still mounted for writing", id);
  }
  return std::exchange(snapshot->phase, Phase::abandoning);
}

base::Status LiveSet::note_links(SnapshotId id, std::span<const HardLink> links) {
  LiveSnapshot* snapshot = find_mutable(id);
  if (snapshot == nullptr || !visible(snapshot->phase)) {
    return fail(ErrorCode::not_found, "note links in snapshot {}: there is no active one", id);
  }
  if (snapshot->phase != Phase::active) {
    return fail(ErrorCode::invalid_argument, "note links in snapshot {}: it is not active", id);
  }
  for (const auto& link : links) snapshot->noted[link.inode] = link.source;
  return {};
}

std::optional<std::stop_token> LiveSet::begin_flatten(SnapshotId id, Haste haste) {
  const auto [place, inserted] = flattening_.try_emplace(id, Flattening{haste, {}});
  if (inserted) return place->second.stop.get_token();
  if (haste == Haste::caller_waits && place->second.haste == Haste::none) place->second.stop.request_stop();
  return std::nullopt;
}

void LiveSet::end_flatten(SnapshotId id, const std::optional<FlatCopy>& copy) {
  flattening_.erase(id);
  if (!copy) return;
  flats_[id] = *copy;
  if (LiveSnapshot* snapshot = find_mutable(id)) snapshot->chain = flat(id);
}

bool LiveSet::stop_flatten(SnapshotId id) {
  const auto found = flattening_.find(id);
  if (found == flattening_.end()) return false;
  found->second.stop.request_stop();
  return true;
}

std::optional<FlatCopy> LiveSet::find_flat(SnapshotId id) const {
  const auto found = flats_.find(id);
  if (found == flats_.end()) return std::nullopt;
  return found->second;
}

LiveSet::SyncPlan LiveSet::plan_sync(std::span<const base::lmdb::DataToken> tokens) const {
  SyncPlan plan;
  std::unordered_set<SnapshotId> trees;
  const auto add_flat = [&](SnapshotId id) {
    const auto copy = flats_.find(id);
    if (copy == flats_.end() || copy->second.synced) return;
    plan.flats.push_back(id);
    trees.insert(id);
  };
  for (const auto token : tokens) {
    const SnapshotId id(token);
    add_flat(id);  // of a committed one, too: it is about to be named
    const auto snapshot = live_.find(id);
    if (snapshot == live_.end() || snapshot->second.phase != Phase::frozen) continue;
    add_flat(snapshot->second.parent);
    if (snapshot->second.synced) continue;
    plan.snapshots.push_back(id);
    trees.insert(id);
  }
  plan.trees.assign(trees.begin(), trees.end());
  std::sort(plan.trees.begin(), plan.trees.end());
  plan.others_active = std::any_of(live_.begin(), live_.end(), [](const auto& entry) {
    return entry.second.phase != Phase::frozen && entry.second.phase != Phase::abandoning &&
           entry.second.phase != Phase::view;
  });
  return plan;
}

void LiveSet::synced(const SyncPlan& plan) {
  for (const auto id : plan.snapshots) {
    if (LiveSnapshot* snapshot = find_mutable(id)) snapshot->synced = true;
  }
  for (const auto id : plan.flats) {
    if (const auto copy = flats_.find(id); copy != flats_.end()) copy->second.synced = true;
  }
}

}  // namespace cairn::snapshot
