// SPDX-License-Identifier: Apache-2.0
// A store in a directory of its own, as the benchmarks of libcache take it, and what they measure of this process.
#pragma once

#include <stdlib.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libcache/cache.h"
#include "libsnapshot/open.h"
#include "tests/support/big_store.h"
#include "tests/support/must.h"

namespace cairn::bench {

// A new directory under CAIRN_BENCH_DIR, else TMPDIR, else /tmp: that says which disk is measured.
inline base::HostPath make_dir() {
  const char* top = std::getenv("CAIRN_BENCH_DIR");
  if (top == nullptr) top = std::getenv("TMPDIR");
  std::string name = std::string(top != nullptr ? top : "/tmp") + "/cairn-bench-XXXXXX";
  CHECK(::mkdtemp(name.data()) != nullptr);
  return test::must(base::HostPath::parse(name));
}

inline void remove_dir(const base::HostPath& dir) {
  const std::string& path = dir.str();
  const std::size_t slash = path.rfind('/');
  const base::Fd parent = test::must(base::open_host_dir(test::must(base::HostPath::parse(path.substr(0, slash)))));
  test::must(base::remove_all_beneath(parent.get(), test::must(base::TreePath::parse(path.substr(slash + 1)))));
}

// Empty, or filled without going through the cache (tests/support/big_store.h).
class BenchStore {
 public:
  BenchStore() : BenchStore(test::BigStoreOptions{.records = 0}) {}
  explicit BenchStore(const test::BigStoreOptions& options, const cache::CacheOptions& cache_options = {})
      : root_(make_dir()), options_(cache_options) {
    open_env();
    if (options.records > 0) test::fill_big_store(*env, root_, options);
    open_cache();
  }
  // One that is there, and stays.
  explicit BenchStore(base::HostPath root) : root_(std::move(root)), stays_(true) {
    open_env();
    open_cache();
  }
  ~BenchStore() {
    close();
    if (!stays_) remove_dir(root_);
  }
  BenchStore(const BenchStore&) = delete;
  BenchStore& operator=(const BenchStore&) = delete;

  void open_env() {
    std::vector<const base::lmdb::RawTableSpec*> tables(snapshot::tables().begin(), snapshot::tables().end());
    tables.insert(tables.end(), cache::tables().begin(), cache::tables().end());
    env = test::must(base::lmdb::Env::open(root_ / "meta", tables, {}));
  }
  void open_cache() {
    snapshots = test::must(snapshot::open(root_, *env, {}));
    const auto sync = [this](std::span<const base::lmdb::DataToken> tokens) { return snapshots->sync(tokens); };
    writer = std::make_unique<base::lmdb::GroupWriter>(*env, sync, base::lmdb::GroupWriter::Options{});
    cache = test::must(cache::Cache::open(root_, *env, *writer, *snapshots, clock_, options_));
  }
  void close() {
    cache.reset();
    writer.reset();
    snapshots.reset();
    env.reset();
  }
  const base::HostPath& root() const { return root_; }

  std::unique_ptr<base::lmdb::Env> env;
  std::unique_ptr<snapshot::Snapshotter> snapshots;
  std::unique_ptr<base::lmdb::GroupWriter> writer;
  std::unique_ptr<cache::Cache> cache;

 private:
  base::HostPath root_;
  bool stays_ = false;
  cache::CacheOptions options_{};
  base::SystemClock clock_;
};

// Anonymous memory of this process.
inline std::int64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::strtoll(line.c_str() + 8, nullptr, 10) * 1024;
  return 0;
}

}  // namespace cairn::bench
