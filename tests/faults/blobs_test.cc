// SPDX-License-Identifier: Apache-2.0
// A fault at each write and each sync of packs, journal, files and chunks: the call that meets it says so, or did without;
// whatever was acknowledged is there afterwards, nothing is left behind, and the store goes on.
//
// The system calls of this program are its own (below), so that the fault hits one call exactly. Those of a store are told by
// the file that they are for.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "libcache/fsck.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/random_bytes.h"

namespace {

enum class Fault { none, no_space, io_error, short_write, torn_no_space, torn_io_error };

// Armed: the fault hits the call with this number (from 1) among those that are for blobs.
struct Injector {
  std::atomic<std::uint64_t> seen{0}, at{0};
  std::atomic<Fault> fault{Fault::none};
  std::atomic<bool> counts{false};

  void arm(Fault kind, std::uint64_t number) {
    seen = 0;
    at = number;
    fault = kind;
    counts = true;
  }
  std::uint64_t disarm() {
    counts = false;
    return seen;
  }
};
Injector injector;

bool is_for_blobs(int fd) {
  std::array<char, 512> path{};
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path.data(), path.size());
  if (size <= 0) return false;
  const std::string_view name(path.data(), static_cast<std::size_t>(size));
  return name.find("/blobs/") != std::string_view::npos || name.find("/tmp/#") != std::string_view::npos;
}

Fault next(int fd) {
  if (!injector.counts || !is_for_blobs(fd)) return Fault::none;
  return ++injector.seen == injector.at ? injector.fault.load() : Fault::none;
}

// What the faulty call gives; `half` does the half of it. -2: it is an ordinary one.
template <class Half>
ssize_t faulty(int fd, Half half) {
  const int before = errno;
  const Fault fault = next(fd);
  errno = before;
  if (fault == Fault::none) return -2;
  if (fault == Fault::short_write) return half();
  if (fault == Fault::torn_no_space || fault == Fault::torn_io_error) (void)half();
  errno = fault == Fault::no_space || fault == Fault::torn_no_space ? ENOSPC : EIO;
  return -1;
}

}  // namespace

extern "C" ssize_t write(int fd, const void* bytes, size_t size) {
  const ssize_t result = faulty(fd, [&] { return ::syscall(SYS_write, fd, bytes, (size + 1) / 2); });
  return result != -2 ? result : ::syscall(SYS_write, fd, bytes, size);
}

extern "C" ssize_t pwritev(int fd, const ::iovec* pieces, int count, off_t offset) {
  const auto half = [&]() -> ssize_t {
    const std::size_t size = std::max<std::size_t>(1, pieces[0].iov_len / 2 + (count > 1 ? pieces[1].iov_len / 2 : 0));
    std::string bytes;
    for (int i = 0; i < count; ++i) bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    return ::syscall(SYS_pwrite64, fd, bytes.data(), std::min(size, bytes.size()), offset);
  };
  const ssize_t result = faulty(fd, half);
  return result != -2 ? result : ::syscall(SYS_pwritev, fd, pieces, static_cast<long>(count), static_cast<long>(offset), 0L);
}

extern "C" int fdatasync(int fd) {
  const ssize_t result = faulty(fd, [] { return ssize_t{0}; });
  return static_cast<int>(result != -2 ? result : ::syscall(SYS_fdatasync, fd));
}

namespace cairn::cache {
namespace {

using base::ErrorCode;
using test::random_bytes;
namespace fs = std::filesystem;

BlobDigest name_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes); }

std::string small(int n) { return "small blob " + std::to_string(n); }
std::string large(int n) { return random_bytes(static_cast<std::uint64_t>(n) + 100, 70'000); }
std::string larger(int n) { return random_bytes(1, 200'000) + random_bytes(static_cast<std::uint64_t>(n) + 200, 100'000); }

// Making a tree may need new ids, and those a write of the journal.
base::Result<ImmutableRef> make_tree(OpenStore& store, Publication& into, const std::string& bytes) {
  MutableRef tree = TRY(store.cache->create({}));
  {
    const auto mount = TRY(tree.mount(snapshot::Access::read_write));
    const auto out = TRY(base::open_beneath(mount.fd(), TRY(base::TreePath::parse("file")), O_CREAT | O_WRONLY, 0644));
    TRY(base::write_full(out.get(), std::string_view(bytes)));
  }
  return TRY(std::move(tree).commit(into, {.description = "make file"}));
}

// A record with a blob of each kind. True: it was acknowledged.
base::Result<bool> keep(OpenStore& store, int n) {
  Publication publication;
  const ImmutableRef ref = TRY(make_tree(store, publication, std::to_string(n)));
  for (const std::string& bytes : {small(n), large(n), larger(n)}) {
    TRY(store.cache->blobs().put(bytes));
    publication.add_blob(ref, name_of(bytes));
  }
  publication.add_result(key(n), ref);
  TRY(store.writer->wait_durable(TRY(store.cache->publish(std::move(publication)))));
  return true;
}

// What may meet the fault: puts of each kind, their journal, a checkpoint, and a compaction. Errors are collected, because a
// store goes on after each.
struct Outcome {
  bool kept = false;
  std::vector<base::Error> errors;
};
Outcome work(OpenStore& store) {
  Outcome outcome;
  const auto note = [&](const auto& result) {
    if (!result) outcome.errors.push_back(result.error());
    return result.has_value();
  };
  outcome.kept = note(keep(store, 2));
  note(store.cache->prune({}));
  note(store.cache->checkpoint());
  note(store.cache->compact_packs());
  return outcome;
}

class FaultyBlobs : public ::testing::TestWithParam<Fault> {
 protected:
  FaultyBlobs() {
    store.cache_options.chunk_bytes = 64 * 1024;
    store.group_age_max = std::chrono::milliseconds(1);
  }

  // A store with a record, and blobs that a prune will take.
  void begin() {
    store.reopen();
    CHECK(keep(store, 1).value_or(false));
    for (int i = 0; i < 40; ++i) must(store.cache->blobs().put(small(1000 + i) + std::string(10'000, 'p')));
    store.reopen();
  }
  std::vector<std::string> left_behind() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator((store.root() / "tmp").str())) names.push_back(entry.path());
    for (const auto& entry : fs::recursive_directory_iterator((store.root() / "blobs/sha256").str())) {
      if (!entry.is_regular_file()) continue;
      const auto digest = BlobDigest::parse("sha256:" + entry.path().filename().string());
      if (!digest || !must(store.cache->blobs().find(*digest))) names.push_back(entry.path());
    }
    return names;
  }
  void expect_whole(int n) {
    for (const std::string& bytes : {small(n), large(n), larger(n)})
      EXPECT_TRUE(store.cache->blobs().read(name_of(bytes), 1 << 20) == bytes) << n;
    EXPECT_EQ(store.results(key(n)).size(), 1u);
  }
  void expect_valid(const Outcome& outcome, std::uint64_t at) {
    SCOPED_TRACE(fmt::format("fault at call {}", at));
    for (const base::Error& error : outcome.errors)
      EXPECT_TRUE(error.code == ErrorCode::no_space || error.code == ErrorCode::io) << error.message;
    EXPECT_EQ(store.findings(), std::vector<std::string>());
    const auto is_io = [](const base::Error& error) { return error.code == ErrorCode::io; };
    if (std::any_of(outcome.errors.begin(), outcome.errors.end(), is_io)) {
      // Nobody knows then what has reached the disk. What it was is for the next put of that blob, or for a repair.
      EXPECT_EQ(must(store.cache->repair_blobs()).missed, 0u);
    }
    EXPECT_EQ(left_behind(), std::vector<std::string>());
    expect_whole(1);
    if (outcome.kept) expect_whole(2);
  }
  void rebuild() {
    must(store.cache->checkpoint());
    store.close();
    std::vector<const base::lmdb::RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
    all.insert(all.end(), tables().begin(), tables().end());
    must(rebuild_metadata(store.root(), all));
    store.open();
  }

  OpenStore store;
};

TEST_P(FaultyBlobs, KeepWhatWasAcknowledgedAndNothingElse) {
  const bool full = std::getenv("CAIRN_TEST_FULL") != nullptr;
  std::uint64_t calls = 0, failed = 0;
  {
    FaultyBlobs::begin();
    injector.arm(Fault::none, 0);
    const Outcome outcome = work(store);
    calls = injector.disarm();
    ASSERT_TRUE(outcome.errors.empty()) << outcome.errors.front().message;
    ASSERT_TRUE(outcome.kept);
    ASSERT_GE(calls, 20u);
  }
  const std::uint64_t first = full ? 1 : 1 + static_cast<std::uint64_t>(GetParam()) % 3;
  for (std::uint64_t at = first; at <= calls; at += full ? 1 : 3) {
    store.close();
    for (const auto& entry : fs::directory_iterator(store.root().str())) fs::remove_all(entry.path());
    store.open();
    begin();
    injector.arm(GetParam(), at);
    const Outcome outcome = work(store);
    injector.disarm();
    failed += outcome.errors.empty() ? 0 : 1;
    if (GetParam() == Fault::short_write) {
      EXPECT_TRUE(outcome.errors.empty()) << outcome.errors.front().message;
    }
    store.reopen();
    expect_valid(outcome, at);
    if (at % 5 == 0) {
      rebuild();
      expect_valid(outcome, at);
    }
    EXPECT_TRUE(keep(store, 3)) << at;
    expect_whole(3);
  }
  if (GetParam() != Fault::short_write) {
    EXPECT_GE(failed, 2u) << "somebody must notice";
  }
}

std::string name_of(Fault fault) {
  switch (fault) {
    case Fault::none: return "none";
    case Fault::no_space: return "no_space";
    case Fault::io_error: return "io_error";
    case Fault::short_write: return "short_write";
    case Fault::torn_no_space: return "torn_no_space";
    case Fault::torn_io_error: return "torn_io_error";
  }
  return "unknown";
}

INSTANTIATE_TEST_SUITE_P(Kinds, FaultyBlobs,
                         ::testing::Values(Fault::no_space, Fault::io_error, Fault::short_write, Fault::torn_no_space,
                                           Fault::torn_io_error),
                         [](const auto& about) { return name_of(about.param); });

}  // namespace
}  // namespace cairn::cache
