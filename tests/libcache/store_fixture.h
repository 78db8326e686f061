// SPDX-License-Identifier: Apache-2.0
// A store in a fresh directory, with everything open that a cache needs. Reopening is what a new process would do.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "libbase/lmdb/group_writer.h"
#include "libcache/cache.h"
#include "libsnapshot/open.h"
#include "tests/support/temp_dir.h"

namespace cairn::cache {

#define ASSERT_OK(expression)                                        \
  do {                                                               \
    const auto& assert_ok_result = (expression);                     \
    ASSERT_TRUE(assert_ok_result) << assert_ok_result.error().message; \
  } while (false)
#define EXPECT_OK(expression)                                        \
  do {                                                               \
    const auto& expect_ok_result = (expression);                     \
    EXPECT_TRUE(expect_ok_result) << expect_ok_result.error().message; \
  } while (false)

// The value of a result that must be one.
template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  return std::move(*result);
}
inline void must(base::Status status) { CHECK(status.has_value(), "{}", status.error().message); }

inline KeyDigest key(int n) { return base::digest_of<KeyDigest>("key " + std::to_string(n)); }
inline KeyLink link_of(int from, std::uint32_t input, int operation = 0) {
  KeyLink link;
  link.from = key(from);
  link.input = input;
  link.operation = base::sha256("operation " + std::to_string(operation));
  return link;
}

class SettableClock final : public base::Clock {
 public:
  base::WallTime now() const override { return base::from_unix_ns(now_ns.load()); }
  std::chrono::steady_clock::time_point steady_now() const override {
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(now_ns.load()));
  }
  void advance(std::chrono::nanoseconds by) { now_ns += by.count(); }
  std::atomic<std::int64_t> now_ns{1'700'000'000'000'000'000};
};

class OpenStore {
 public:
  explicit OpenStore(std::string driver = "overlay", std::optional<base::HostPath> root = {})
      : driver_(std::move(driver)), elsewhere_(std::move(root)) {
    open();
  }
  ~OpenStore() { close(); }

  void open() {
    std::vector<const base::lmdb::RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
    all.insert(all.end(), tables().begin(), tables().end());
    env = must(base::lmdb::Env::open(root() / "meta", all, {}));
    snapshots = must(snapshot::open(root(), *env, {.driver = driver_}));
    base::lmdb::GroupWriter::Options options;
    options.group_age_max = group_age_max;
    writer = std::make_unique<base::lmdb::GroupWriter>(
        *env,
        [this](std::span<const base::lmdb::DataToken> tokens) -> base::Status {
          if (fail_data_sync) return base::fail(base::ErrorCode::io, "sync refused by the test");
          return snapshots->sync(tokens);
        },
        options);
    cache = must(Cache::open(root(), *env, *writer, *snapshots, clock, cache_options));
  }
  void close() {
    cache.reset();
    writer.reset();
    snapshots.reset();
    env.reset();
  }
  void reopen() {
    close();
    open();
  }
  const base::HostPath& root() const { return elsewhere_ ? *elsewhere_ : dir_.path(); }

  // A new tree on parent with one file in it.
  ImmutableRef commit(Publication& into, std::optional<ImmutableRef> parent, const std::string& file,
                      const std::string& bytes, RecordFacts facts = {}) {
    MutableRef tree = must(cache->create(std::move(parent)));
    {
      const auto mount = must(tree.mount(snapshot::Access::read_write));
      const auto out = must(base::open_beneath(mount.fd(), must(base::TreePath::parse(file)), O_CREAT | O_WRONLY, 0644));
      must(base::write_full(out.get(), std::string_view(bytes)));
    }
    if (facts.description.empty()) facts.description = "make " + file;
    return must(std::move(tree).commit(into, std::move(facts)));
  }
  // The same, published under a key (if any) and durable.
  ImmutableRef make(std::optional<ImmutableRef> parent, const std::string& file, std::optional<KeyDigest> under = {},
                    RecordFacts facts = {}) {
    Publication publication;
    ImmutableRef ref = commit(publication, std::move(parent), file, "bytes of " + file, std::move(facts));
    if (under) publication.add_result(*under, ref);
    must(writer->wait_durable(must(cache->publish(std::move(publication)))));
    return ref;
  }
  std::string read(const ImmutableRef& ref, const std::string& file) {
    const auto mount = must(ref.mount());
    return must(base::read_beneath(mount.fd(), must(base::TreePath::parse(file)), 1 << 20));
  }
  std::vector<RecordId> results(const KeyDigest& of) {
    std::vector<RecordId> ids;
    must(cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
      for (const KeyResult& result : TRY(reader.results(of))) ids.push_back(result.record);
      return {};
    }));
    return ids;
  }
  std::vector<KeyDigest> follow(const KeyLink& link) {
    std::vector<KeyDigest> targets;
    must(cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
      targets = TRY(reader.follow(link));
      return {};
    }));
    return targets;
  }
  bool exists(const KeyDigest& k) {
    bool there = false;
    must(cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
      there = TRY(reader.exists(k));
      return {};
    }));
    return there;
  }
  std::vector<std::string> findings() {
    std::vector<std::string> texts;
    for (const Finding& finding : must(check(*env, root())))
      texts.push_back(fmt::format("I{} {}", finding.invariant, finding.text));
    return texts;
  }

  test::TempDir dir_;
  std::string driver_;
  std::optional<base::HostPath> elsewhere_;  // the store's root, if not in dir_
  SettableClock clock;
  std::chrono::milliseconds group_age_max{500};
  CacheOptions cache_options;  // for the next open()
  std::atomic<bool> fail_data_sync{false};
  std::unique_ptr<base::lmdb::Env> env;
  std::unique_ptr<snapshot::Snapshotter> snapshots;
  std::unique_ptr<base::lmdb::GroupWriter> writer;
  std::unique_ptr<Cache> cache;
};

}  // namespace cairn::cache
