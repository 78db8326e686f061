// SPDX-License-Identifier: Apache-2.0
// Snapshots against the system calls that they are made of, in the same run: forks of small and large parents by each
// driver, commits of 100 changed files, walks of squashed chains, and removal as its caller sees it.
//
// The file systems are made here, in memory: ext4 for overlay and native, btrfs, and XFS for reflink; so a figure says
// nothing of a disk. CAIRN_BENCH_DIR names a directory to measure in instead.
#include <benchmark/benchmark.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libbase/lmdb/group_writer.h"
#include "libsnapshot/open.h"
#include "tests/support/loop_fs.h"

namespace {

namespace base = cairn::base;
namespace lmdb = cairn::base::lmdb;
using namespace cairn::snapshot;

template <class T>
T must(base::Result<T> result) {
  CHECK(result, "{}", result.error().message);
  return std::move(*result);
}
void must(base::Status status) { CHECK(status, "{}", status.error().message); }

enum class Driver { overlay, native, btrfs, reflink };
std::string_view name_of(Driver driver) {
  switch (driver) {
    case Driver::overlay: return "overlay";
    case Driver::native: return "native";
    case Driver::btrfs: return "btrfs";
    case Driver::reflink: return "reflink";
  }
  return "";
}

// Where a driver's stores are made. The first call is main()'s.
std::string place_of(Driver driver) {
  if (const char* given = std::getenv("CAIRN_BENCH_DIR"); given != nullptr) return given;
  using cairn::test::FileSystem;
  using cairn::test::LoopFs;
  constexpr std::uint64_t size = std::uint64_t{16} << 30;
  static const LoopFs ext4(FileSystem::ext4, size), btrfs(FileSystem::btrfs, size), xfs(FileSystem::xfs, size);
  const LoopFs& where = driver == Driver::btrfs ? btrfs : driver == Driver::reflink ? xfs : ext4;
  return where.path().str();
}

class Store {
 public:
  explicit Store(unsigned squash_depth = 32, Driver driver = Driver::overlay) {
    std::string name = place_of(driver) + "/cairn-bench-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    root_ = name;
    const auto path = must(base::HostPath::parse(name));
    env = must(lmdb::Env::open(path / "meta", tables(), {}));
    OpenOptions options;
    options.driver = name_of(driver);
    options.squash_depth = squash_depth;
    snapshots = must(open(path, *env, options));
    writer = std::make_unique<lmdb::GroupWriter>(
        *env, [this](std::span<const lmdb::DataToken> tokens) { return snapshots->sync(tokens); },
        lmdb::GroupWriter::Options{});
  }
  ~Store() {
    snapshots->stop();
    writer.reset();
    snapshots.reset();
    env.reset();
    std::error_code left;  // subvolumes go with their file system
    std::filesystem::remove_all(root_, left);
  }

  const std::string& root() const { return root_; }
  // Who removes what is abandoned. The background comes first, if both are measured.
  enum class Erasing { background, caller };
  void erase_in(Erasing where) {
    if (where == Erasing::background && !std::exchange(started_, true)) snapshots->start(*writer);
    if (where == Erasing::caller) snapshots->stop();
  }
  template <class Change>
  SnapshotId freeze_with(std::optional<SnapshotId> parent, Change&& change) {
    const auto id = must(snapshots->prepare(parent));
    {
      const auto tree = must(snapshots->mount(id, Access::read_write));
      change(tree.fd());
    }
    must(snapshots->freeze(id));
    return id;
  }
  void publish(const std::vector<SnapshotId>& ids) {
    lmdb::SequenceNumber last = 0;
    for (const auto id : ids) {
      lmdb::GroupWriter::Entry entry;
      entry.change = [this, id](lmdb::WriteTxn& txn) { return snapshots->publish(txn, id); };
      entry.data = {snapshots->data_token(id)};
      last = must(writer->enqueue(std::move(entry)));
    }
    must(writer->wait_durable(last));
    for (const auto id : ids) snapshots->published(id);
  }
  SnapshotId commit_with(std::optional<SnapshotId> parent, const std::function<void(int)>& change) {
    const auto id = freeze_with(parent, change);
    publish({id});
    return id;
  }

  std::unique_ptr<lmdb::Env> env;
  std::unique_ptr<Snapshotter> snapshots;
  std::unique_ptr<lmdb::GroupWriter> writer;

 private:
  std::string root_;
  bool started_ = false;
};

void write_file(int directory, const std::string& path, std::string_view text) {
  const base::Fd file(::openat(directory, path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  CHECK(file && base::write_full(file.get(), text), "write {}", path);
}

// 20 files to a directory.
void fill(int directory, int first, int count) {
  for (int i = first; i < first + count; ++i) {
    const auto name = "d" + std::to_string(i / 20);
    if (i % 20 == 0 || i == first) ::mkdirat(directory, name.c_str(), 0755);
    write_file(directory, name + "/f" + std::to_string(i), "some text\n");
  }
}

// Stores with one parent of so many files, made once: making one takes longer than all that is measured.
struct Parent {
  Store store;
  SnapshotId id;
  Parent(int files, Driver driver) : store(32, driver) {
    id = store.commit_with(std::nullopt, [&](int directory) { fill(directory, 0, files); });
  }
};
Parent& parent_of(std::int64_t files, Driver driver = Driver::overlay) {
  static std::map<std::pair<std::int64_t, Driver>, std::unique_ptr<Parent>> parents;
  auto& parent = parents[{files, driver}];
  if (!parent) parent = std::make_unique<Parent>(static_cast<int>(files), driver);
  return *parent;
}

// What a fork cannot do without, on the same disk, with the same options of the overlay. The tree that was made is put
// out of the way by a rename, and removed either after the measurement or in it.
enum Removal { after, in_time };

class BareForks {
 public:
  explicit BareForks(Parent& parent)
      : lower_(parent.store.root() + "/trees/" + std::to_string(parent.id.value()) + "/fs"),
        top_(parent.store.root() + "/bare") {
    CHECK(::mkdir(top_.c_str(), 0700) == 0);
  }
  ~BareForks() { std::filesystem::remove_all(top_); }

  std::string make() {
    std::string tree = top_ + "/" + std::to_string(++number_);
    CHECK(::mkdir(tree.c_str(), 0700) == 0 && ::mkdir((tree + "/fs").c_str(), 0755) == 0 &&
          ::mkdir((tree + "/work").c_str(), 0700) == 0);
    return tree;
  }
  base::Fd mount(const std::string& tree) const {
    const base::Fd context(::fsopen("overlay", FSOPEN_CLOEXEC));
    const auto set = [&](const char* key, const std::string& value) {
      CHECK(::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0);
    };
    for (const char* option : {"redirect_dir", "metacopy", "index", "xino"}) set(option, "off");
    set("upperdir", tree + "/fs");
    set("workdir", tree + "/work");
    set("lowerdir+", lower_);
    CHECK(::fsconfig(context.get(), FSCONFIG_SET_FLAG, "volatile", nullptr, 0) == 0);
    CHECK(::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0);
    base::Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
    CHECK(mount);
    return mount;
  }
  static std::string put_away(const std::string& tree) {
    CHECK(::rename(tree.c_str(), (tree + ".gone").c_str()) == 0);
    return tree + ".gone";
  }
  static void remove(const std::string& tree) {
    CHECK(::unlink((tree + "/work/work/incompat/volatile/dirty").c_str()) == 0);
    for (const char* part : {"/work/work/incompat/volatile", "/work/work/incompat", "/work/work", "/work", "/fs", ""}) {
      CHECK(::rmdir((tree + part).c_str()) == 0, "remove {}{}", tree, part);
    }
  }

 private:
  std::string lower_, top_;
  std::uint64_t number_ = 0;
};

void fork_bare(benchmark::State& bench) {
  BareForks forks(parent_of(bench.range(0)));
  for (auto _ : bench) {
    const auto tree = forks.make();
    { const auto mount = forks.mount(tree); }
    const auto gone = BareForks::put_away(tree);
    if (bench.range(1) == in_time) BareForks::remove(gone);
  }
}

// With the work in the background, which removes what is abandoned; or without it, as the caller.
void fork(benchmark::State& bench) {
  Parent& parent = parent_of(bench.range(0));
  parent.store.erase_in(bench.range(1) == in_time ? Store::Erasing::caller : Store::Erasing::background);
  auto& snapshots = *parent.store.snapshots;
  for (auto _ : bench) {
    const auto id = must(snapshots.prepare(parent.id));
    { const auto tree = must(snapshots.mount(id, Access::read_write)); }
    must(snapshots.abandon(id));
  }
  bench.SetLabel(std::string(snapshots.driver()));
}

// What a fork costs a driver that has to make a tree for it, beside overlay on the same number of files.
void fork_by_driver(benchmark::State& bench) {
  Parent& parent = parent_of(bench.range(0), static_cast<Driver>(bench.range(1)));
  auto& snapshots = *parent.store.snapshots;
  for (auto _ : bench) {
    const auto id = must(snapshots.prepare(parent.id));
    { const auto tree = must(snapshots.mount(id, Access::read_write)); }
    must(snapshots.abandon(id));
  }
  bench.SetLabel(std::string(snapshots.driver()));
}

std::int64_t bytes_read() {
  const auto text = must(base::read_file(must(base::HostPath::parse("/proc/self/io")), 4096));
  return std::atoll(text.c_str() + text.find("rchar: ") + 7);
}

void commit_100_files(benchmark::State& bench) {
  Parent& parent = parent_of(bench.range(0));
  const std::string text(10'000, 'x');
  auto& store = parent.store;
  std::int64_t read = 0, syncs = 0, rounds = 0;
  for (auto _ : bench) {
    bench.PauseTiming();
    const auto id = must(store.snapshots->prepare(parent.id));
    {
      const auto tree = must(store.snapshots->mount(id, Access::read_write));
      for (int i = 0; i < 100; ++i) {
        write_file(tree.fd(), "d" + std::to_string(i % 50) + "/f" + std::to_string(i % 50 * 20 + i / 50), text);
      }
    }
    const auto read_before = bytes_read();
    const auto syncs_before = base::sync_counts().total();
    bench.ResumeTiming();
    must(store.snapshots->freeze(id));
    store.publish({id});
    bench.PauseTiming();
    read += bytes_read() - read_before;
    syncs += static_cast<std::int64_t>(base::sync_counts().total() - syncs_before);
    ++rounds;
    must(store.env->update([&](lmdb::WriteTxn& txn) { return store.snapshots->retire(txn, id); }));
    must(store.snapshots->erase_trash(*store.writer, {}));
    bench.ResumeTiming();
  }
  bench.counters["read/changed"] = static_cast<double>(read) / static_cast<double>(rounds * 100 * 10'000);
  bench.counters["syncs"] = static_cast<double>(syncs) / static_cast<double>(rounds);
}

std::int64_t walk(int directory) {
  std::int64_t entries = 0;
  must(base::measure_tree(directory, [&](const base::TreeEntry&) -> base::Status {
    ++entries;
    return {};
  }));
  return entries;
}

// A fork has two layers and is an overlay; a snapshot of one layer is mounted as it is. So the fork of a squashed chain is
// to be held against the fork of one layer, and the squashed snapshot against the snapshot of one layer.
enum Shape { depth_1, chain_of_400, squashed_500, fork_of_depth_1, fork_of_squashed_500 };

// The same 10,000 files each time, through a new mount, so that nothing of it is known to the kernel by its names.
void walk_10000_files(benchmark::State& bench) {
  const auto shape = static_cast<Shape>(bench.range(0));
  Store store(1'000);
  std::optional<SnapshotId> top;
  const bool one_layer = shape == depth_1 || shape == fork_of_depth_1;
  const int layers = one_layer ? 1 : shape == chain_of_400 ? 400 : 500;
  std::vector<SnapshotId> group;
  for (int i = 0; i < layers; ++i) {
    const int files = 10'000 / layers;
    top = store.freeze_with(top, [&](int directory) { fill(directory, i * files, files); });
    group.push_back(*top);
  }
  store.publish(group);
  if (shape == squashed_500 || shape == fork_of_squashed_500) must(store.snapshots->squash(*top, *store.writer, {}));
  if (shape == fork_of_squashed_500 || shape == fork_of_depth_1) top = must(store.snapshots->prepare(*top));
  std::int64_t entries = 0;
  for (auto _ : bench) {
    const auto tree = must(store.snapshots->mount(*top, Access::read_only));
    entries = walk(tree.fd());
  }
  bench.counters["entries"] = static_cast<double>(entries);
  bench.counters["layers"] = must(store.snapshots->stat(*top)).depth;
}

// As the caller sees it: the row, durable.
void remove_100000_files(benchmark::State& bench) {
  Store store;
  const auto id = store.commit_with(std::nullopt, [](int directory) { fill(directory, 0, 100'000); });
  store.snapshots->start(*store.writer);
  for (auto _ : bench) {
    lmdb::GroupWriter::Entry entry;
    entry.change = [&](lmdb::WriteTxn& txn) { return store.snapshots->retire(txn, id); };
    must(store.writer->wait_durable(must(store.writer->enqueue(std::move(entry)))));
    store.snapshots->retired(id);
  }
}

void remove_10000_trees(benchmark::State& bench) {
  Store store;
  std::vector<SnapshotId> ids;
  for (int i = 0; i < 10'000; ++i) ids.push_back(store.freeze_with(std::nullopt, [](int) {}));
  store.publish(ids);
  store.snapshots->start(*store.writer);
  for (auto _ : bench) {
    lmdb::SequenceNumber last = 0;
    for (std::size_t from = 0; from < ids.size(); from += 500) {
      lmdb::GroupWriter::Entry entry;
      entry.change = [&, from](lmdb::WriteTxn& txn) -> base::Status {
        for (std::size_t i = from; i < from + 500; ++i) TRY(store.snapshots->retire(txn, ids[i]));
        return {};
      };
      last = must(store.writer->enqueue(std::move(entry)));
    }
    must(store.writer->wait_durable(last));
    store.snapshots->retired(ids.back());
  }
}

// ->MeasureProcessCPUTime(): the work in the background included.
#define FORK(which)                                       \
  BENCHMARK(which)                                        \
      ->ArgsProduct({{1'000, 100'000}, {after, in_time}}) \
      ->Unit(benchmark::kMicrosecond)                     \
      ->MeasureProcessCPUTime()                           \
      ->UseRealTime()                                     \
      ->Iterations(300)
FORK(fork_bare);
FORK(fork);
BENCHMARK(fork_by_driver)
    ->ArgsProduct({{1'000, 10'000}, {static_cast<int>(Driver::overlay), static_cast<int>(Driver::native),
                                     static_cast<int>(Driver::btrfs), static_cast<int>(Driver::reflink)}})
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(10);
BENCHMARK(commit_100_files)
    ->Arg(1'000)
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Iterations(15);
BENCHMARK(walk_10000_files)->DenseRange(depth_1, fork_of_squashed_500)->Unit(benchmark::kMillisecond)->Iterations(9);
BENCHMARK(remove_100000_files)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);
BENCHMARK(remove_10000_trees)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace

int main(int count, char** values) {
  place_of(Driver::overlay);
  benchmark::Initialize(&count, values);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
