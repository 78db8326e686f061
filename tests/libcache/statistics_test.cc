// SPDX-License-Identifier: Apache-2.0
// Statistics: what is counted is exactly what happened, survives processes, and costs a hit no write. A recorded trace of
// lookups, commits and evictions is replayed against a store and must give the numbers that the trace itself gives.
#include <atomic>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "libcache/account/tally.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

Counters of(OpenStore& store, const std::string& project) {
  for (const ProjectCounters& row : must(store.cache->statistics()))
    if (row.project == project) return row.counters;
  return {};
}

TEST(Statistics, CountsAreKnownAtOnceAndCostNoWriteUntilSomethingIsWrittenAnyway) {
  OpenStore store;
  const ImmutableRef ref = store.make({}, "a", {}, {.build_time = std::chrono::seconds(3)});
  must(store.cache->prune({.dry_run = true}));  // nothing is queued any more
  const auto changes = store.writer->counts().changes;
  store.cache->count(store.cache->one_hit(ref), {.project = "p"});
  store.cache->count(one_miss(MissCause::evicted), {.project = "p"});
  store.cache->count(one_miss(MissCause::never_seen), {});
  EXPECT_EQ(store.writer->counts().changes, changes);
  const Counters counters = of(store, "p");
  EXPECT_EQ(counters.hits, 1u);
  EXPECT_EQ(counters.misses[static_cast<std::size_t>(MissCause::evicted)], 1u);
  EXPECT_EQ(counters.all_misses(), 1u);
  EXPECT_EQ(counters.bytes_saved, ref.info().usage.bytes);
  EXPECT_EQ(counters.time_saved, std::chrono::seconds(3));
  EXPECT_EQ(of(store, "").all_misses(), 1u);
  EXPECT_TRUE(must(statistics(*store.env, store.root())).empty()) << "not durable yet";
  store.make({}, "b");
  EXPECT_EQ(must(statistics(*store.env, store.root())).size(), 2u) << "they rode with the next publication";
}

// A group is visible before its writer knows that it is: nobody may see it in the rows and as waiting.
TEST(Statistics, ACountIsSeenOnceWhileItIsWritten) {
  OpenStore store;
  constexpr std::uint64_t rounds = 60;
  std::atomic<bool> ended{false};
  std::jthread reader([&] {
    std::uint64_t last = 0;
    while (!ended) {
      const std::uint64_t hits = of(store, "p").hits;
      EXPECT_GE(hits, last);
      EXPECT_LE(hits, rounds);
      last = hits;
    }
  });
  for (std::uint64_t i = 0; i < rounds; ++i) {
    store.cache->count({.hits = 1}, {.project = "p"});
    store.make({}, "a");
  }
  ended = true;
  reader.join();
  EXPECT_EQ(of(store, "p").hits, rounds);
}

TEST(Statistics, LateCountsReachTheNextProcessOnce) {
  OpenStore store;
  for (int i = 0; i < 3; ++i) store.cache->count(one_miss(MissCause::timeout), {.project = "p"});
  store.cache->save_late_facts();
  store.reopen();
  store.reopen();
  EXPECT_EQ(of(store, "p").all_misses(), 0u) << "the file is read once; a crash behind that loses it";
  store.cache->count(one_miss(MissCause::timeout), {.project = "p"});
  store.cache->save_late_facts();
  store.reopen();
  store.make({}, "a");
  store.reopen();
  EXPECT_EQ(of(store, "p").all_misses(), 1u);
}

TEST(Statistics, RowsComeBackWhole) {
  Counters counters{.hits = 5, .misses = {1, 2, 3, 4, 500}, .bytes_saved = -6, .time_saved = std::chrono::nanoseconds(7)};
  const std::string bytes = base::Codec<Counters>::encode(counters);
  EXPECT_EQ(must(base::Codec<Counters>::decode(bytes)), counters);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(base::Codec<Counters>::decode(std::string_view(bytes).substr(0, size))) << size;
}

// One line of a trace: milliseconds since its beginning, what, a key, and what belongs to it.
struct Event {
  std::int64_t at_ms = 0;
  std::string what, key, project;
  std::int64_t build_ms = 0;
  std::size_t bytes = 0;
};
std::vector<Event> read_trace() {
  std::ifstream file(std::string(CAIRN_TRACES) + "/two_projects.trace");
  CHECK(file, "the trace is missing");
  std::vector<Event> events;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream fields(line);
    Event event;
    fields >> event.at_ms >> event.what >> event.key >> event.project >> event.build_ms >> event.bytes;
    events.push_back(event);
  }
  return events;
}

struct Expected {
  std::uint64_t hits = 0, never_seen = 0, evicted = 0;
  std::int64_t time_saved_ms = 0;
  bool operator==(const Expected&) const = default;
};

// What the trace says by itself.
std::map<std::string, Expected> model(const std::vector<Event>& events) {
  std::map<std::string, Expected> expected;
  std::map<std::string, std::int64_t> there;
  std::set<std::string> gone;
  for (const Event& event : events) {
    if (event.what == "commit") there[event.key] = event.build_ms;
    if (event.what == "evict" && there.erase(event.key) > 0) gone.insert(event.key);
    if (event.what != "lookup") continue;
    Expected& project = expected[event.project];
    if (const auto found = there.find(event.key); found != there.end()) {
      ++project.hits;
      project.time_saved_ms += found->second;
    } else if (gone.contains(event.key)) {
      ++project.evicted;
    } else {
      ++project.never_seen;
    }
  }
  return expected;
}

KeyDigest trace_key(const Event& event) { return base::digest_of<KeyDigest>("trace " + event.key); }

class Replay {
 public:
  void run(const std::vector<Event>& events) {
    std::int64_t now_ms = 0;
    for (const Event& event : events) {
      store_.clock.advance(std::chrono::milliseconds(event.at_ms - now_ms));
      now_ms = event.at_ms;
      if (event.what == "lookup") look_up(event);
      if (event.what == "commit") commit(event);
      if (event.what == "evict") evict(event);
      if (event.what == "restart") {
        store_.cache->save_late_facts();
        store_.reopen();
      }
    }
    store_.make({}, "the end");
  }
  OpenStore& store() { return store_; }
  std::int64_t bytes_saved = 0;

 private:
  void look_up(const Event& event) {
    const std::vector<RecordId> results = store_.results(trace_key(event));
    const auto ref = results.empty() ? std::nullopt : must(store_.cache->find(results.front()));
    if (ref) bytes_saved += ref->info().usage.bytes;
    if (ref) return store_.cache->count(store_.cache->one_hit(*ref), {.project = event.project});
    const MissCause cause = gone_.contains(event.key) ? MissCause::evicted : MissCause::never_seen;
    store_.cache->count(one_miss(cause), {.project = event.project});
  }
  void commit(const Event& event) {
    Publication publication;
    const ImmutableRef ref =
        store_.commit(publication, {}, "out", std::string(event.bytes, 'x'),
                      {.owner = {.project = event.project}, .build_time = std::chrono::milliseconds(event.build_ms)});
    publication.add_result(trace_key(event), ref);
    must(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication)))));
  }
  // Everything else is held meanwhile.
  void evict(const Event& event) {
    const std::vector<RecordId> doomed = store_.results(trace_key(event));
    std::vector<ImmutableRef> held;
    must(store_.cache->each_record([&](const RecordInfo& info) -> base::Status {
      ids_.push_back(info.id);
      return {};
    }));
    for (const RecordId id : std::exchange(ids_, {}))
      if (std::find(doomed.begin(), doomed.end(), id) == doomed.end())
        if (auto ref = must(store_.cache->find(id))) held.push_back(std::move(*ref));
    if (must(store_.cache->prune({.all = true})).records.size() == doomed.size() && !doomed.empty())
      gone_.insert(event.key);
  }

  OpenStore store_;
  std::set<std::string> gone_;
  std::vector<RecordId> ids_;
};

TEST(Statistics, ARecordedTraceReplaysToExactlyItsNumbers) {
  const std::vector<Event> events = read_trace();
  ASSERT_GT(events.size(), 50u);
  Replay replay;
  replay.run(events);
  std::map<std::string, Expected> counted;
  std::int64_t bytes_saved = 0;
  for (const ProjectCounters& row : must(statistics(*replay.store().env, replay.store().root()))) {
    const Counters& counters = row.counters;
    counted[row.project] = {counters.hits, counters.misses[static_cast<std::size_t>(MissCause::never_seen)],
                            counters.misses[static_cast<std::size_t>(MissCause::evicted)],
                            std::chrono::duration_cast<std::chrono::milliseconds>(counters.time_saved).count()};
    bytes_saved += counters.bytes_saved;
  }
  EXPECT_EQ(counted, model(events));
  EXPECT_EQ(bytes_saved, replay.bytes_saved);
  EXPECT_GT(counted.at("alpha").hits, 5u) << "or the trace says nothing";
  EXPECT_GT(counted.at("beta").evicted, 0u);
}

}  // namespace
}  // namespace cairn::cache
