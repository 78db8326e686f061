// SPDX-License-Identifier: Apache-2.0
// The digest of a source tree of 80,000 files beside the plainest program that reads it: walk, read, SHA-256, two threads.
// The tree is made below CAIRN_BENCH_DIR (default /tmp) with the shape of a kernel's sources: 1.3 GB in 5,000 directories,
// half of the files below 5 KB, and read once before the first measurement, so that all of it is in the page cache.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/micro/source_tree.h"
#include "libbase/fs/fd.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libcache/cache.h"
#include "libcache/stat_cache.h"
#include "libcache/tree_digest.h"
#include "libsnapshot/open.h"

namespace {

using namespace cairn;

using bench::must;
using bench::SourceTree;

const SourceTree& source_tree() {
  static const SourceTree tree;
  return tree;
}

constexpr auto files = static_cast<std::int64_t>(SourceTree::directories * SourceTree::files_each);

// What nobody could do without: every name looked at once, every byte read and hashed.
std::uint64_t read_plainly(const std::string& top) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
    struct ::stat status;
    CHECK(::lstat(entry.path().c_str(), &status) == 0);
    if (S_ISREG(status.st_mode)) paths.push_back(entry.path());
  }
  std::atomic<std::size_t> next = 0;
  std::atomic<std::uint64_t> total = 0;
  const auto work = [&] {
    base::Sha256 hash;
    std::vector<std::byte> buffer(128 << 10);
    for (std::size_t i = next++; i < paths.size(); i = next++) {
      const base::Fd fd = must(base::open_host(must(base::HostPath::parse(paths[i])), O_RDONLY));
      while (const std::size_t got = must(base::read_full(fd.get(), buffer))) {
        hash.update(std::span<const std::byte>(buffer).first(got));
        total += got;
      }
      benchmark::DoNotOptimize(hash.finish());
    }
  };
  std::jthread other(work);
  work();
  other.join();
  return total;
}

void plain_walk_read_hash(benchmark::State& state) {
  const std::string top = source_tree().path().str();
  read_plainly(top);
  std::uint64_t bytes = 0;
  for (auto _ : state) bytes += read_plainly(top);
  state.SetItemsProcessed(state.iterations() * files);
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
BENCHMARK(plain_walk_read_hash)->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime()->MinTime(3);

void first_digest(benchmark::State& state) {
  const base::HostPath& top = source_tree().path();
  cache::DigestCounts counts;
  for (auto _ : state) must(cache::digest_directory(top, {}, &counts));
  state.SetItemsProcessed(state.iterations() * files);
  state.SetBytesProcessed(static_cast<std::int64_t>(counts.bytes_read));
}
BENCHMARK(first_digest)->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime()->MinTime(3);

// As digest_bench is run on a tree that is seconds old, the clock is put ahead, so that its files are old enough to be
// trusted.
class LaterClock final : public base::Clock {
 public:
  base::WallTime now() const override { return base::SystemClock().now() + std::chrono::hours(1); }
  std::chrono::steady_clock::time_point steady_now() const override { return base::SystemClock().steady_now(); }
};

class BenchEnv {
 public:
  BenchEnv() : dir_(must(base::TemporaryDir::create(must(base::HostPath::parse("/tmp")), "cairn-bench-"))) {
    std::vector<const base::lmdb::RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
    all.insert(all.end(), cache::tables().begin(), cache::tables().end());
    env = must(base::lmdb::Env::open(dir_.path() / "meta", all, {}));
    snapshots = must(snapshot::open(dir_.path(), *env, {}));
    const auto sync = [this](std::span<const base::lmdb::DataToken> tokens) { return snapshots->sync(tokens); };
    writer = std::make_unique<base::lmdb::GroupWriter>(*env, sync, base::lmdb::GroupWriter::Options{});
    cache = must(cache::Cache::open(dir_.path(), *env, *writer, *snapshots, clock));
  }
  ~BenchEnv() {
    cache.reset();
    writer.reset();
    snapshots.reset();
    env.reset();
  }
  void settle() {
    base::lmdb::GroupWriter::Entry entry;
    entry.change = [](base::lmdb::WriteTxn&) -> base::Status { return {}; };
    must(writer->wait_durable(must(writer->enqueue(std::move(entry)))));
  }
  cache::ImmutableRef make(std::optional<cache::ImmutableRef> parent, const std::function<void(const std::string&)>& edit) {
    cache::Publication publication;
    cache::MutableRef tree = must(cache->create(std::move(parent)));
    {
      const auto mount = must(tree.mount(snapshot::Access::read_write));
      edit("/proc/self/fd/" + std::to_string(mount.fd()));
    }
    const cache::ImmutableRef ref = must(std::move(tree).commit(publication, {}));
    must(writer->wait_durable(must(cache->publish(std::move(publication)))));
    return ref;
  }

  LaterClock clock;
  std::unique_ptr<base::lmdb::Env> env;
  std::unique_ptr<snapshot::Snapshotter> snapshots;
  std::unique_ptr<base::lmdb::GroupWriter> writer;
  std::unique_ptr<cache::Cache> cache;

 private:
  base::TemporaryDir dir_;
};

// The second digest of a tree in which nothing has changed: no file is opened.
void unchanged_digest(benchmark::State& state) {
  const base::HostPath& top = source_tree().path();
  BenchEnv store;
  const auto digest = [&](cache::DigestCounts& counts) {
    cache::StatCache stats(*store.env, store.writer.get(), store.clock);
    must(cache::digest_directory(top, {}, &counts, {}, &stats));
  };
  cache::DigestCounts first;
  digest(first);
  store.settle();
  cache::DigestCounts counts;
  for (auto _ : state) digest(counts);
  CHECK(counts.files_opened == 0, "{} files opened", counts.files_opened);
  state.SetItemsProcessed(state.iterations() * files);
}
BENCHMARK(unchanged_digest)->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime()->MinTime(1);

// One file of a snapshot changes; the digest of the child, its mounts and the change stream included. The tree has as many
// directories as the argument says, of 16 files each, 32 directories in one.
void one_file_changed(benchmark::State& state) {
  BenchEnv store;
  const auto directories = static_cast<int>(state.range(0));
  const auto directory_of = [](int d) { return "/" + std::to_string(d / 32) + "/" + std::to_string(d % 32); };
  const cache::ImmutableRef base = store.make({}, [&](const std::string& top) {
    for (int d = 0; d < directories; ++d) {
      std::filesystem::create_directories(top + directory_of(d));
      for (int f = 0; f < 16; ++f) std::ofstream(top + directory_of(d) + "/" + std::to_string(f)) << d << f;
    }
  });
  must(base.content_digest({}));
  store.settle();
  const double metadata = static_cast<double>(store.env->allocated_bytes());
  const std::uint64_t names_before = store.cache->counts().digests.names_hashed;
  int n = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const cache::ImmutableRef child = store.make(base, [&](const std::string& top) {
      std::ofstream(top + directory_of(n * 7 % directories) + "/3") << "changed " << n;
    });
    ++n;
    state.ResumeTiming();
    must(child.content_digest({}));
  }
  const cache::DigestCounts counts = store.cache->counts().digests;
  state.counters["names_hashed"] = static_cast<double>(counts.names_hashed - names_before) / n;
  state.counters["metadata_bytes_per_file"] = metadata / (directories * 16);
}
BENCHMARK(one_file_changed)->Arg(100)->Arg(1000)->Arg(5000)->Unit(benchmark::kMillisecond)->Iterations(20);

}  // namespace

BENCHMARK_MAIN();
