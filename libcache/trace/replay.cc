// SPDX-License-Identifier: Apache-2.0
// What would have come of a trace. Of each solve it is worked out anew what had to be looked for: its result; the
// inputs of what was not found; and what was looked into to find something else, as it was when the trace was taken.
#include <algorithm>
#include <limits>
#include <utility>

#include "libcache/trace/imagined_store.h"
#include "libcache/trace/model.h"

namespace cairn::cache {

using base::Result;
using base::Status;

namespace {

using Ended = TracedLookup::Ended;

PolicyRule size_rule(std::int64_t bytes) {
  PolicyRule rule{.name = "size", .floor = Space::bytes(0), .all = true};
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(bytes));
  return rule;
}

class Run {
 public:
  Run(const std::vector<Thing>& things, const ReplayOptions& options)
      : options_(options), policy_(options.policy), store_(things) {
    if (options.size) policy_.rules.push_back(size_rule(*options.size));
    live_at_first_ = store_.live();
    report.bytes_most = store_.records_live();
  }
  Status solve(const ModelSolve& solve);
  ReplayReport report;
  bool counts = true;
  void end() { report.bytes_last = store_.records_live(); }

 private:
  enum class Known : std::uint8_t { not_needed, needed, found, missing };
  void mark_roots(const ModelSolve& solve, std::vector<Known>& known) const;
  Status look_up(const ModelLookup& lookup, Known& known);
  Status make(const ModelLookup& lookup);
  Status need_with_parents(std::uint32_t thing);
  Status add(std::uint32_t thing);
  Status collect();
  // What is used or made in one solve is so one after the other, as it is in a store.
  base::WallTime next_moment() { return now_ += std::chrono::nanoseconds(1); }
  DiskSpace disk() const {
    const std::int64_t free = options_.disk.free_bytes + live_at_first_ - store_.live();
    return {options_.disk.total_bytes, std::max<std::int64_t>(free, 0)};
  }
  bool is_due() const;

  const ReplayOptions& options_;
  Policy policy_;
  ImaginedStore store_;
  base::WallTime now_{};
  std::int64_t live_at_first_ = 0;
  std::int64_t alarm_ = 0;  // what could not go is no reason to look again at once
};

// The result; and what was looked for although what is made of it was found, or to look into it.
void Run::mark_roots(const ModelSolve& solve, std::vector<Known>& known) const {
  std::vector<bool> has_user(solve.lookups.size()), needed_by_key(solve.lookups.size()),
      for_a_miss(solve.lookups.size());
  for (const ModelLookup& user : solve.lookups) {
    const bool was_asked = user.ended != Ended::not_asked;
    for (const TracedLookup::Input& input : user.inputs) {
      has_user[input.lookup] = true;
      if (was_asked && input.by_content) needed_by_key[input.lookup] = true;
      if (was_asked && user.ended != Ended::hit) for_a_miss[input.lookup] = true;
    }
  }
  for (std::size_t i = 0; i < solve.lookups.size(); ++i) {
    const bool was_asked = solve.lookups[i].ended != Ended::not_asked;
    if (!has_user[i] || (was_asked && (needed_by_key[i] || !for_a_miss[i]))) known[i] = Known::needed;
  }
}

Status Run::look_up(const ModelLookup& lookup, Known& known) {
  known = Known::missing;
  if (lookup.thing == no_thing) return {};
  if (lookup.ended == Ended::forced) return {};
  const bool found = store_.is_there(lookup.thing);
  if (counts) {
    ++report.lookups;
    if (found) ++report.hits, report.saved += store_.record(lookup.thing).facts.build_time;
  }
  if (!found) return {};
  known = Known::found;
  store_.use(lookup.thing, next_moment());
  store_.hold(lookup.thing);
  return {};
}

Status Run::solve(const ModelSolve& solve) {
  now_ = std::max(now_, solve.started);
  store_.other_bytes = solve.other_bytes;
  std::vector<Known> known(solve.lookups.size(), Known::not_needed);
  mark_roots(solve, known);
  for (std::size_t i = solve.lookups.size(); i-- > 0;) {  // users before inputs
    if (known[i] != Known::needed) continue;
    TRY(look_up(solve.lookups[i], known[i]));
    if (known[i] != Known::missing) continue;
    for (const TracedLookup::Input& input : solve.lookups[i].inputs)
      if (known[input.lookup] == Known::not_needed) known[input.lookup] = Known::needed;
  }
  for (std::size_t i = 0; i < solve.lookups.size(); ++i)
    if (known[i] == Known::missing) TRY(make(solve.lookups[i]));
  store_.release_holds();
  if (is_due()) TRY(collect());
  if (counts) report.over_time.push_back({solve.started, report.lookups, report.hits});
  return {};
}

Status Run::make(const ModelLookup& lookup) {
  if (lookup.thing == no_thing) return {};
  if (lookup.ended == Ended::forced && store_.is_there(lookup.thing)) return {};
  return need_with_parents(lookup.thing);
}

// What no step has made by itself (layers of an image) comes with what is made on it.
Status Run::need_with_parents(std::uint32_t thing) {
  std::vector<std::uint32_t> open = {thing};
  while (!open.empty()) {
    const std::uint32_t at = open.back();
    if (store_.is_there(at)) {
      store_.hold(at);
      open.pop_back();
      continue;
    }
    const std::size_t before = open.size();
    for (const RecordId parent : store_.record(at).parents)
      if (const auto above = static_cast<std::uint32_t>(parent.value() - 1);
          !store_.is_there(above) && std::find(open.begin(), open.end(), above) == open.end())
        open.push_back(above);
    if (open.size() > before) continue;
    open.pop_back();
    TRY(add(at));
  }
  return {};
}

Status Run::add(std::uint32_t thing) {
  const RecordInfo& record = store_.record(thing);
  if (counts) {
    ++report.made;
    report.building += record.facts.build_time;
    report.bytes_made += freed_by(record);
    if (store_.was_there(thing)) {
      ++report.made_again;
      report.rebuilding += record.facts.build_time;
      report.bytes_rebuilt += freed_by(record);
    }
  }
  store_.add(thing, next_moment());
  store_.hold(thing);
  report.bytes_most = std::max(report.bytes_most, store_.records_live());
  return store_.live() > alarm_ && is_due() ? collect() : Status();
}

bool Run::is_due() const {
  const DiskSpace space = disk();
  return std::any_of(policy_.rules.begin(), policy_.rules.end(), [&](const PolicyRule& rule) {
    if (rule.unused_for || !rule.filters.empty()) return true;
    const auto keep = rule.keep_bytes(store_.live(), space);
    return !keep || store_.live() > *keep;
  });
}

Status Run::collect() {
  const SelectionRules rules{.policy = &policy_, .disk = disk(), .now = now_};
  const PrunePlan plan = TRY(select_records(store_, rules));
  const std::uint64_t taken = store_.apply(plan);
  if (counts) report.taken += taken;
  alarm_ = is_due() ? store_.live() + std::max<std::int64_t>(store_.live() / 64, 1 << 20) : 0;
  return {};
}

}  // namespace

Replayer::Replayer(const Trace& trace) : model_(std::make_unique<const Model>(trace)) {}
Replayer::~Replayer() = default;

Result<ReplayReport> Replayer::run(const ReplayOptions& options) const {
  if (options.size && *options.size < 0)
    return base::fail(base::ErrorCode::invalid_argument, "replay with a size of {} bytes", *options.size);
  Run run(model_->things, options);
  for (std::size_t i = 0; i < model_->solves.size(); ++i) {
    run.counts = i >= options.counted_from;
    TRY(run.solve(model_->solves[i]), "replay solve {}", i);
  }
  run.end();
  return std::move(run.report);
}

}  // namespace cairn::cache
