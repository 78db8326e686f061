// SPDX-License-Identifier: Apache-2.0
// Traces: what is recorded comes back, costs nothing while it is off, and keeps to its bound; and a replay says what a
// real store with that policy would have done, hit by hit.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <random>

#include "libcache/trace.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

constexpr std::int64_t kib = 1024;
// Much is made durable here, and how fast the disk is shall not matter.
const base::HostPath memory = must(base::HostPath::parse("/dev/shm"));

TracedSolve a_solve() {
  TracedSolve solve;
  solve.started = base::from_unix_ns(1'700'000'000'000'000'123);
  solve.duration = std::chrono::milliseconds(12);
  solve.project = "shop";
  solve.other_bytes = 12345;
  solve.lookups.push_back({TracedLookup::Ended::made, RecordId(7), {1, 2}, {}});
  solve.lookups.push_back({TracedLookup::Ended::not_asked, RecordId(), {UINT64_MAX}, {{0, true}}});
  solve.lookups.push_back({TracedLookup::Ended::hit, RecordId(1ull << 40), {}, {{0, false}, {1, true}}});
  return solve;
}
TracedRecord a_record(std::uint64_t id) {
  return {RecordId(id),
          RecordType::source_git_checkout,
          4096,
          std::chrono::seconds(3),
          base::from_unix_ns(5),
          9,
          "make \xff it",
          {RecordId(id + 1)},
          {3, 4, 5}};
}

TEST(TraceFile, ComesBackWhole) {
  const std::string bytes = trace_header(1 << 20) + trace_row({a_record(1), a_record(4)}, Met::at_begin) +
                            trace_row(a_solve()) + trace_row({a_record(9)});
  const Trace trace = must(parse_trace(bytes));
  EXPECT_EQ(trace.records, (std::vector<TracedRecord>{a_record(1), a_record(4), a_record(9)}));
  EXPECT_EQ(trace.solves, std::vector<TracedSolve>{a_solve()});
  EXPECT_EQ(trace.present, 2u);
  EXPECT_EQ(trace.unread_bytes, 0u);
}

TEST(TraceFile, ThatIsCutOffSaysHowMuchIsMissing) {
  const std::string whole = trace_header(1 << 20) + trace_row(a_solve());
  const std::string bytes = whole + trace_row(a_solve());
  for (std::size_t size = whole.size(); size < bytes.size(); ++size) {
    const Trace trace = must(parse_trace(std::string_view(bytes).substr(0, size)));
    ASSERT_EQ(trace.solves.size(), 1u) << size;
    ASSERT_EQ(trace.unread_bytes, size - whole.size());
  }
  std::string damaged = bytes;
  damaged[damaged.size() - 20] = static_cast<char>(damaged[damaged.size() - 20] ^ 1);
  EXPECT_EQ(must(parse_trace(damaged)).solves.size(), 1u);
}

TEST(TraceFile, OfAnotherVersionOrNoneIsRefused) {
  for (const char* text : {"", "cairn", "cairn trace 2\n01234567", "cairn trace 1\n", "hello, world, here I am"}) {
    const auto trace = parse_trace(text);
    ASSERT_FALSE(trace) << text;
    EXPECT_EQ(trace.error().code, base::ErrorCode::invalid_argument);
  }
}

TEST(TraceFile, ARowThatIsWholeAndMakesNoSenseIsCorrupt) {
  TracedSolve solve = a_solve();
  solve.lookups[2].inputs[0].lookup = 3;
  const auto trace = parse_trace(trace_header(1 << 20) + trace_row(solve));
  ASSERT_FALSE(trace);
  EXPECT_EQ(trace.error().code, base::ErrorCode::corrupt);
  EXPECT_NE(trace.error().message.find("input 3 of 3 lookups"), std::string::npos) << trace.error().message;
}

TEST(TraceRecorder, KeepsNothingUntilItIsSwitchedOnAndWhatIsThereThen) {
  OpenStore store;
  const ImmutableRef base = store.make({}, "base", key(1), {.build_time = std::chrono::seconds(2)});
  TraceRecorder recorder(store.root(), *store.env);
  EXPECT_FALSE(recorder.is_on());
  EXPECT_FALSE(must(trace_standing(store.root())));
  ASSERT_OK(begin_trace(*store.env, store.root()));
  EXPECT_TRUE(recorder.is_on());
  EXPECT_EQ(begin_trace(*store.env, store.root()).error().code, base::ErrorCode::busy);
  const ImmutableRef next = store.make(base, "next", key(2));
  TracedSolve solve;
  solve.lookups.push_back({TracedLookup::Ended::made, next.id(), {traced(key(2))}, {}});
  recorder.add(solve);
  recorder.add(solve);
  const base::HostPath file = store.root() / "kept.trace";
  ASSERT_OK(end_trace(store.root(), file));
  EXPECT_FALSE(recorder.is_on());
  EXPECT_EQ(end_trace(store.root(), file).error().code, base::ErrorCode::not_found);
  const Trace trace = must(parse_trace(must(base::read_file(file, 1 << 20))));
  EXPECT_EQ(trace.present, 1u);
  ASSERT_EQ(trace.records.size(), 2u) << "each record once";
  EXPECT_EQ(trace.records[0].id, base.id());
  EXPECT_EQ(trace.records[0].build_time, std::chrono::seconds(2));
  EXPECT_EQ(trace.records[0].keys, std::vector<TracedKey>{traced(key(1))});
  EXPECT_EQ(trace.records[1].parents, std::vector<RecordId>{base.id()});
  EXPECT_GT(trace.records[1].bytes, 0);
  ASSERT_EQ(trace.solves.size(), 2u);
  for (const TracedSolve& each : trace.solves) {
    EXPECT_EQ(each.lookups, solve.lookups);
    EXPECT_GT(each.other_bytes, 0);
  }
  EXPECT_EQ(recorder.dropped(), 0u);
}

TEST(TraceRecorder, KeepsToItsBoundAndCountsWhatItLeavesOut) {
  OpenStore store;
  ASSERT_OK(begin_trace(*store.env, store.root(), 300));
  TraceRecorder recorder(store.root(), *store.env);
  for (int i = 0; i < 10; ++i) recorder.add(a_solve());
  const auto standing = must(trace_standing(store.root()));
  ASSERT_TRUE(standing);
  EXPECT_LE(standing->bytes, 300u);
  EXPECT_EQ(standing->bytes_max, 300u);
  const Trace trace = must(parse_trace(must(base::read_file(store.root() / "trace", 1 << 20))));
  EXPECT_GT(trace.solves.size(), 0u);
  EXPECT_EQ(trace.solves.size() + recorder.dropped(), 10u);
  EXPECT_EQ(begin_trace(*store.env, store.root(), 0).error().code, base::ErrorCode::invalid_argument);
}

TEST(TraceRecorder, GoesOnBehindWhatACrashHasLeftHalf) {
  OpenStore store;
  ASSERT_OK(begin_trace(*store.env, store.root()));
  TraceRecorder(store.root(), *store.env).add(a_solve());
  const base::Fd file = must(base::open_host(store.root() / "trace", O_WRONLY | O_APPEND));
  must(base::write_full(file.get(), std::string_view(trace_row(a_solve())).substr(0, 30)));
  TraceRecorder(store.root(), *store.env).add(a_solve());
  EXPECT_EQ(must(parse_trace(must(base::read_file(store.root() / "trace", 1 << 20)))).solves.size(), 2u);
}

const DiskSpace roomy{.total_bytes = 1ll << 40, .free_bytes = 1ll << 40};

// A build of things in chains: each solve asks for the ends of some chains, and makes what is not there from where it
// ends. What is popular is asked for often. The trees of every second chain are not built on one another, as what is
// compiled is not built on its sources. The same seed asks for the same.
class Workload {
 public:
  static constexpr int solves = 120, chains = 24, length = 3;

  // What each solve asks for.
  static std::vector<std::vector<int>> requests() {
    std::mt19937 random(7);
    std::vector<std::vector<int>> all;
    for (int i = 0; i < solves; ++i) {
      std::vector<int>& ends = all.emplace_back();
      for (int n = 0; n < 4; ++n) {
        const int chain = static_cast<int>(std::min(random() % chains, random() % chains));
        if (std::find(ends.begin(), ends.end(), chain) == ends.end()) ends.push_back(chain);
      }
    }
    return all;
  }

  Workload(OpenStore& store, std::optional<PruneOptions> after_each)
      : store_(store), prune_(std::move(after_each)), recorder_(store.root(), *store.env) {}
  // Hits and lookups of each solve.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> run() {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ended;
    for (const std::vector<int>& ends : requests()) {
      store_.clock.advance(std::chrono::minutes(3));
      TracedSolve solve;
      solve.started = store_.clock.now();
      hits_ = lookups_ = 0;
      // As a solver does: everything is looked for before something is made.
      std::vector<int> found;
      for (const int chain : ends) found.push_back(look(chain));
      for (std::size_t n = 0; n < ends.size(); ++n) make_from(ends[n], found[n], solve);
      if (recorder_.is_on()) recorder_.add(solve);
      held_.clear();
      found_.clear();
      collect();
      ended.emplace_back(hits_, lookups_);
    }
    return ended;
  }

 private:
  // Down the chain to what is there: its place, or -1.
  int look(int chain) {
    for (int at = length - 1; at >= 0; --at) {
      ++lookups_;
      const std::vector<RecordId> results = store_.results(key(chain * length + at));
      store_.clock.advance(std::chrono::microseconds(1));
      const auto found = results.empty() ? std::nullopt : must(store_.cache->find(results.front()));
      if (!found) continue;
      found_.insert_or_assign(chain, *found);
      ++hits_;
      return at;
    }
    return -1;
  }
  void make_from(int chain, int found, TracedSolve& solve) {
    std::optional<ImmutableRef> last;
    for (int at = 0; at < length; ++at) {
      const int name = chain * length + at;
      if (at < found) {
        solve.lookups.push_back(traced_as(TracedLookup::Ended::not_asked, {}, name, at, solve));
        continue;
      }
      last = at == found ? found_.at(chain) : make(name, last);
      held_.push_back(*last);
      solve.lookups.push_back(
          traced_as(at == found ? TracedLookup::Ended::hit : TracedLookup::Ended::made, last->id(), name, at, solve));
    }
  }
  ImmutableRef make(int name, const std::optional<ImmutableRef>& parent) {
    store_.clock.advance(std::chrono::microseconds(1));
    Publication publication;
    // No two cost the same by their size, so that both runs have one order.
    const bool is_stacked = name / length % 2 == 0;
    ImmutableRef made = store_.commit(publication, is_stacked ? parent : std::nullopt, std::to_string(name),
                                      std::string(static_cast<std::size_t>((1 + name % 7) * 96 * kib), 'x'),
                                      {.build_time = std::chrono::milliseconds(1000 + 7919ll * name % 60'013)});
    publication.add_result(key(name), made);
    if (parent) publication.add_link({.from = key(name - 1)}, key(name));
    must(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication)))));
    collect();
    return made;
  }
  static TracedLookup traced_as(TracedLookup::Ended ended, RecordId id, int name, int at, const TracedSolve& solve) {
    TracedLookup lookup{ended, id, {traced(key(name))}, {}};
    if (at > 0) lookup.inputs.push_back({static_cast<std::uint32_t>(solve.lookups.size() - 1), false});
    return lookup;
  }
  // A store this small is half journal and metadata, and those of two stores differ; so the ceiling is for what records
  // have.
  void collect() {
    if (!prune_) return;
    std::int64_t of_records = 0;
    must(store_.cache->each_record([&](const RecordInfo& info) -> base::Status {
      of_records += info.space.exclusive_bytes;
      return {};
    }));
    PruneOptions options = *prune_;
    PolicyRule& rule = options.policy->rules.front();
    const auto others = must(store_.cache->disk_usage()).live_bytes() - of_records;
    rule.ceiling = Space::bytes(static_cast<std::uint64_t>(*rule.ceiling.on(roomy) + others));
    must(store_.cache->prune(options));
  }

  OpenStore& store_;
  std::optional<PruneOptions> prune_;
  TraceRecorder recorder_;
  std::vector<ImmutableRef> held_;
  std::map<int, ImmutableRef> found_;  // by chain
  std::uint64_t hits_ = 0, lookups_ = 0;
};

Policy within(PolicyOrder order, std::int64_t size) {
  Policy policy;
  policy.order = order;
  PolicyRule rule{.name = "size", .floor = Space::bytes(0), .all = true};
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(size));
  policy.rules.push_back(std::move(rule));
  return policy;
}

double rate(const std::vector<std::pair<std::uint64_t, std::uint64_t>>& solves, std::size_t from) {
  std::uint64_t hits = 0, lookups = 0;
  for (std::size_t i = from; i < solves.size(); ++i) hits += solves[i].first, lookups += solves[i].second;
  return 100.0 * static_cast<double>(hits) / static_cast<double>(lookups);
}

// One trace of a store in which everything stays.
Trace record_roomy() {
  const test::TempDir dir(memory);
  OpenStore store("overlay", dir.path());
  must(begin_trace(*store.env, store.root()));
  Workload(store, std::nullopt).run();
  return must(parse_trace(must(base::read_file(store.root() / "trace", 64 << 20))));
}

TEST(Replay, PredictsTheHeldOutHalfOfATraceWithinOnePoint) {
  Trace trace = record_roomy();
  for (TracedSolve& solve : trace.solves) solve.other_bytes = 0;
  const Replayer replayer(trace);
  const auto everything = must(replayer.run({}));
  ASSERT_GT(everything.bytes_last, 0);
  EXPECT_EQ(everything.taken, 0u);
  EXPECT_EQ(everything.made_again, 0u);
  constexpr std::size_t held_out = Workload::solves / 2;
  for (const PolicyOrder order : {PolicyOrder::lru, PolicyOrder::cost}) {
    for (const int part : {4, 2}) {
      const std::int64_t size = everything.bytes_last / part;
      const test::TempDir dir(memory);
      OpenStore store("overlay", dir.path());
      const auto real = Workload(store, PruneOptions{.policy = within(order, size), .disk = roomy}).run();
      ReplayOptions options{.size = size, .disk = roomy, .counted_from = held_out};
      options.policy.order = order;
      const ReplayReport predicted = must(replayer.run(options));
      const double really = rate(real, held_out);
      std::printf("order %d, 1/%d of everything: predicted %.2f %%, really %.2f %%\n", static_cast<int>(order), part,
                  100 * predicted.hit_rate(), really);
      EXPECT_NEAR(100 * predicted.hit_rate(), really, 1.0);
      EXPECT_LT(really, 99.0) << "or nothing is shown";
      EXPECT_LE(predicted.bytes_last, size);
      EXPECT_GT(predicted.made_again, 0u);
    }
  }
}

// The other way: a trace of a small store says what a large one would have done.
TEST(Replay, OfASmallStoreSaysWhatALargeOneWouldHaveHad) {
  const auto everything = must(Replayer(record_roomy()).run({}));
  const test::TempDir dir(memory);
  OpenStore store("overlay", dir.path());
  must(begin_trace(*store.env, store.root()));
  Workload(store, PruneOptions{.policy = within(PolicyOrder::lru, everything.bytes_last / 3), .disk = roomy}).run();
  const Trace trace = must(parse_trace(must(base::read_file(store.root() / "trace", 64 << 20))));
  const auto large = must(Replayer(trace).run({}));
  EXPECT_EQ(large.lookups, everything.lookups);
  EXPECT_EQ(large.hits, everything.hits);
  EXPECT_EQ(large.bytes_last, everything.bytes_last);
  EXPECT_EQ(large.building, everything.building);
}

TEST(Replay, KeepsWhatAPolicyPinsAndTakesWhatIsOld) {
  Trace trace;
  const auto add = [&](std::uint64_t id, const char* description) {
    trace.records.push_back(
        {RecordId(id), RecordType::regular, 100 * kib, std::chrono::seconds(1), {}, 0, description, {}, {id}});
  };
  add(1, "keep me");
  add(2, "a");
  add(3, "b");
  for (const std::uint64_t id : {1, 2, 3, 1, 2}) {
    TracedSolve solve;
    solve.started = base::from_unix_ns(1'700'000'000'000'000'000) + std::chrono::hours(24 * trace.solves.size());
    solve.lookups.push_back(
        {trace.solves.size() < 3 ? TracedLookup::Ended::made : TracedLookup::Ended::hit, RecordId(id), {id}, {}});
    trace.solves.push_back(solve);
  }
  ReplayOptions options{.size = 200 * kib};
  options.policy.order = PolicyOrder::lru;
  const ReplayReport lru = must(Replayer(trace).run(options));
  EXPECT_EQ(lru.hits, 0u) << "each takes the place of the one that is asked for next";
  EXPECT_EQ(lru.made_again, 2u);
  EXPECT_EQ(lru.rebuilding, std::chrono::seconds(2));
  EXPECT_EQ(lru.bytes_most, 300 * kib) << "before something was taken for it";
  options.policy.pins.push_back(must(RecordFilter::parse("description==\"keep me\"")));
  const ReplayReport pinned = must(Replayer(trace).run(options));
  EXPECT_EQ(pinned.hits, 1u);
  ReplayOptions aged;
  PolicyRule rule;
  rule.unused_for = std::chrono::hours(36);
  aged.policy.rules.push_back(std::move(rule));
  const ReplayReport old = must(Replayer(trace).run(aged));
  EXPECT_EQ(old.hits, 0u);
  EXPECT_EQ(old.over_time.size(), 5u);
}

// A circle of parents can be in a file that somebody has made up; a replay must end all the same.
TEST(Replay, EndsWhateverATraceSays) {
  Trace trace;
  trace.records.push_back({RecordId(1), RecordType::regular, 10 * kib, {}, {}, 0, "", {RecordId(2)}, {1}});
  trace.records.push_back(
      {RecordId(2), RecordType::regular, 10 * kib, {}, {}, 0, "", {RecordId(1), RecordId(2), RecordId(9)}, {2}});
  TracedSolve solve;
  solve.lookups.push_back({TracedLookup::Ended::made, RecordId(1), {}, {{0, true}}});
  solve.lookups.push_back({TracedLookup::Ended::made, RecordId(2), {1, 2}, {{1, false}, {0, true}}});
  trace.solves = {solve, solve};
  const ReplayReport report = must(Replayer(trace).run({.size = 1}));
  EXPECT_GT(report.lookups, 0u);
  EXPECT_FALSE(Replayer(trace).run({.size = -1}));
}

}  // namespace
}  // namespace cairn::cache
