// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/tally.h"

#include <numeric>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/cache.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

std::string_view to_string(MissCause cause) {
  switch (cause) {
    case MissCause::never_seen: return "never seen";
    case MissCause::evicted: return "evicted";
    case MissCause::key_differs: return "key differs";
    case MissCause::error: return "error";
    case MissCause::timeout: return "timeout";
  }
  return "unknown";
}

std::uint64_t Counters::all_misses() const { return std::accumulate(misses.begin(), misses.end(), std::uint64_t{0}); }

Counters& Counters::operator+=(const Counters& other) {
  hits += other.hits;
  for (std::size_t i = 0; i < misses.size(); ++i) misses[i] += other.misses[i];
  bytes_saved += other.bytes_saved;
  time_saved += other.time_saved;
  return *this;
}

void Tally::add(const std::string& project, const Counters& counters) { state_.lock()->waiting[project] += counters; }

CounterMap Tally::take() {
  auto state = state_.lock();
  if (!state->on_the_way.empty() || state->readers > 0) return {};
  state->on_the_way.swap(state->waiting);
  return state->on_the_way;
}

void Tally::settle(const CounterMap& taken, const Status& outcome) {
  {
    auto state = state_.lock();
    state->on_the_way.clear();
    if (!outcome) {
      for (const auto& [project, counters] : taken) state->waiting[project] += counters;
    }
  }
  settled_.notify_all();
}

Tally::Reading::Reading(Tally& tally) : tally_(tally) {
  auto state = tally_.state_.lock();
  ++state->readers;
  tally_.settled_.wait(state.lock(), [&] { return state->on_the_way.empty(); });
}

Tally::Reading::~Reading() { --tally_.state_.lock()->readers; }

bool Tally::is_on_the_way() { return !state_.lock()->on_the_way.empty(); }

CounterMap Tally::unwritten() {
  auto state = state_.lock();
  CounterMap all = state->waiting;
  for (const auto& [project, counters] : state->on_the_way) all[project] += counters;
  return all;
}

Status add_counters(WriteTxn& txn, const CounterMap& counters) {
  for (const auto& [project, some] : counters) {
    Counters all = TRY(txn.get(table::statistics, ProjectKey{project})).value_or(Counters{});
    all += some;
    TRY(txn.put(table::statistics, ProjectKey{project}, all));
  }
  CRASH_POINT("cache.statistics.added");
  return {};
}

void enqueue_counters(Store& store) {
  const auto taken = std::make_shared<const CounterMap>(store.tally.take());
  if (taken->empty()) return;
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [taken](WriteTxn& txn) { return add_counters(txn, *taken); };
  entry.done = [&store, taken](const Status& outcome) { store.tally.settle(*taken, outcome); };
  const auto number = enqueue(store, std::move(entry));
  if (!number) base::log_warning("statistics are not written yet: {}", number.error().message);
}

namespace {

Result<CounterMap> rows_of_statistics(base::lmdb::Env& env) {
  CounterMap all;
  TRY(each_row(env, table::statistics, [&](ReadTxn&, const ProjectKey& key, const Counters& counters) -> Status {
    all.emplace_hint(all.end(), key.project, counters);
    return {};
  }));
  return all;
}

std::vector<ProjectCounters> sum_of(CounterMap rows, const CounterMap& more) {
  for (const auto& [project, counters] : more) rows[project] += counters;
  std::vector<ProjectCounters> list;
  for (auto& [project, counters] : rows) list.push_back({project, counters});
  return list;
}

}  // namespace

Result<std::vector<ProjectCounters>> statistics(base::lmdb::Env& env, const base::HostPath& root) {
  // The rows first: an owner who opens the store meanwhile takes root/late away before it becomes rows, so that nothing is
  // counted twice.
  CounterMap rows = TRY(rows_of_statistics(env));
  const auto late = read_late_facts(root);
  return sum_of(std::move(rows), late ? late->counters : CounterMap{});
}

Counters one_miss(MissCause cause) {
  Counters one;
  one.misses[static_cast<std::size_t>(cause)] = 1;
  return one;
}

Counters Cache::one_hit(const ImmutableRef& ref) const {
  return {.hits = 1,
          .misses = {},
          .bytes_saved = ref.info().usage.bytes,
          .time_saved = std::chrono::nanoseconds(ref.hold_->build_time.load())};
}

void Cache::count(const Counters& counted, const Owner& asked_by) {
  if (counted != Counters{}) state_->tally.add(asked_by.project, counted);
}

Result<std::vector<ProjectCounters>> Cache::statistics() {
  const Tally::Reading reading(state_->tally);
  return sum_of(TRY(rows_of_statistics(state_->env)), state_->tally.unwritten());
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::ProjectKey>::encode(const cache::ProjectKey& key) {
  return ByteWriter().u8(cache::row_version).raw(key.project).take();
}

Result<cache::ProjectKey> Codec<cache::ProjectKey>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  return cache::ProjectKey{std::string(reader.rest())};
}

std::string Codec<cache::Counters>::encode(const cache::Counters& counters) {
  ByteWriter writer;
  writer.u8(cache::row_version).varint(counters.hits).varint(counters.misses.size());
  for (const std::uint64_t count : counters.misses) writer.varint(count);
  return writer.i64(counters.bytes_saved).i64(counters.time_saved.count()).take();
}

Result<cache::Counters> Codec<cache::Counters>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::Counters counters;
  counters.hits = TRY(reader.varint());
  const std::uint64_t causes = TRY(reader.varint());
  if (causes > counters.misses.size()) return fail(ErrorCode::corrupt, "misses of {} causes", causes);
  for (std::uint64_t i = 0; i < causes; ++i) counters.misses[i] = TRY(reader.varint());
  counters.bytes_saved = TRY(reader.i64());
  counters.time_saved = std::chrono::nanoseconds(TRY(reader.i64()));
  TRY(reader.expect_end());
  return counters;
}

}  // namespace cairn::base
