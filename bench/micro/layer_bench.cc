// SPDX-License-Identifier: Apache-2.0
// Layers against tar and against the codecs alone, on a real tree in the same run: apply_layer beside `tar -x` of the same
// archive onto the same file system, write_layer beside `tar -c`. Nobody syncs. CAIRN_BENCH_TREE names the tree (default
// /usr/lib/python3), CAIRN_BENCH_SCRATCH where to work (default /var/tmp). A benchmark that has a `with` counter compares
// with it: the two take turns, so that a busy machine is busy for both.
#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libcache/observed_layer.h"
#include "libsnapshot/layer.h"

extern char** environ;

namespace {

using namespace cairn;
using base::Compression;
using base::HostPath;
using Clock = std::chrono::steady_clock;

template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  return std::move(*result);
}

std::string setting(const char* name, const char* usual) {
  const char* given = std::getenv(name);
  return given != nullptr ? given : usual;
}

void run(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  CHECK(::posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ) == 0, "start {}", words[0]);
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && status == 0, "{} failed", words[0]);
}

// The tree, its archive made by tar, and a place on one file system. Warm after its making.
struct Scene {
  base::TemporaryDir scratch = must(base::TemporaryDir::create(must(HostPath::parse(setting("CAIRN_BENCH_SCRATCH", "/var/tmp"))), "bench-"));
  HostPath tree = must(HostPath::parse(setting("CAIRN_BENCH_TREE", "/usr/lib/python3")));
  std::string archive = (scratch.path() / "tree.tar").str();
  std::uint64_t archive_bytes = 0;

  Scene() {
    run({"tar", "--format=pax", "--pax-option=delete=atime,delete=ctime", "-C", tree.str(), "-cf", archive, "."});
    const base::Fd file = open_archive();
    archive_bytes = static_cast<std::uint64_t>(must(base::stat_fd(file.get())).st_size);
  }
  base::Fd open_archive() const { return must(base::open_host(must(HostPath::parse(archive)), O_RDONLY)); }
};
Scene& scene() {
  static Scene only;
  return only;
}

class FdSource final : public base::ByteSource {
 public:
  explicit FdSource(base::Fd fd) : fd_(std::move(fd)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override { return base::read_full(fd_.get(), out); }

 private:
  base::Fd fd_;
};

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Of this process, its threads and the programs that it waited for.
double cpu_seconds() {
  double seconds = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    struct ::rusage usage {};
    CHECK(::getrusage(who, &usage) == 0);
    for (const auto& time : {usage.ru_utime, usage.ru_stime}) {
      seconds += static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    }
  }
  return seconds;
}

double thread_cpu_seconds() {
  timespec time{};
  CHECK(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Runs ours and theirs in turns, each after `before`, and reports ours with the ratio of the medians: 1.1 is 10 % faster.
template <class Before, class Ours, class Theirs>
void compare(benchmark::State& state, Before before, Ours ours, Theirs theirs) {
  std::vector<double> our_times, their_times, our_cpu, their_cpu, caller_cpu;
  const auto median = [](std::vector<double> times) {
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  };
  for (auto _ : state) {
    before();
    auto start = Clock::now();
    double cpu = cpu_seconds();
    theirs();
    their_cpu.push_back(cpu_seconds() - cpu);
    their_times.push_back(seconds_since(start));
    before();
    start = Clock::now();
    cpu = cpu_seconds();
    const double caller = thread_cpu_seconds();
    ours();
    caller_cpu.push_back(thread_cpu_seconds() - caller);
    our_cpu.push_back(cpu_seconds() - cpu);
    our_times.push_back(seconds_since(start));
    state.SetIterationTime(our_times.back());
  }
  state.counters["ours_ms"] = 1000 * median(our_times);
  state.counters["theirs_ms"] = 1000 * median(their_times);
  state.counters["our_cpu_ms"] = 1000 * median(our_cpu);
  state.counters["our_caller_cpu_ms"] = 1000 * median(caller_cpu);  // without what runs beside it
  state.counters["their_cpu_ms"] = 1000 * median(their_cpu);
  state.counters["speed"] = median(their_times) / median(our_times);
  state.counters["mb"] = static_cast<double>(scene().archive_bytes) / 1e6;
}

// Into a new directory each time: right after a removal, ext4 spends most of a creation on passing over the inodes that
// were just freed, and what is measured is who came second.
// observed: with the digests of everything that is unpacked, as an image source asks for.
enum class Observed { no, yes };
void apply_beside_tar(benchmark::State& state, Observed observed) {
  const HostPath out = scene().scratch.path() / "out";
  int number = 0;
  HostPath target = out;
  compare(
      state,
      [&] {
        target = out / std::to_string(number++);
        CHECK(base::make_host_dirs(target).has_value());
      },
      [&] {
        const snapshot::MountedTree tree(must(base::open_host_dir(target)));
        cache::ObservedLayer observer;
        snapshot::ApplyOptions options;
        if (observed == Observed::yes) options.observer = &observer;
        must(snapshot::apply_layer(tree, std::make_unique<FdSource>(scene().open_archive()), options));
      },
      [&] { run({"tar", "--numeric-owner", "-C", target.str(), "-xf", scene().archive}); });
  CHECK(base::remove_host_tree(out).has_value());
}
BENCHMARK_CAPTURE(apply_beside_tar, plain, Observed::no)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(apply_beside_tar, observed, Observed::yes)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);

// The whole tree as one layer into a file.
snapshot::Written write_tree(Compression compression, unsigned threads, int level = 0) {
  const snapshot::MountedTree tree(must(base::open_host_dir(scene().tree)));
  const auto changes = [&](const snapshot::ChangeVisitor& visitor) {
    return snapshot::changes_between(std::nullopt, tree.fd(), visitor, snapshot::changes_for_layer());
  };
  const base::Fd out = must(base::open_host(scene().scratch.path() / "written", O_WRONLY | O_CREAT | O_TRUNC, 0600));
  snapshot::WriteOptions options;
  options.compression = compression;
  options.level = level;
  options.threads = threads;
  return must(snapshot::write_layer(
      tree, changes, [&](std::string_view bytes) { return base::write_full(out.get(), bytes); }, options));
}

void write_beside_tar(benchmark::State& state) {
  const std::string other = (scene().scratch.path() / "other").str();
  compare(
      state, [] {}, [] { write_tree(Compression::none, 1); },
      [&] { run({"tar", "--format=pax", "--pax-option=delete=atime,delete=ctime", "-C", scene().tree.str(), "-cf", other, "."}); });
}
BENCHMARK(write_beside_tar)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);

// The codec alone, on both cores, over bytes in memory.
void encode(Compression compression, int level, unsigned threads, std::string_view bytes) {
  const auto encoder = base::make_parallel_encoder(
      compression, [](std::string_view) { return base::Status(); }, level, threads);
  CHECK(encoder->write(bytes).has_value() && encoder->finish().has_value());
}

// Ours at one level beside the codec alone at another. gzip: 0 is isa-l, 6 is zlib, which gzip is elsewhere.
void write_beside_codec(benchmark::State& state, Compression compression, int ours, int theirs) {
  const base::Fd file = scene().open_archive();
  const std::string archive = must(base::read_all(file.get(), 1ull << 32));
  double ratio = 0;
  compare(
      state, [] {},
      [&] {
        const auto written = write_tree(compression, 2, ours);
        ratio = static_cast<double>(written.diff_bytes) / static_cast<double>(written.blob_bytes);
      },
      [&] { encode(compression, theirs, 2, archive); });
  state.counters["ratio"] = ratio;
}
BENCHMARK_CAPTURE(write_beside_codec, gzip_beside_isal, Compression::gzip, 0, 0)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(write_beside_codec, gzip_beside_zlib_6, Compression::gzip, 0, 6)->UseManualTime()->Iterations(3)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(write_beside_codec, gzip_6_beside_zlib_6, Compression::gzip, 6, 6)->UseManualTime()->Iterations(3)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(write_beside_codec, zstd, Compression::zstd, 0, 0)->UseManualTime()->Iterations(7)->Unit(benchmark::kMillisecond);

// What a layer has to pay for beside the codec, whoever writes it: SHA-256 of the tar and of the compressed bytes.
void hash_beside_codec(benchmark::State& state, Compression compression) {
  const base::Fd file = scene().open_archive();
  const std::string archive = must(base::read_all(file.get(), 1ull << 32));
  const std::string packed = must(base::compress(compression, archive));
  compare(
      state, [] {},
      [&] {
        benchmark::DoNotOptimize(base::sha256(archive));
        benchmark::DoNotOptimize(base::sha256(packed));
      },
      [&] { encode(compression, 0, 2, archive); });
}
BENCHMARK_CAPTURE(hash_beside_codec, gzip, Compression::gzip)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(hash_beside_codec, zstd, Compression::zstd)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);

// Theirs: one thread. On an idle machine with two cores `speed` is near 2.
void two_threads_beside_one(benchmark::State& state, Compression compression) {
  const base::Fd file = scene().open_archive();
  const std::string archive = must(base::read_all(file.get(), 1ull << 32));
  compare(
      state, [] {}, [&] { encode(compression, 0, 2, archive); }, [&] { encode(compression, 0, 1, archive); });
}
BENCHMARK_CAPTURE(two_threads_beside_one, gzip, Compression::gzip)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(two_threads_beside_one, zstd, Compression::zstd)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
