// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/tally.h"

#include <numeric>

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
  if (!state->on_the_way.empty()) return {};
  state->on_the_way.swap(state->waiting);
  return state->on_the_way;
}

void Tally::settle(const CounterMap& taken, const Status& outcome) {
  auto state = state_.lock();
  state->on_the_way.clear();
  if (outcome) return;
  for (const auto& [project, counters] : taken) state->waiting[project] += counters;
}

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

Result<std::vector<ProjectCounters>> statistics(base::lmdb::Env& env) {
  std::vector<ProjectCounters> all;
  TRY(each_row(env, table::statistics, [&](ReadTxn&, const ProjectKey& key, const Counters& counters) -> Status {
    all.push_back({key.project, counters});
    return {};
  }));
  return all;
}

void Cache::count_hit(const ImmutableRef& ref, const Owner& asked_by) {
  const RecordInfo& info = ref.info();
  state_->tally.add(asked_by.project, {.hits = 1, .bytes_saved = info.usage.bytes, .time_saved = info.facts.build_time});
}

void Cache::count_miss(MissCause cause, const Owner& asked_by) {
  Counters one;
  one.misses[static_cast<std::size_t>(cause)] = 1;
  state_->tally.add(asked_by.project, one);
}

Result<std::vector<ProjectCounters>> Cache::statistics() {
  CounterMap all = state_->tally.unwritten();
  for (const ProjectCounters& row : TRY(cache::statistics(state_->env))) all[row.project] += row.counters;
  std::vector<ProjectCounters> list;
  for (auto& [project, counters] : all) list.push_back({project, counters});
  return list;
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
