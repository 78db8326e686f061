// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/selection.h"

#include <algorithm>
#include <array>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

// A record that is larger than what a rule may still take is passed over for smaller ones behind it, so many times.
constexpr unsigned misfits_max = 64;

constexpr std::array all_types = {
    RecordType::regular,          RecordType::source_local, RecordType::source_image,       RecordType::internal,
    RecordType::exec_cache_mount, RecordType::frontend,     RecordType::source_git_checkout};

bool is_internal(RecordType type) { return type == RecordType::internal || type == RecordType::frontend; }

class Selector {
 public:
  Selector(SelectionView& store, const SelectionRules& rules, const std::stop_token& stop)
      : store_(store), rules_(rules), stop_(stop) {}

  Result<PrunePlan> run();

 private:
  using Order = CandidateOrder;
  using Candidate = SelectionView::Candidate;
  // In the line of a rule; the lowest goes first.
  struct Turn {
    std::uint64_t at = 0;
    RecordId id;
    auto operator<=>(const Turn&) const = default;
  };
  // What one rule goes along: the tables, and what gets a place in the meantime.
  struct Line {
    Order order = Order::by_cost;
    std::vector<std::unique_ptr<SelectionView::Line>> streams;
    std::set<Turn> waiting;
    std::unordered_set<RecordId> orphans;  // unkeyed, and the last child was taken by this rule
  };

  Status apply(std::uint32_t index);
  Status go_along(std::uint32_t index, std::int64_t live, std::optional<std::int64_t> keep,
                  std::optional<std::int64_t> floor);
  Result<std::int64_t> live_of(const PolicyRule& rule);
  Status open_line(std::uint32_t index);
  void leave_line(std::uint32_t index);
  Result<std::optional<Turn>> next_turn();
  Result<std::optional<Turn>> take_head();
  Result<std::optional<PlacesRow>> known_places(RecordId id);
  Result<PlacesRow> places_now(const Candidate& candidate);
  std::uint64_t turn_at(Rank place) const {
    return line_.order == Order::by_age ? place.value() : turn_by_cost(place, rules_.now);
  }
  std::uint64_t turn_of(const PlacesRow& places) const {
    return turn_at(line_.order == Order::by_age ? place_by_age(places.last_used) : places.by_cost);
  }
  using Outcome = RuleVerdict::Outcome;
  std::optional<Outcome> why_stays(const Candidate& candidate, const PolicyRule& rule) const;
  bool may_go(const Candidate& candidate, const PolicyRule& rule);
  Status explain(std::uint32_t index, RuleVerdict verdict);
  bool is_past_the_last(const Turn& turn, const PolicyRule& rule) const;
  Status take(Candidate candidate, std::uint32_t rule);
  Status expose(RecordId parent);
  Result<bool> has_staying_child(RecordId parent);

  SelectionView& store_;
  const SelectionRules& rules_;
  const std::stop_token stop_;
  PrunePlan selection_;
  std::int64_t live_ = 0, freed_ = 0;
  Line line_;
  std::unordered_set<RecordId> picked_;
  std::unordered_map<RecordId, PlacesRow> moved_;    // candidates that are worth more than the tables say
  std::unordered_map<RecordId, PlacesRow> exposed_;  // would be candidates if what is picked were gone
  std::unordered_map<RecordId, RecordId> watched_;   // of a parent, a child that stays for all we know
};

Result<PrunePlan> Selector::run() {
  live_ = TRY(store_.live_bytes());
  for (std::uint32_t i = 0; i < rules_.policy->rules.size() && selection_.picks.size() < rules_.picks_max; ++i)
    TRY(apply(i), "{}", rule_title(*rules_.policy, i));
  for (const auto& moves : {&moved_, &exposed_})
    for (const auto& [id, places] : *moves)
      if (!picked_.contains(id)) selection_.moves.emplace_back(id, places);
  return std::move(selection_);
}

Status Selector::apply(std::uint32_t index) {
  const PolicyRule& rule = rules_.policy->rules[index];
  std::int64_t live = TRY(live_of(rule));
  const DiskSpace disk{rules_.disk.total_bytes, rules_.disk.free_bytes + freed_};
  const auto keep = rule.keep_bytes(live, disk);
  const auto floor = rule.effective_floor().on(disk);
  const bool is_satisfied = keep && live <= *keep;
  line_ = Line();
  if (!is_satisfied) {
    TRY(open_line(index));
    TRY(go_along(index, live, keep, floor));
    leave_line(index);
  }
  if (!rules_.explained) return {};
  const auto otherwise = is_satisfied ? Outcome::satisfied : Outcome::later_in_line;
  return explain(index, {.outcome = otherwise, .live_bytes = live, .keep_bytes = keep, .floor_bytes = floor});
}

// After the rule was applied: what it found of the record that somebody asks about, by the same questions.
Status Selector::explain(std::uint32_t index, RuleVerdict verdict) {
  const RecordId id = *rules_.explained;
  const PolicyRule& rule = rules_.policy->rules[index];
  const auto candidate = TRY(store_.load(id));
  const auto pick = std::find_if(selection_.picks.begin(), selection_.picks.end(),
                                 [&](const Pick& each) { return each.record.id == id; });
  if (pick != selection_.picks.end()) {
    verdict.outcome = pick->rule == index ? Outcome::taken : Outcome::taken_before;
  } else if (const auto why = candidate ? why_stays(*candidate, rule) : std::nullopt) {
    verdict.outcome = *why;
  } else if (verdict.outcome != Outcome::satisfied && TRY(has_staying_child(id))) {
    verdict.outcome = Outcome::built_upon;
  } else if (verdict.outcome != Outcome::satisfied && candidate && verdict.floor_bytes &&
             TRY(live_of(rule)) - freed_by(candidate->record) < *verdict.floor_bytes) {
    verdict.outcome = Outcome::below_floor;
  }
  selection_.verdicts.push_back(verdict);
  return {};
}

// Takes from the line of the rule until no more than `keep` live, and never fewer than `floor`.
Status Selector::go_along(std::uint32_t index, std::int64_t live, std::optional<std::int64_t> keep,
                          std::optional<std::int64_t> floor) {
  const PolicyRule& rule = rules_.policy->rules[index];
  unsigned misfits = 0;
  while (selection_.picks.size() < rules_.picks_max && (!keep || live > *keep)) {
    if (stop_.stop_requested()) return base::fail(ErrorCode::cancelled, "select records");
    const auto turn = TRY(next_turn());
    if (!turn || is_past_the_last(*turn, rule)) return {};
    auto candidate = TRY(store_.load(turn->id));
    if (!candidate || !may_go(*candidate, rule)) continue;
    const std::int64_t frees = freed_by(candidate->record);
    if (floor && live - frees < *floor) {
      ++selection_.passed.below_floor;
      if (++misfits == misfits_max) return {};
      continue;
    }
    live -= frees;
    TRY(take(std::move(*candidate), index));
  }
  return {};
}

// Of everything, of some types (both are sums that are kept), or added up.
Result<std::int64_t> Selector::live_of(const PolicyRule& rule) {
  if (rule.filters.empty()) return live_ - freed_;
  std::int64_t live = 0;
  if (const auto types = rule.only_types()) {
    live = TRY(store_.live_bytes_of(*types));
    for (const Pick& pick : selection_.picks)
      if (std::find(types->begin(), types->end(), pick.record.facts.type) != types->end()) live -= pick.frees_bytes;
    return live;
  }
  TRY(store_.each_record([&](const RecordInfo& record) {
    ++selection_.rows_visited;
    if (!picked_.contains(record.id) && rule.matches(record, InUse::no))
      live += freed_by(record) + record.space.shared_bytes + record.space.blob_shared_bytes;
  }));
  return live;
}

Status Selector::open_line(std::uint32_t index) {
  const PolicyRule& rule = rules_.policy->rules[index];
  const bool by_age = rule.unused_for || rules_.policy->order == PolicyOrder::lru;
  line_ = Line();
  line_.order = by_age && rules_.reach == Reach::everything ? Order::by_age : Order::by_cost;
  const auto types = rule.only_types();
  for (const RecordType type : all_types) {
    if (types && std::find(types->begin(), types->end(), type) == types->end()) continue;
    for (auto& line : TRY(store_.lines(line_.order, type))) line_.streams.push_back(std::move(line));
  }
  for (const auto& [id, places] : exposed_)
    if (!picked_.contains(id)) line_.waiting.insert({turn_of(places), id});
  if (rules_.orphans == nullptr) return {};
  for (const auto& [id, taken_by] : *rules_.orphans) {
    if (taken_by != index || picked_.contains(id)) continue;
    line_.orphans.insert(id);
    line_.waiting.insert({0, id});
  }
  return {};
}

// Those that it has not come to.
void Selector::leave_line(std::uint32_t index) {
  for (const RecordId id : line_.orphans)
    if (!picked_.contains(id)) selection_.orphans.emplace_back(id, index);
}

// The first of those that wait and of the heads of all streams; it is taken from there.
Result<std::optional<Selector::Turn>> Selector::take_head() {
  std::optional<Turn> first;
  if (!line_.waiting.empty()) first = *line_.waiting.begin();
  SelectionView::Line* from = nullptr;
  for (const auto& stream : line_.streams) {
    const auto head = TRY(stream->head());
    if (!head) continue;
    const Turn turn{turn_at(head->place), head->id};
    if (first && *first <= turn) continue;
    first = turn;
    from = stream.get();
  }
  if (from != nullptr) {
    from->take();
    ++selection_.rows_visited;
  } else if (first) {
    line_.waiting.erase(line_.waiting.begin());
  }
  return first;
}

// The next in line, if that is still its turn by what is known of it now; else it waits for the later one.
Result<std::optional<Selector::Turn>> Selector::next_turn() {
  while (true) {
    const auto turn = TRY(take_head());
    if (!turn) return turn;
    if (picked_.contains(turn->id)) continue;
    const auto candidate = TRY(store_.load(turn->id));
    if (!candidate) continue;
    if (line_.orphans.contains(turn->id)) return turn;
    const std::uint64_t now = turn_of(TRY(places_now(*candidate)));
    if (now <= turn->at) return turn;
    line_.waiting.insert({now, turn->id});
  }
}

Result<std::optional<PlacesRow>> Selector::known_places(RecordId id) {
  if (const auto found = moved_.find(id); found != moved_.end()) return std::optional<PlacesRow>(found->second);
  if (const auto found = exposed_.find(id); found != exposed_.end()) return std::optional<PlacesRow>(found->second);
  return store_.places(id);
}

// A place is left only for a later one.
Result<PlacesRow> Selector::places_now(const Candidate& candidate) {
  const RecordId id = candidate.record.id;
  const auto known = TRY(known_places(id));
  base::WallTime since = candidate.record.last_used;
  if (known) since = std::max(since, idle_since(known->by_cost));
  if (line_.order == Order::by_cost && candidate.keyed == Keyed::yes)
    since = std::max(since, TRY(store_.last_use_of_products(id, picked_)));
  PlacesRow now = places_of(candidate.record, candidate.keyed);
  if (now.by_cost) now.by_cost = place_by_cost(worth_at(now.by_cost), since);
  if (known && known->last_used >= now.last_used && idle_since(known->by_cost) >= idle_since(now.by_cost))
    return *known;
  (exposed_.contains(id) ? exposed_ : moved_).insert_or_assign(id, now);
  return now;
}

bool Selector::is_past_the_last(const Turn& turn, const PolicyRule& rule) const {
  if (rules_.reach == Reach::unkeyed_only) return turn.at > 0;
  return rule.unused_for && turn.at > place_by_age(rules_.now - *rule.unused_for).value();
}

std::optional<RuleVerdict::Outcome> Selector::why_stays(const Candidate& candidate, const PolicyRule& rule) const {
  const RecordInfo& record = candidate.record;
  if (candidate.leased || store_.is_held(record.id)) return Outcome::in_use;
  const auto matches = [&](const RecordFilter& pin) { return pin.matches(record, InUse::no); };
  if (std::any_of(rules_.policy->pins.begin(), rules_.policy->pins.end(), matches)) return Outcome::pinned;
  if (!rule.all && is_internal(record.facts.type)) return Outcome::internal;
  // Age and filter are about a record and what only it keeps.
  if (line_.orphans.contains(record.id)) return std::nullopt;
  if (!rule.matches(record, InUse::no)) return Outcome::other_filter;
  if (rule.unused_for && record.last_used > rules_.now - *rule.unused_for) return Outcome::too_young;
  return std::nullopt;
}

bool Selector::may_go(const Candidate& candidate, const PolicyRule& rule) {
  if (rules_.reach == Reach::unkeyed_only && candidate.keyed == Keyed::yes) return false;
  const auto why = why_stays(candidate, rule);
  if (!why) return true;
  Passed& passed = selection_.passed;
  if (*why == Outcome::in_use) ++passed.in_use;
  if (*why == Outcome::pinned) ++passed.pinned;
  if (*why == Outcome::internal) ++passed.internal;
  if (*why == Outcome::other_filter) ++passed.other_filter;
  if (*why == Outcome::too_young) ++passed.too_young;
  return false;
}

Status Selector::take(Candidate candidate, std::uint32_t rule) {
  const std::int64_t frees = freed_by(candidate.record);
  freed_ += frees;
  picked_.insert(candidate.record.id);
  const std::vector<RecordId> parents = candidate.record.parents;
  selection_.picks.push_back({std::move(candidate.record), rule, frees});
  for (const RecordId parent : parents) TRY(expose(parent));
  return {};
}

Status Selector::expose(RecordId parent) {
  if (exposed_.contains(parent) || TRY(has_staying_child(parent))) return {};
  const auto candidate = TRY(store_.load(parent));
  if (!candidate) return {};
  const PlacesRow places = places_of(candidate->record, candidate->keyed);
  exposed_.emplace(parent, places);
  const bool orphan = candidate->keyed == Keyed::no;
  if (orphan) line_.orphans.insert(parent);
  line_.waiting.insert({orphan ? 0 : turn_of(places), parent});
  return {};
}

// Children are looked at once each: from the one that was found to stay, until it goes itself.
Result<bool> Selector::has_staying_child(RecordId parent) {
  RecordId after;
  if (const auto found = watched_.find(parent); found != watched_.end()) {
    if (!picked_.contains(found->second)) return true;
    after = found->second;
  }
  while (const auto child = TRY(store_.child_after(parent, after))) {
    ++selection_.rows_visited;
    watched_[parent] = *child;
    if (!picked_.contains(*child)) return true;
    after = *child;
  }
  return false;
}

}  // namespace

Result<PrunePlan> select_records(SelectionView& view, const SelectionRules& rules, std::stop_token stop) {
  return Selector(view, rules, stop).run();
}

Result<PrunePlan> select_records(Store& store, const SelectionRules& rules, std::stop_token stop) {
  return select_records(*view_store(store, rules.now), rules, std::move(stop));
}

}  // namespace cairn::cache
