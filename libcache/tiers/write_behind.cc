// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/write_behind.h"

#include <algorithm>

#include "libbase/log/log.h"
#include "libcache/tiers/waiting.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {
constexpr std::size_t asked_at_once = 1'000;            // of has_blobs
constexpr std::chrono::seconds said_at_most_every{60};  // that something is not sent
constexpr std::chrono::milliseconds retry_time{200};    // doubled after each attempt

// Trying again changes nothing: it is not here any more, or is not for this tier.
bool is_final(ErrorCode code) {
  return code == ErrorCode::not_found || code == ErrorCode::invalid_argument || code == ErrorCode::cancelled;
}

std::size_t blobs_of(const Outgoing& what) { return what.entry.closure.size() + 1; }

}  // namespace

WriteBehind::WriteBehind(WatchedTiers& tiers, BlobStore& blobs, const base::Clock& clock, const TiersOptions& options)
    : tiers_(tiers), blobs_(blobs), clock_(clock), options_(options) {
  for (std::size_t i = 0; i < tiers_.size(); ++i)
    if (tiers_[i]->is_written()) lines_.push_back(std::make_unique<Line>(i));
  for (const auto& line : lines_)
    line->thread = std::jthread([this, &line = *line](const std::stop_token& stop) { work(line, stop); });
}

WriteBehind::~WriteBehind() {
  for (const auto& line : lines_) line->thread.request_stop();
  for (const auto& line : lines_) line->thread.join();
}

void WriteBehind::add(const std::shared_ptr<const Outgoing>& what, const std::vector<std::size_t>* only) {
  for (const auto& line : lines_) {
    if (only && std::find(only->begin(), only->end(), line->tier) == only->end()) continue;
    if (!tiers_[line->tier]->knows_door(what->entry.name.door)) continue;
    bool has_room = false;
    {
      auto state = line->state.lock();
      if (only && state->waiting.size() >= (options_.unsent_max + 1) / 2) continue;
      has_room =
          state->waiting.size() < options_.unsent_max && state->blobs + blobs_of(*what) <= options_.unsent_blobs_max;
      if (has_room) {
        state->waiting.push_back(what);
        state->blobs += blobs_of(*what);
      }
    }
    if (has_room)
      line->changed.notify_all();
    else
      drop(*line, "too many entries wait to be sent");
  }
}

void WriteBehind::drop(Line& line, std::string_view why) {
  tiers_[line.tier]->count_dropped();
  std::uint64_t unsaid = 0;
  {
    auto state = line.state.lock();
    ++state->dropped_unsaid;
    const auto now = clock_.steady_now();
    if (state->said != Time() && now - state->said < said_at_most_every) return;
    state->said = now;
    unsaid = std::exchange(state->dropped_unsaid, 0);
  }
  base::log_warning("tier {}: {} entries were not sent; the last one because {}", tiers_[line.tier]->name(), unsaid,
                    why);
}

std::shared_ptr<const Outgoing> WriteBehind::take(Line& line, std::optional<Time> until, const std::stop_token& stop) {
  auto state = line.state.lock();
  if (!until)
    line.changed.wait(state.lock(), stop, [&] { return !state->waiting.empty(); });
  else
    wait_until(line.changed, state.lock(), clock_, *until,
               [&] { return !state->waiting.empty() || state->draining > 0 || stop.stop_requested(); });
  if (stop.stop_requested() || state->waiting.empty()) return nullptr;
  auto what = std::move(state->waiting.front());
  state->waiting.pop_front();
  ++state->sending;
  return what;
}

void WriteBehind::done(Line& line, const Batch& batch) {
  {
    auto state = line.state.lock();
    for (const auto& what : batch) state->blobs -= blobs_of(*what);
    state->sending -= batch.size();
  }
  line.changed.notify_all();
}

void WriteBehind::work(Line& line, const std::stop_token& stop) {
  WatchedTier& tier = *tiers_[line.tier];
  Batch batch;  // that the tier has taken
  std::optional<Time> due;
  bool is_overdue = false;  // the tier could not send it, has it still, and gets no more until it can
  while (!stop.stop_requested()) {
    if (auto what = is_overdue ? nullptr : take(line, due, stop)) {
      const Status sent = try_often(line, stop, [&] { return send_once(line.tier, *what, stop); });
      if (!sent && !stop.stop_requested()) drop(line, sent.error().message);
      if (!sent || !tier.abilities().packs) {
        done(line, {std::move(what)});
        continue;
      }
      batch.push_back(std::move(what));
      if (!due) due = clock_.steady_now() + options_.batch_time;
      if (batch.size() < options_.batch_max && clock_.steady_now() < *due) continue;
    }
    if (batch.empty() || stop.stop_requested()) continue;
    const Status sent = try_often(line, stop, [&] { return tier.send_taken(stop); });
    if (stop.stop_requested()) continue;
    is_overdue = !sent && !is_final(sent.error().code);
    if (is_overdue) {
      base::log_warning("tier {}: {} entries that it puts together are not sent yet: {}", tier.name(), batch.size(),
                        sent.error().message);
      continue;
    }
    for (std::size_t i = 0; i < batch.size() && !sent; ++i) drop(line, sent.error().message);
    done(line, std::exchange(batch, {}));
    due.reset();
  }
}

Status WriteBehind::try_often(Line& line, const std::stop_token& stop, const std::function<Status()>& attempt) {
  WatchedTier& tier = *tiers_[line.tier];
  Status made;
  for (unsigned attempts = 0; attempts < options_.attempts_max; ++attempts) {
    {
      auto state = line.state.lock();
      const auto pause = attempts == 0 ? Time() : clock_.steady_now() + retry_time * (1u << (attempts - 1));
      wait_until(line.changed, state.lock(), clock_, std::max(pause, tier.writes_rest_until()),
                 [&] { return stop.stop_requested(); });
    }
    if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "it ends");
    made = attempt();
    if (made || is_final(made.error().code)) break;
  }
  return made;
}

bool WriteBehind::is_kept_by_others(const SizedBlob& blob) const {
  return std::any_of(lines_.begin(), lines_.end(), [&](const auto& line) { return tiers_[line->tier]->keeps(blob); });
}

Result<std::vector<SizedBlob>> WriteBehind::needed_of(const NewEntry& entry) {
  std::vector<SizedBlob> needed;
  for (const BlobDigest& digest : entry.closure) {
    const auto found = TRY(blobs_.find(digest));
    if (!found) return base::fail(ErrorCode::not_found, "blob {} is not here any more", digest);
    needed.push_back({digest, found->size});
  }
  return needed;
}

Status WriteBehind::send_blobs(WatchedTier& tier, std::span<const SizedBlob> blobs, const EntryName& entry,
                               const std::stop_token& stop) {
  for (std::size_t at = 0; at < blobs.size(); at += asked_at_once) {
    const auto some = blobs.subspan(at, std::min(asked_at_once, blobs.size() - at));
    const std::vector<bool> there = TRY(tier.has_blobs(some, entry, stop));
    for (std::size_t i = 0; i < some.size(); ++i)
      if (!there[i]) TRY(tier.put_blob(some[i], entry, blobs_, stop));
  }
  return {};
}

Status WriteBehind::send_once(std::size_t index, const Outgoing& what, const std::stop_token& stop) {
  WatchedTier& tier = *tiers_[index];
  TierEntry entry;
  entry.closure = TRY(needed_of(what.entry));
  std::vector<SizedBlob> kept;
  for (const SizedBlob& blob : *entry.closure) {
    if (tier.keeps(blob))
      kept.push_back(blob);
    else if (!is_kept_by_others(blob))  // an entry without what it needs is of no use
      return base::fail(ErrorCode::invalid_argument, "no tier keeps blob {} of entry {}", blob.digest,
                        what.entry.name.key);
  }
  entry.value = TRY(blobs_.read(what.entry.value, tier.abilities().value_bytes_max));
  entry.attributes = what.entry.attributes;
  entry.build_time = what.entry.build_time;
  TRY(send_blobs(tier, kept, what.entry.name, stop));
  return tier.put_entry(what.entry.name, entry, stop);
}

std::size_t WriteBehind::drain(Time deadline) {
  std::size_t left = 0;
  for (const auto& line : lines_) {
    ++line->state.lock()->draining;
    line->changed.notify_all();
    {
      auto state = line->state.lock();
      wait_until(line->changed, state.lock(), clock_, deadline, [&] { return state->unsent() == 0; });
      left += state->unsent();
      --state->draining;
    }
    const Status flushed = tiers_[line->tier]->flush(deadline, {});
    if (!flushed)
      base::log_warning("tier {}: what it puts together was not sent: {}", tiers_[line->tier]->name(),
                        flushed.error().message);
  }
  return left;
}

std::size_t WriteBehind::unsent(std::size_t tier) const {
  for (const auto& line : lines_)
    if (line->tier == tier) return line->state.lock()->unsent();
  return 0;
}

}  // namespace cairn::cache
