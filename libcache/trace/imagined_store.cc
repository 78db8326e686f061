// SPDX-License-Identifier: Apache-2.0
#include "libcache/trace/imagined_store.h"

#include <algorithm>

namespace cairn::cache {

using base::Result;

namespace {

class ImaginedLine final : public SelectionView::Line {
 public:
  using Place = std::set<RankInLine>::const_iterator;
  ImaginedLine(Place from, Place to) : at_(from), end_(to) {}
  Result<std::optional<RankInLine>> head() override {
    return at_ == end_ ? std::optional<RankInLine>() : std::optional<RankInLine>(*at_);
  }
  void take() override { ++at_; }

 private:
  Place at_, end_;
};

std::size_t line_of(RecordType type) { return number_of(type).value(); }

}  // namespace

ImaginedStore::ImaginedStore(const std::vector<Thing>& things) : things_(things), entries_(things.size()) {
  for (std::size_t i = 0; i < things.size(); ++i) {
    entries_[i].record = things[i].record;
    entries_[i].keyed = things[i].keyed;
  }
  for (std::size_t i = 0; i < things.size(); ++i) {
    if (!things[i].present) continue;
    Entry& entry = entries_[i];
    entry.is_there = entry.was_there = true;
    live_ += freed_by(entry.record);
    live_of_[line_of(entry.record.facts.type)] += freed_by(entry.record);
    for (const RecordId parent : entry.record.parents) entry_of(parent).children.insert(entry.record.id);
  }
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].is_there) continue;
    admit(entries_[i]);
    note_key(static_cast<std::uint32_t>(i));
  }
}

void ImaginedStore::put(Entry& entry, const PlacesRow& places) {
  drop(entry);
  by_age_[line_of(places.type)].insert({place_by_age(places.last_used), entry.record.id});
  by_cost_[line_of(places.type)].insert({places.by_cost, entry.record.id});
  entry.places = places;
  entry.is_candidate = true;
}

void ImaginedStore::drop(Entry& entry) {
  if (!entry.is_candidate) return;
  by_age_[line_of(entry.places.type)].erase({place_by_age(entry.places.last_used), entry.record.id});
  by_cost_[line_of(entry.places.type)].erase({entry.places.by_cost, entry.record.id});
  entry.is_candidate = false;
}

void ImaginedStore::admit(Entry& entry) {
  if (entry.is_there && entry.children.empty())
    put(entry, places_of(entry.record, entry.keyed ? Keyed::yes : Keyed::no));
}

void ImaginedStore::add(std::uint32_t thing, base::WallTime now) {
  Entry& entry = entries_[thing];
  if (entry.is_there) return;
  entry.is_there = entry.was_there = true;
  entry.record.created = entry.record.last_used = now;
  entry.record.use_count = 0;
  live_ += freed_by(entry.record);
  live_of_[line_of(entry.record.facts.type)] += freed_by(entry.record);
  for (const RecordId parent : entry.record.parents) {
    entry_of(parent).children.insert(entry.record.id);
    drop(entry_of(parent));
  }
  admit(entry);
  note_key(thing);
}

// As keys do: one is there while it has a result or leads on, and while it is, what it was made of leads to it.
void ImaginedStore::note_key(std::uint32_t thing) {
  for (const std::uint32_t input : things_[thing].inputs) {
    Entry& entry = entries_[input];
    const bool was_known = entry.is_there || !entry.products.empty();
    if (entry.products.insert(thing).second && !was_known) note_key(input);
  }
}

void ImaginedStore::forget_key(std::uint32_t thing) {
  if (entries_[thing].is_there || !entries_[thing].products.empty()) return;
  for (const std::uint32_t input : things_[thing].inputs)
    if (entries_[input].products.erase(thing) > 0) forget_key(input);
}

// Moves nobody: see candidates.h.
void ImaginedStore::use(std::uint32_t thing, base::WallTime now) {
  entries_[thing].record.last_used = std::max(entries_[thing].record.last_used, now);
  ++entries_[thing].record.use_count;
}

void ImaginedStore::hold(std::uint32_t thing) {
  if (std::exchange(entries_[thing].held, true)) return;
  held_.push_back(thing);
}

void ImaginedStore::release_holds() {
  for (const std::uint32_t thing : held_) entries_[thing].held = false;
  held_.clear();
}

std::uint64_t ImaginedStore::apply(const PrunePlan& plan) {
  for (const Pick& pick : plan.picks) {
    Entry& entry = entry_of(pick.record.id);
    drop(entry);
    entry.is_there = false;
    live_ -= freed_by(entry.record);
    live_of_[line_of(entry.record.facts.type)] -= freed_by(entry.record);
    for (const RecordId parent : entry.record.parents) {
      entry_of(parent).children.erase(entry.record.id);
      admit(entry_of(parent));
    }
    forget_key(thing_of(pick.record.id));
  }
  for (const auto& [id, places] : plan.moves)
    if (entry_of(id).is_candidate) put(entry_of(id), places);
  return plan.picks.size();
}

Result<std::int64_t> ImaginedStore::live_bytes_of(std::span<const RecordType> types) {
  std::int64_t live = 0;
  for (const RecordType type : types) live += live_of_[line_of(type)];
  return live;
}

base::Status ImaginedStore::each_record(const std::function<void(const RecordInfo&)>& visit) {
  for (const Entry& entry : entries_)
    if (entry.is_there) visit(entry.record);
  return {};
}

Result<std::vector<std::unique_ptr<SelectionView::Line>>> ImaginedStore::lines(CandidateOrder order, RecordType type) {
  std::vector<std::unique_ptr<Line>> lines;
  if (order == CandidateOrder::by_age) {
    lines.push_back(std::make_unique<ImaginedLine>(by_age_[line_of(type)].begin(), by_age_[line_of(type)].end()));
    return lines;
  }
  const InLine& by_cost = by_cost_[line_of(type)];
  for (auto from = by_cost.begin(); from != by_cost.end();) {
    const WorthClass worth = worth_at(from->place);
    const auto to = by_cost.lower_bound({first_of(worth + 1u), RecordId()});
    lines.push_back(std::make_unique<ImaginedLine>(from, to));
    from = to;
  }
  return lines;
}

Result<base::WallTime> ImaginedStore::last_use_of_products(RecordId id, const Gone& gone) {
  base::WallTime last{};
  std::vector<std::uint32_t> known = {thing_of(id)};
  for (std::size_t at = 0; at < known.size(); ++at) {
    for (const std::uint32_t product : entries_[known[at]].products) {
      if (known.size() == product_keys_max) break;
      if (std::find(known.begin(), known.end(), product) != known.end()) continue;
      known.push_back(product);
      const Entry& entry = entries_[product];
      if (entry.is_there && !gone.contains(entry.record.id)) last = std::max(last, entry.record.last_used);
    }
  }
  return last;
}

Result<std::optional<SelectionView::Candidate>> ImaginedStore::load(RecordId id) {
  const Entry& entry = entry_of(id);
  if (!entry.is_there) return std::optional<Candidate>();
  return std::optional<Candidate>(Candidate{entry.record, entry.keyed ? Keyed::yes : Keyed::no, false});
}

Result<std::optional<PlacesRow>> ImaginedStore::places(RecordId id) {
  const Entry& entry = entry_of(id);
  return entry.is_candidate ? std::optional<PlacesRow>(entry.places) : std::nullopt;
}

Result<std::optional<RecordId>> ImaginedStore::child_after(RecordId parent, RecordId after) {
  const std::set<RecordId>& children = entry_of(parent).children;
  const auto child = children.upper_bound(after);
  return child == children.end() ? std::optional<RecordId>() : std::optional<RecordId>(*child);
}

}  // namespace cairn::cache
