// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/holds.h"

#include <utility>

#include "libbase/log/log.h"
#include "libcache/records/store.h"

namespace cairn::cache {

Hold::~Hold() { store.holds.release(info); }

Holds::Entry* Holds::State::find(RecordId id) {
  const auto found = entries.find(id);
  return found == entries.end() ? nullptr : &found->second;
}

std::optional<Holds::Entry> Holds::State::release(RecordId id) {
  Entry* entry = find(id);
  CHECK(entry && entry->holds > 0, "record {} released more often than held", id);
  if (--entry->holds > 0 || entry->dying) return std::nullopt;
  CHECK(entry->standing != Standing::queued, "record {} is queued and nobody holds it", id);
  std::optional<Entry> gone(std::move(*entry));
  entries.erase(id);
  return gone;
}

ImmutableRef Holds::add_unpublished(RecordInfo info, std::vector<ImmutableRef> parents) {
  const RecordId id = info.id;
  auto hold = std::make_shared<const Hold>(store_, std::move(info));
  auto state = state_.lock();
  Entry& entry = state->entries[id];
  CHECK(entry.holds == 0, "record {} made twice", id);
  entry.holds = 1;
  entry.standing = Standing::unpublished;
  entry.hold = hold;
  entry.parents = std::move(parents);
  return ImmutableRef(std::move(hold));
}

Holds::Begun Holds::begin(RecordId id) {
  auto state = state_.lock();
  Entry& entry = state->entries[id];
  if (entry.dying || entry.standing == Standing::unpublished || entry.standing == Standing::failed)
    return {Begin::refused, {}};
  if (auto hold = entry.hold.lock()) return {Begin::held, ImmutableRef(std::move(hold))};
  ++entry.holds;
  return {Begin::claimed, {}};
}

ImmutableRef Holds::finish(RecordInfo info) {
  const RecordId id = info.id;
  auto hold = std::make_shared<const Hold>(store_, std::move(info));  // takes over the claim
  auto state = state_.lock();
  state->find(id)->hold = hold;
  return ImmutableRef(std::move(hold));
}

void Holds::give_up(RecordId id) {
  std::optional<Entry> gone;
  auto state = state_.lock();
  gone = state->release(id);
}

void Holds::release(const RecordInfo& info) {
  std::optional<Entry> gone;
  {
    auto state = state_.lock();
    gone = state->release(info.id);
  }
  if (!gone) return;
  store_.pending.forget_digests(info.id);
  store_.pages.forget(info.id);
  const snapshot::SnapshotId unnamed = gone->unnamed_tree || gone->standing == Standing::durable ? gone->unnamed_tree : info.snapshot;
  if (!unnamed) return;
  // Nobody can reach its tree any more, and no row ever named it (I6).
  const base::Status abandoned = store_.snapshots.abandon(unnamed);
  if (!abandoned) base::log_warning("abandon unpublished record {}: {}", info.id, abandoned.error().message);
}

bool Holds::is_held(RecordId id) {
  auto state = state_.lock();
  const Entry* entry = state->find(id);
  return entry && entry->holds > 0;
}

bool Holds::is_kept(RecordId id) { return is_held(id) || promises_.holds(id.value()); }

std::vector<ImmutableRef> Holds::parents_kept_for(RecordId id) {
  auto state = state_.lock();
  const Entry* entry = state->find(id);
  return entry ? entry->parents : std::vector<ImmutableRef>();
}

bool Holds::try_take_over(RecordId id) {
  auto state = state_.lock();
  Entry* entry = state->find(id);
  if (!entry || entry->dying || entry->standing != Standing::durable) return false;
  const auto hold = entry->hold.lock();
  // The caller's ref, and the one that has just been made here.
  if (!hold || entry->holds != 1 || hold.use_count() != 2) return false;
  entry->dying = true;
  return true;
}

void Holds::end_take_over(RecordId id) {
  auto state = state_.lock();
  Entry* entry = state->find(id);
  CHECK(entry && entry->dying && entry->holds > 0, "record {} was not taken over", id);
  entry->dying = false;
}

bool Holds::try_mark_dying(RecordId id) {
  auto state = state_.lock();
  const Entry* known = state->find(id);
  if (known && known->holds > 0) return false;
  // Under the lock: whoever promises it holds it, and lets go of it under this lock after he has.
  if (promises_.holds(id.value()) && !(known && known->dying)) return false;
  state->entries[id].dying = true;
  return true;
}

void Holds::unmark_dying(std::span<const RecordId> ids) {
  auto state = state_.lock();
  for (const RecordId id : ids) state->entries.erase(id);
}

void Holds::set_queued(RecordId id, base::lmdb::SequenceNumber sequence) {
  auto state = state_.lock();
  Entry* entry = state->find(id);
  if (!entry || entry->standing == Standing::durable) return;
  if (entry->standing == Standing::unpublished) entry->standing = Standing::queued;
  entry->sequence = sequence;
}

void Holds::set_outcome(RecordId id, Standing standing) {
  std::vector<ImmutableRef> parents;  // destroyed after the lock
  auto state = state_.lock();
  Entry* entry = state->find(id);
  CHECK(entry, "record {} has an outcome and nobody holds it", id);
  entry->standing = standing;
  if (standing == Standing::durable) {
    entry->sequence = 0;
    parents = std::exchange(entry->parents, {});
  }
}

void Holds::set_tree(RecordId id, snapshot::SnapshotId tree) {
  auto state = state_.lock();
  Entry* entry = state->find(id);
  const auto hold = entry ? entry->hold.lock() : nullptr;
  CHECK(hold, "record {} gets a tree and nobody holds it", id);
  entry->unnamed_tree = tree;
  hold->snapshot = tree.value();
}

void Holds::set_tree_outcome(RecordId id, Standing standing) {
  auto state = state_.lock();
  Entry* entry = state->find(id);
  CHECK(entry, "record {} got a tree and nobody holds it", id);
  if (standing == Standing::durable) entry->unnamed_tree = {};
}

std::optional<snapshot::SnapshotId> Holds::find_tree(RecordId id) {
  std::shared_ptr<const Hold> hold;  // ends after the lock
  auto state = state_.lock();
  if (const Entry* entry = state->find(id)) hold = entry->hold.lock();
  if (!hold || hold->snapshot.load() == 0) return std::nullopt;
  return snapshot::SnapshotId(hold->snapshot.load());
}

Standing Holds::standing_of(RecordId id) {
  auto state = state_.lock();
  const Entry* entry = state->find(id);
  return entry ? entry->standing : Standing::durable;
}

std::optional<RecordInfo> Holds::find_info(RecordId id) {
  std::shared_ptr<const Hold> hold;  // ends after the lock
  auto state = state_.lock();
  if (const Entry* entry = state->find(id)) hold = entry->hold.lock();
  if (!hold) return std::nullopt;
  return hold->info;
}

base::lmdb::SequenceNumber Holds::sequence_of(RecordId id) {
  auto state = state_.lock();
  const Entry* entry = state->find(id);
  return entry ? entry->sequence : 0;
}

std::size_t Holds::held() {
  auto state = state_.lock();
  std::size_t held = 0;
  for (const auto& [id, entry] : state->entries) held += entry.holds > 0 ? 1 : 0;
  return held;
}

}  // namespace cairn::cache
