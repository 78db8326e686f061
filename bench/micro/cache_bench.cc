// SPDX-License-Identifier: Apache-2.0
// A store of 1,000,000 records (CAIRN_BENCH_RECORDS): a lookup that hits, with its hold, alone and beside a collection;
// du, a list of everything, opening, memory; and how many records a second can be published. Times of single lookups are
// taken one by one, because what matters is the slowest of them; once of all, and once without those in which the kernel
// gave the core to somebody else, so that a busy machine says something, too.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "bench/micro/bench_store.h"
#include "libbase/hash/sha256.h"
#include "libcache/account.h"
#include "libcache/inspect.h"

namespace {

using namespace cairn;
using bench::anonymous_bytes;
using bench::BenchStore;
using test::must;
using Clock = std::chrono::steady_clock;

std::uint64_t records_wanted() {
  const char* text = std::getenv("CAIRN_BENCH_RECORDS");
  return text ? std::strtoull(text, nullptr, 10) : 1'000'000;
}

KeyDigest key(std::uint64_t n) { return base::digest_of<KeyDigest>("key " + std::to_string(n)); }

// Filled once for all that only read it.
BenchStore& big_store() {
  static BenchStore store({.records = records_wanted()});
  return store;
}

bool look_up(BenchStore& store, std::uint64_t n) {
  bool hit = false;
  must(store.cache->keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
    const auto results = TRY(reader.results(test::big_store_key(n)));
    if (!results.empty()) hit = TRY(store.cache->find(results[0].record)).has_value();
    return {};
  }));
  return hit;
}

// What lookups took, one by one.
class Times {
 public:
  template <class F>
  void take(F&& f) {
    const long preempted = preemptions();
    const auto begin = Clock::now();
    f();
    const std::int64_t ns = std::chrono::nanoseconds(Clock::now() - begin).count();
    all_.push_back(ns);
    if (preemptions() == preempted) alone_.push_back(ns);
  }
  void report(benchmark::State& state) {
    report(state, all_, "");
    report(state, alone_, "alone_");
  }

 private:
  static long preemptions() {
    struct ::rusage used {};
    ::getrusage(RUSAGE_THREAD, &used);
    return used.ru_nivcsw;
  }
  static void report(benchmark::State& state, std::vector<std::int64_t>& ns, const std::string& prefix) {
    std::sort(ns.begin(), ns.end());
    const auto at = [&](double part) {
      return static_cast<double>(ns[static_cast<std::size_t>(part * static_cast<double>(ns.size() - 1))]) / 1000.0;
    };
    state.counters[prefix + "p50_us"] = at(0.50);
    state.counters[prefix + "p99_us"] = at(0.99);
    state.counters[prefix + "p99.9_us"] = at(0.999);
    state.counters[prefix + "max_us"] = at(1.0);
  }

  std::vector<std::int64_t> all_, alone_;
};

void lookup_with_hold(benchmark::State& state) {
  BenchStore& store = big_store();
  const std::uint64_t records = records_wanted();
  Times times;
  std::uint64_t n = 0;
  for (auto _ : state) {
    n = (n + 7919) % records;
    times.take([&] { CHECK(look_up(store, n)); });
  }
  times.report(state);
}
BENCHMARK(lookup_with_hold)->Unit(benchmark::kMicrosecond)->Iterations(200'000);

// Many lookups in one version of the store, as a solve does them.
void lookups_of_a_burst(benchmark::State& state) {
  BenchStore& store = big_store();
  const std::uint64_t records = records_wanted();
  std::uint64_t n = 0;
  for (auto _ : state)
    must(store.cache->keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
      for (std::uint64_t i = 0; i < 1000; ++i) {
        n = (n + 7919) % records;
        const auto results = TRY(reader.results(test::big_store_key(n)));
        CHECK(results.size() == 1);
        benchmark::DoNotOptimize(TRY(store.cache->find(results[0].record)));
      }
      return {};
    }));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 1000);
}
BENCHMARK(lookups_of_a_burst)->Unit(benchmark::kMicrosecond);

void du_summary(benchmark::State& state) {
  BenchStore& store = big_store();
  for (auto _ : state) benchmark::DoNotOptimize(must(cache::disk_usage(*store.env, store.root())));
}
BENCHMARK(du_summary)->Unit(benchmark::kMillisecond);

// What `du --by` and `top --by` read, for each dimension.
void top_by(benchmark::State& state) {
  BenchStore& store = big_store();
  const auto dimension = static_cast<cache::Dimension>(state.range(0));
  std::size_t lines = 0;
  for (auto _ : state) lines = must(cache::usage_by(*store.env, dimension)).shares.size();
  state.counters["lines"] = static_cast<double>(lines);
}
BENCHMARK(top_by)->ArgName("type_project_build_step")->DenseRange(0, 3)->Unit(benchmark::kMillisecond);

// What `who` reads for a key of which so many digits are given. With four, some fifteen keys begin so, and nine are read.
void who_by_digits(benchmark::State& state) {
  BenchStore& store = big_store();
  std::uint64_t n = 0;
  for (auto _ : state) {
    n = (n + 7919) % records_wanted();
    const std::string digits = test::big_store_key(n).str().substr(7, static_cast<std::size_t>(state.range(0)));
    const auto things = must(cache::find_named(*store.env, digits, 9));
    CHECK(!things.empty());
    for (const cache::RecordId id : things.front().records) benchmark::DoNotOptimize(must(cache::find_record(*store.env, id)));
  }
}
BENCHMARK(who_by_digits)->ArgName("digits")->Arg(4)->Arg(64)->Unit(benchmark::kMicrosecond);

// What the records of a store take in LMDB's file (CAIRN_BENCH_RECORDS=50000 is the size of the budget).
void metadata_on_disk(benchmark::State& state) {
  BenchStore& store = big_store();
  std::int64_t bytes = 0;
  for (auto _ : state) bytes = must(cache::disk_usage(*store.env, store.root())).metadata_bytes;
  state.counters["bytes"] = static_cast<double>(bytes);
  state.counters["bytes_per_record"] = static_cast<double>(bytes) / static_cast<double>(records_wanted());
}
BENCHMARK(metadata_on_disk)->Unit(benchmark::kMillisecond)->Iterations(1);

void list_all(benchmark::State& state) {
  BenchStore& store = big_store();
  std::uint64_t seen = 0;
  for (auto _ : state)
    must(cache::each_record(*store.env, store.root(), [&](const cache::RecordInfo& info) -> base::Status {
      seen += info.id ? 1 : 0;
      return {};
    }));
  state.SetItemsProcessed(static_cast<std::int64_t>(seen));
}
BENCHMARK(list_all)->Unit(benchmark::kMillisecond)->Iterations(3);

// The store is closed and opened again.
void open_and_first_hit(benchmark::State& state) {
  BenchStore& store = big_store();
  std::uint64_t n = 1;
  for (auto _ : state) {
    state.PauseTiming();
    store.close();
    state.ResumeTiming();
    store.open_env();
    store.open_cache();
    CHECK(look_up(store, n = (n + 7919) % records_wanted()));
  }
}
BENCHMARK(open_and_first_hit)->Unit(benchmark::kMillisecond)->Iterations(20);

// Anonymous memory that a process which has just begun takes with the store open, beside what it took before: after du, a
// list of everything and 1,000 hits; and after a hit on every record, each of which is a use that waits to be written.
struct Memory {
  std::int64_t open = 0, all_hit = 0;
};
constexpr const char* memory_variable = "CAIRN_BENCH_MEMORY_OF";

void print_memory_of(const std::string& root) {
  const std::int64_t before = anonymous_bytes();
  BenchStore store(must(base::HostPath::parse(root)));
  benchmark::DoNotOptimize(must(store.cache->disk_usage()));
  must(store.cache->each_record([](const cache::RecordInfo&) { return base::Status(); }));
  for (std::uint64_t n = 0; n < 1000; ++n) CHECK(look_up(store, n));
  const std::int64_t open = anonymous_bytes() - before;
  for (std::uint64_t n = 0; n < records_wanted(); ++n) CHECK(look_up(store, n));
  std::printf("%lld %lld\n", static_cast<long long>(open), static_cast<long long>(anonymous_bytes() - before));
}

void anonymous_memory(benchmark::State& state) {
  BenchStore& store = big_store();
  store.close();
  Memory memory;
  for (auto _ : state) {
    const std::string command = std::string(memory_variable) + "=" + store.root().str() + " /proc/" + std::to_string(::getpid()) + "/exe";
    FILE* const child = ::popen(command.c_str(), "r");
    CHECK(child != nullptr);
    long long open = 0, all_hit = 0;
    CHECK(std::fscanf(child, "%lld %lld", &open, &all_hit) == 2);
    CHECK(::pclose(child) == 0);
    memory = {open, all_hit};
  }
  store.open_env();
  store.open_cache();
  const auto records = static_cast<double>(records_wanted());
  state.counters["bytes_per_record"] = static_cast<double>(memory.open) / records;
  state.counters["bytes_per_record_all_hit"] = static_cast<double>(memory.all_hit) / records;
}
BENCHMARK(anonymous_memory)->Unit(benchmark::kMillisecond)->Iterations(1);

// An owner that is killed in the middle of 16 steps, with readers: what it leaves is cleaned up by whoever opens next.
void leave_a_dead_owner(BenchStore& store) {
  int ready[2];
  CHECK(::pipe2(ready, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  CHECK(child >= 0);
  if (child == 0) {
    store.open_env();
    store.open_cache();
    std::vector<cache::MutableRef> trees;
    for (std::uint64_t i = 0; i < 16; ++i) {
      CHECK(look_up(store, i * 4 + 1));
      cache::MutableRef& tree = trees.emplace_back(must(store.cache->create({})));
      const auto mounted = must(tree.mount(snapshot::Access::read_write));
      for (const char* name : {"a", "b", "c", "d"}) {
        const auto file = must(base::open_beneath(mounted.fd(), must(base::TreePath::parse(name)), O_CREAT | O_WRONLY, 0644));
        must(base::write_full(file.get(), std::string_view("what a step has written so far")));
      }
    }
    must(store.env->view([&](base::lmdb::ReadTxn&) -> base::Status {
      CHECK(::write(ready[1], "x", 1) == 1);
      while (true) ::pause();
    }));
  }
  char byte = 0;
  ::close(ready[1]);
  CHECK(::read(ready[0], &byte, 1) == 1, "the owner that is to be killed has ended");
  ::close(ready[0]);
  CHECK(::kill(child, SIGKILL) == 0 && ::waitpid(child, nullptr, 0) == child);
}

void open_and_first_hit_after_a_kill(benchmark::State& state) {
  BenchStore& store = big_store();
  std::uint64_t n = 1;
  for (auto _ : state) {
    state.PauseTiming();
    store.close();
    leave_a_dead_owner(store);
    state.ResumeTiming();
    store.open_env();
    store.open_cache();
    CHECK(look_up(store, n = (n + 7919) % records_wanted()));
  }
}
BENCHMARK(open_and_first_hit_after_a_kill)->Unit(benchmark::kMillisecond)->Iterations(10);

void publish_records(benchmark::State& state) {
  BenchStore store;
  std::uint64_t n = 0;
  for (auto _ : state) {
    base::lmdb::SequenceNumber last = 0;
    for (int i = 0; i < 100; ++i) {
      cache::Publication publication;
      cache::MutableRef tree = must(store.cache->create({}));
      publication.add_result(key(++n), must(std::move(tree).commit(publication, {})));
      last = must(store.cache->publish(std::move(publication)));
    }
    must(store.writer->wait_durable(last));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 100);
}
BENCHMARK(publish_records)->Unit(benchmark::kMillisecond);

// Takes 1 % of the store by a ceiling, as the collector would.
std::uint64_t collect_one_percent(BenchStore& store, std::stop_token stop) {
  const cache::DiskUsage usage = must(store.cache->disk_usage());
  cache::Policy policy;
  cache::PolicyRule rule;
  rule.ceiling = cache::Space::bytes(static_cast<std::uint64_t>(usage.live_bytes() - usage.tree_bytes / 100));
  policy.rules = {rule};
  const auto report = store.cache->prune({.policy = policy}, std::move(stop));
  CHECK(report || report.error().code == base::ErrorCode::cancelled);
  return report ? report->records.size() : 0;
}

// Last, for it takes from the store: lookups while one collection follows the other. Misses are what has gone.
void lookup_during_collection(benchmark::State& state) {
  BenchStore& store = big_store();
  const std::uint64_t records = records_wanted();
  std::stop_source stop;
  std::atomic<std::uint64_t> removed{0};
  std::thread collector([&] {
    while (!stop.stop_requested()) removed += collect_one_percent(store, stop.get_token());
  });
  Times times;
  std::uint64_t n = 0, hits = 0;
  for (auto _ : state) {
    n = (n + 7919) % records;
    times.take([&] { hits += look_up(store, n) ? 1 : 0; });
  }
  stop.request_stop();
  collector.join();
  state.counters["removed"] = static_cast<double>(removed);
  state.counters["hits"] = static_cast<double>(hits);
  times.report(state);
}
BENCHMARK(lookup_during_collection)->Unit(benchmark::kMicrosecond)->Iterations(200'000);

}  // namespace

int main(int argc, char** argv) {
  if (const char* root = std::getenv(memory_variable)) return print_memory_of(root), 0;
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
