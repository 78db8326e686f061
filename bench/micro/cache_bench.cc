// SPDX-License-Identifier: Apache-2.0
// A lookup that hits, with its hold, in a store of 100,000 records; and how many records a second can be published.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libcache/cache.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/record_rows.h"
#include "libsnapshot/open.h"

namespace {

using namespace cairn;

template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  return std::move(*result);
}
void must(const base::Status& status) { CHECK(status.has_value(), "{}", status.error().message); }

KeyDigest key(std::uint64_t n) { return base::digest_of<KeyDigest>("key " + std::to_string(n)); }

class BenchStore {
 public:
  BenchStore() : root_(make_root()) {
    std::vector<const base::lmdb::RawTableSpec*> tables(snapshot::tables().begin(), snapshot::tables().end());
    tables.insert(tables.end(), cache::tables().begin(), cache::tables().end());
    env = must(base::lmdb::Env::open(root_ / "meta", tables, {}));
    snapshots = must(snapshot::open(root_, *env, {}));
    const auto sync = [this](std::span<const base::lmdb::DataToken> tokens) { return snapshots->sync(tokens); };
    writer = std::make_unique<base::lmdb::GroupWriter>(*env, sync, base::lmdb::GroupWriter::Options{});
    cache = must(cache::Cache::open(root_, *env, *writer, *snapshots, clock_));
  }
  ~BenchStore() {
    cache.reset();
    writer.reset();
    snapshots.reset();
    env.reset();
    const base::Fd tmp = must(base::open_host_dir(must(base::HostPath::parse("/tmp"))));
    must(base::remove_all_beneath(tmp.get(), must(base::TreePath::parse(root_.str().substr(5)))));
  }

  // Rows only: lookups and holds never touch a tree.
  void insert_rows(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t from = first; from < first + count; from += 5000)
      must(env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
        for (std::uint64_t id = from; id < from + 5000; ++id) {
          cache::RecordRow row;
          row.snapshot = snapshot::SnapshotId(id);
          row.facts.description = "exec step number " + std::to_string(id);
          TRY(txn.put(cache::table::records, cache::RecordId(id), row));
          TRY(cache::put_result(txn, key(id), cache::RecordId(id), {}));
        }
        return {};
      }));
  }

  std::unique_ptr<base::lmdb::Env> env;
  std::unique_ptr<snapshot::Snapshotter> snapshots;
  std::unique_ptr<base::lmdb::GroupWriter> writer;
  std::unique_ptr<cache::Cache> cache;

 private:
  static base::HostPath make_root() {
    std::string name = "/tmp/cairn-bench-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    return must(base::HostPath::parse(name));
  }
  base::HostPath root_;
  base::SystemClock clock_;
};

constexpr std::uint64_t first_id = 1'000'000, records = 100'000;

void lookup_with_hold(benchmark::State& state) {
  BenchStore store;
  store.insert_rows(first_id, records);
  std::uint64_t n = 0;
  const auto lookups_per_read = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state)
    must(store.cache->keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
      for (std::uint64_t i = 0; i < lookups_per_read; ++i) {
        n = (n + 7919) % records;
        const auto results = TRY(reader.results(key(first_id + n)));
        CHECK(results.size() == 1);
        benchmark::DoNotOptimize(TRY(store.cache->find(results[0].record)));
      }
      return {};
    }));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * lookups_per_read));
}
BENCHMARK(lookup_with_hold)->Arg(1)->Arg(1000)->Unit(benchmark::kMicrosecond);

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

}  // namespace

BENCHMARK_MAIN();
