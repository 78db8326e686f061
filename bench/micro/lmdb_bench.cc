// SPDX-License-Identifier: Apache-2.0
// Durable updates through the group writer for 1, 8 and 64 callers that each wait for their own, and reads. Keys have
// 32 bytes and values 200, as rows named by digests do. TMPDIR decides which disk is measured.
#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/lmdb/group_writer.h"

namespace {

namespace base = cairn::base;
namespace lmdb = cairn::base::lmdb;

constexpr lmdb::TableSpec<std::string, std::string> rows{{"bench.rows", lmdb::Precious::ephemeral}};
constexpr std::array<const lmdb::RawTableSpec*, 1> tables{&rows};

class Store {
 public:
  Store() {
    const char* top = std::getenv("TMPDIR");
    std::string name = std::string(top != nullptr ? top : "/tmp") + "/cairn-bench-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    dir_ = name;
    env = lmdb::Env::open(base::HostPath::parse(name + "/meta").value(), tables, {}).value();
  }
  ~Store() {
    env.reset();
    std::filesystem::remove_all(dir_);
  }
  std::unique_ptr<lmdb::Env> env;

 private:
  std::string dir_;
};

std::string random_key(std::mt19937_64& random) {
  base::ByteWriter key;
  for (int i = 0; i < 4; ++i) key.u64(random());
  return key.take();
}

// One iteration: every caller makes updates_per_caller updates and waits for each to be durable.
void durable_updates(benchmark::State& bench) {
  constexpr int updates_per_caller = 100;
  const auto callers = static_cast<std::size_t>(bench.range(0));
  Store store;
  lmdb::GroupWriter writer(*store.env, nullptr, {});
  const std::uint64_t syncs_before = base::sync_counts().total();
  std::uint64_t round = 0;
  for (auto _ : bench) {
    ++round;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < callers; ++i)
      threads.emplace_back([&, i] {
        std::mt19937_64 random(round * 1000 + i);
        for (int j = 0; j < updates_per_caller; ++j) {
          lmdb::GroupWriter::Entry entry;
          entry.change = [key = random_key(random)](lmdb::WriteTxn& txn) {
            return txn.put_raw(rows, key, std::string(200, 'v'));
          };
          const base::Status status = writer.wait_durable(writer.enqueue(std::move(entry)).value());
          CHECK(status.has_value());
        }
      });
    for (std::thread& thread : threads) thread.join();
  }
  const auto updates = static_cast<double>(writer.counts().changes);
  bench.counters["updates_per_s"] = benchmark::Counter(updates, benchmark::Counter::kIsRate);
  bench.counters["syncs_per_update"] = static_cast<double>(base::sync_counts().total() - syncs_before) / updates;
}
BENCHMARK(durable_updates)->Arg(1)->Arg(8)->Arg(64)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// A stream of changes of which only the last is waited for: what a group costs beside its sync.
void queued_updates(benchmark::State& bench) {
  constexpr int updates = 5000;
  Store store;
  lmdb::GroupWriter writer(*store.env, nullptr, {});
  std::mt19937_64 random(1);
  for (auto _ : bench) {
    lmdb::SequenceNumber last = 0;
    for (int i = 0; i < updates; ++i) {
      lmdb::GroupWriter::Entry entry;
      entry.change = [key = random_key(random)](lmdb::WriteTxn& txn) {
        return txn.put_raw(rows, key, std::string(200, 'v'));
      };
      last = writer.enqueue(std::move(entry)).value();
    }
    CHECK(writer.wait_durable(last).has_value());
  }
  bench.counters["updates_per_s"] =
      benchmark::Counter(static_cast<double>(writer.counts().changes), benchmark::Counter::kIsRate);
}
BENCHMARK(queued_updates)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

std::vector<std::string> fill(lmdb::Env& env, int count) {
  std::mt19937_64 random(2);
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) keys.push_back(random_key(random));
  CHECK(env.update([&](lmdb::WriteTxn& txn) -> base::Status {
              for (const std::string& key : keys) TRY(txn.put_raw(rows, key, std::string(200, 'v')));
              return {};
            })
            .has_value());
  return keys;
}

// One view per get, by as many threads as the argument says.
void reads(benchmark::State& bench) {
  constexpr int gets_per_thread = 50'000;
  Store store;
  const std::vector<std::string> keys = fill(*store.env, 100'000);
  const auto readers = static_cast<std::size_t>(bench.range(0));
  double total = 0;
  for (auto _ : bench) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < readers; ++i)
      threads.emplace_back([&, i] {
        std::mt19937_64 random(i);
        for (int j = 0; j < gets_per_thread; ++j) {
          const std::string& key = keys[random() % keys.size()];
          const base::Status status = store.env->view([&](lmdb::ReadTxn& txn) -> base::Status {
            CHECK(TRY(txn.get_raw(rows, key)).has_value());
            return {};
          });
          CHECK(status.has_value());
        }
      });
    for (std::thread& thread : threads) thread.join();
    total += static_cast<double>(readers) * gets_per_thread;
  }
  bench.counters["reads_per_s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
}
BENCHMARK(reads)->Arg(1)->Arg(8)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void scans(benchmark::State& bench) {
  Store store;
  constexpr int count = 100'000;
  fill(*store.env, count);
  double total = 0;
  for (auto _ : bench) {
    std::size_t seen = 0;
    const base::Status status = store.env->view([&](lmdb::ReadTxn& txn) {
      return txn.scan_raw(rows, {}, {}, [&](std::string_view, std::string_view value) -> base::Result<lmdb::Scan> {
        seen += value.size() / 200;
        return lmdb::Scan::next;
      });
    });
    CHECK(status.has_value() && seen == count);
    total += count;
  }
  bench.counters["rows_per_s"] = benchmark::Counter(total, benchmark::Counter::kIsRate);
}
BENCHMARK(scans)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
