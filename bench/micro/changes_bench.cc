// SPDX-License-Identifier: Apache-2.0
// What a diff of 100 changes costs on parents of 10,000 and 100,000 files (overlay), beside a walk of both whole trees and
// beside the bare system calls that a walk of the upper directory takes; and what a merge of two trees costs and writes.
// CAIRN_BENCH_FILES=N takes one other size instead.
#include <benchmark/benchmark.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libsnapshot/diff.h"
#include "libsnapshot/merge.h"
#include "libsnapshot/open.h"

namespace {

using namespace cairn;
using snapshot::SnapshotId;

template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  return std::move(*result);
}
void must(const base::Status& status) { CHECK(status.has_value(), "{}", status.error().message); }

constexpr int files_in_a_directory = 20;

void write_file(int directory, const std::string& path, std::string_view text) {
  const base::Fd file(::openat(directory, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  CHECK(file.get() >= 0, "create {}", path);
  must(base::write_full(file.get(), text));
}

// A store with a parent of `files` files and a child with 100 changes: 50 files written, 25 new, 25 removed.
class Family {
 public:
  explicit Family(int files) {
    env_ = must(base::lmdb::Env::open(root_.path() / "meta", snapshot::tables(), {}));
    snapshots = must(snapshot::open(root_.path(), *env_, {.driver = "overlay"}));
    parent = filled(files, "content");
    other = filled(files / 10, "another");
    child = must(snapshots->prepare(parent));
    {
      const auto tree = must(snapshots->mount(child, snapshot::Access::read_write));
      for (int number = 0; number < 100; ++number) {
        const std::string directory = std::to_string(number % (files / files_in_a_directory));
        const std::string name = directory + "/" + std::to_string(number % files_in_a_directory);
        if (number < 50) write_file(tree.fd(), name, "longer content than before");
        if (number >= 50 && number < 75) write_file(tree.fd(), name + "-new", "new");
        if (number >= 75) must(base::remove_all_beneath(tree.fd(), must(base::TreePath::parse(name))));
      }
    }
    must(snapshots->freeze(child));
  }

 private:
  SnapshotId filled(int files, std::string_view text) {
    const auto id = must(snapshots->prepare(std::nullopt));
    {
      const auto tree = must(snapshots->mount(id, snapshot::Access::read_write));
      for (int directory = 0; directory < std::max(1, files / files_in_a_directory); ++directory) {
        const std::string name = std::to_string(directory);
        CHECK(::mkdirat(tree.fd(), name.c_str(), 0755) == 0, "mkdir");
        for (int file = 0; file < files_in_a_directory; ++file) write_file(tree.fd(), name + "/" + std::to_string(file), text);
      }
    }
    must(snapshots->freeze(id));
    return id;
  }

  base::TemporaryDir root_ = must(base::TemporaryDir::create(must(base::HostPath::parse("/tmp")), "cairn-bench-"));
  std::unique_ptr<base::lmdb::Env> env_;

 public:
  std::unique_ptr<snapshot::Snapshotter> snapshots;
  SnapshotId parent, child, other;
};

Family& family(int files) {
  static std::map<int, std::unique_ptr<Family>> families;
  auto& found = families[files];
  if (!found) found = std::make_unique<Family>(files);
  return *found;
}

void diff_of_100(benchmark::State& state, snapshot::Way way, snapshot::Contents contents) {
  Family& trees = family(static_cast<int>(state.range(0)));
  snapshot::ChangeCounts counts;
  std::uint64_t changes = 0, rounds = 0;
  for ([[maybe_unused]] auto round : state) {
    must(snapshot::diff(*trees.snapshots, trees.parent, trees.child, [&](const snapshot::Change& change) -> base::Status {
      if (change.in_layer == snapshot::InLayer::yes) ++changes;
      return {};
    }, {.contents = contents, .counts = &counts}, way));
    ++rounds;
  }
  CHECK(changes == 100 * rounds, "{} changes in {} rounds", changes, rounds);
  const auto each = [&](std::uint64_t count) { return static_cast<double>(count) / static_cast<double>(rounds); };
  state.counters["directories"] = each(counts.directories);
  state.counters["entries"] = each(counts.entries);
  state.counters["bytes_read"] = each(counts.bytes_read);
}

// The floor: list the upper directory and look at each name in it three times (in the upper, the lower and the new tree),
// in mounts that are there already.
void bare_calls(benchmark::State& state) {
  Family& trees = family(static_cast<int>(state.range(0)));
  const auto upper = must(trees.snapshots->open_own(trees.child));
  for ([[maybe_unused]] auto round : state) {
    const auto lower = must(trees.snapshots->mount(trees.parent, snapshot::Access::read_only));
    const auto shown = must(trees.snapshots->mount(trees.child, snapshot::Access::read_only));
    for (const auto& directory : must(base::list_dir(upper.directory.get()))) {
      const base::Fd inside(::openat(upper.directory.get(), directory.name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      for (const auto& entry : must(base::list_dir(inside.get()))) {
        const std::string path = directory.name + "/" + entry.name;
        struct ::stat status {};
        for (const int tree : {upper.directory.get(), lower.fd(), shown.fd()}) {
          benchmark::DoNotOptimize(::fstatat(tree, path.c_str(), &status, AT_SYMLINK_NOFOLLOW));
        }
      }
    }
  }
}

void merge_two(benchmark::State& state, snapshot::Copying copying) {
  Family& trees = family(static_cast<int>(state.range(0)));
  const std::vector<snapshot::Delta> deltas{{std::nullopt, trees.parent}, {std::nullopt, trees.other}};
  snapshot::MergeCounts counts;
  std::int64_t written = 0, inputs = 1;
  for ([[maybe_unused]] auto round : state) {
    const auto id = must(snapshot::merge(*trees.snapshots, deltas, {.copying = copying, .counts = &counts}));
    state.PauseTiming();
    written = must(trees.snapshots->stat(id)).usage.bytes;
    inputs = must(trees.snapshots->stat(trees.parent)).usage.bytes + must(trees.snapshots->stat(trees.other)).usage.bytes;
    must(trees.snapshots->abandon(id));
    state.ResumeTiming();
  }
  state.counters["percent_written"] = 100.0 * static_cast<double>(written) / static_cast<double>(inputs);
}

void sizes(benchmark::internal::Benchmark* bench) {
  if (const char* given = std::getenv("CAIRN_BENCH_FILES")) {
    bench->Arg(std::atoi(given));
  } else {
    bench->Arg(10'000)->Arg(100'000);
  }
  bench->Unit(benchmark::kMillisecond);
}

using snapshot::Contents;
using snapshot::Copying;
using snapshot::Way;
BENCHMARK(bare_calls)->Apply(sizes);
BENCHMARK_CAPTURE(diff_of_100, cheapest, Way::cheapest, Contents::compare)->Apply(sizes);
BENCHMARK_CAPTURE(diff_of_100, walk_trusting_times, Way::walk, Contents::trust_times)->Apply(sizes);
BENCHMARK_CAPTURE(diff_of_100, walk_comparing_contents, Way::walk, Contents::compare)->Apply(sizes)->Iterations(1);
BENCHMARK_CAPTURE(merge_two, sharing, Copying::avoid)->Apply(sizes);
BENCHMARK_CAPTURE(merge_two, copying, Copying::always)->Apply(sizes)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
