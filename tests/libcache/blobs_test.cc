// SPDX-License-Identifier: Apache-2.0
// Blobs: named by their bytes, or not at all.
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "libcache/blobs/blob_claims.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/pack_totals.h"
#include "libcache/blobs/local_blob_store.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/random_bytes.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;

BlobDigest name_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes); }

class TextSource final : public base::ByteSource {
 public:
  explicit TextSource(std::string text, bool fails = false) : text_(std::move(text)), fails_(fails) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    ++reads;
    const std::size_t count = std::min({out.size(), text_.size() - at_, std::size_t{1000}});
    if (count == 0 && fails_) return base::fail(ErrorCode::io, "the source broke");
    std::memcpy(out.data(), text_.data() + at_, count);
    at_ += count;
    return count;
  }
  int reads = 0;

 private:
  std::string text_;
  bool fails_;
  std::size_t at_ = 0;
};

// Too large for a pack: its blob is a file.
std::string large(std::string bytes) {
  bytes.resize(100'000, '.');
  return bytes;
}

bool file_exists(const base::HostPath& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string drain(base::ByteSource& source) {
  std::string all;
  std::array<std::byte, 777> buffer;
  for (;;) {
    const std::size_t count = must(source.read(buffer));
    if (count == 0) return all;
    all.append(reinterpret_cast<const char*>(buffer.data()), count);
  }
}

TEST(Blobs, BytesComeBackAtOnceAndAfterReopening) {
  OpenStore store;
  const std::string text(300'000, 'x');
  TextSource source(text);
  const auto put = must(store.cache->blobs().put(source, name_of(text)));
  EXPECT_EQ(put.info.digest, name_of(text));
  EXPECT_EQ(put.info.size, text.size());
  EXPECT_GE(put.info.allocated_bytes, 300'000);
  EXPECT_EQ(must(store.cache->blobs().read(name_of(text), 1 << 20)), text) << "queued";
  ASSERT_OK(store.writer->wait_durable(put.sequence));
  store.reopen();
  EXPECT_EQ(drain(*must(store.cache->blobs().open(name_of(text)))), text);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Blobs, OtherBytesThanTheNameSaysLeaveNothing) {
  OpenStore store;
  TextSource source("these bytes");
  EXPECT_EQ(store.cache->blobs().put(source, name_of("other bytes")).error().code, ErrorCode::corrupt);
  EXPECT_EQ(store.cache->blobs().put("these bytes", name_of("other bytes")).error().code, ErrorCode::corrupt);
  EXPECT_FALSE(must(store.cache->blobs().find(name_of("these bytes"))));
  EXPECT_FALSE(must(store.cache->blobs().find(name_of("other bytes"))));
  EXPECT_TRUE(store.findings().empty());
}

TEST(Blobs, ABrokenSourceLeavesNothing) {
  OpenStore store;
  TextSource source("half of it", true);
  EXPECT_EQ(store.cache->blobs().put(source, {}).error().code, ErrorCode::io);
  EXPECT_TRUE(store.findings().empty());
}

// What is larger than a MiB is hashed by one thread and written by another.
TEST(Blobs, OfManyMegabytesAreWrittenWhileTheyAreHashed) {
  OpenStore store;
  for (const std::size_t size : {(1u << 20) + packed_blob_max, (1u << 20) + packed_blob_max + 1, (std::size_t{7} << 20) + 12'345}) {
    const std::string bytes = test::random_bytes(size, size);
    TextSource source(bytes);
    const auto put = must(store.cache->blobs().put(source, {}));
    EXPECT_EQ(put.info.digest, name_of(bytes));
    ASSERT_OK(store.writer->wait_durable(put.sequence));
    EXPECT_TRUE(must(store.cache->blobs().read(name_of(bytes), 8u << 20)) == bytes);
  }
  EXPECT_EQ(must(store.cache->scrub({})).damaged, 0u);
}

TEST(Blobs, ALargeOneWhoseSourceBreaksLeavesNothing) {
  OpenStore store;
  TextSource source(std::string(6u << 20, 'z'), true);
  EXPECT_EQ(store.cache->blobs().put(source, {}).error().message, "put blob: the source broke");
  EXPECT_TRUE(store.findings().empty());
}

TEST(Blobs, ALargeOneThatCannotBeWrittenIsReadNoFurther) {
  OpenStore store;
  const std::string bytes(64u << 20, 'z');
  TextSource source(bytes);
  const auto put = [&] {
    const test::FileSizeLimit limit(3u << 20);
    return store.cache->blobs().put(source, {});
  }();
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().code, ErrorCode::io);
  EXPECT_LT(source.reads, 12'000) << "3 MiB and what was on the way";
  EXPECT_TRUE(store.findings().empty());
}

TEST(Blobs, ASecondPutWritesNothing) {
  OpenStore store;
  const auto first = must(store.cache->blobs().put("bytes"));
  ASSERT_OK(store.writer->wait_durable(first.sequence));
  must(store.cache->prune({.dry_run = true}));  // every callback has run
  const auto syncs = base::sync_counts().total();
  TextSource source("bytes");
  EXPECT_EQ(must(store.cache->blobs().put(source, name_of("bytes"))).sequence, 0u);
  EXPECT_EQ(source.reads, 0);
  EXPECT_EQ(must(store.cache->blobs().put("bytes")).sequence, 0u);
  EXPECT_EQ(base::sync_counts().total(), syncs);
}

TEST(Blobs, ManyPutsOfOneBlobAllSucceed) {
  OpenStore store;
  std::vector<std::jthread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      TextSource source(std::string(100'000, 'y'));
      const auto put = store.cache->blobs().put(source, {});
      if (put && store.writer->wait_durable(put->sequence)) ++good;
    });
  threads.clear();
  EXPECT_EQ(good, 8);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Blobs, AFileWithoutARowIsAdoptedOrReplaced) {
  OpenStore store;
  const std::string bytes = large("bytes");
  for (const std::string& left : {bytes, large("bytEs"), std::string("by")}) {
    const auto path = blob_path(store.root(), name_of(bytes));
    ::mkdir((store.root() / ("blobs/sha256/" + name_of(bytes).hex().substr(0, 2))).c_str(), 0755);
    ASSERT_OK(base::write_file_atomic(path, left, base::Durable::no));
    EXPECT_FALSE(must(store.cache->blobs().find(name_of(bytes))));
    const auto put = must(store.cache->blobs().put(bytes));
    ASSERT_OK(store.writer->wait_durable(put.sequence));
    EXPECT_EQ(must(store.cache->blobs().read(name_of(bytes), 1 << 20)), bytes);
    store.reopen();  // forgets who put it
    EXPECT_EQ(must(store.cache->prune({})).blobs, 1u);
    EXPECT_FALSE(file_exists(path));
  }
}

// What is found damaged becomes a miss, so each look at damage has a store of its own.
class DamagedFile {
 public:
  explicit DamagedFile(const std::string& is_now) {
    must(store.writer->wait_durable(must(store.cache->blobs().put(bytes)).sequence));
    must(base::write_file_atomic(path(), is_now, base::Durable::no));
  }
  base::HostPath path() { return blob_path(store.root(), name_of(bytes)); }
  // The quarantine is queued by whoever finds the damage.
  void expect_a_miss() {
    must(store.cache->prune({.dry_run = true}));
    EXPECT_FALSE(must(store.cache->blobs().find(name_of(bytes))));
    EXPECT_EQ(store.cache->blobs().read(name_of(bytes), 1 << 20).error().code, ErrorCode::not_found);
    EXPECT_EQ(must(store.cache->quarantined()), 1u);
    EXPECT_TRUE(store.findings().empty());
    must(store.writer->wait_durable(must(store.cache->blobs().put(bytes)).sequence));
    EXPECT_EQ(must(store.cache->blobs().read(name_of(bytes), 1 << 20)), bytes) << "it can be put again";
  }
  const std::string bytes = large("bytes");
  OpenStore store;
  std::vector<std::byte> buffer = std::vector<std::byte>(200'000);
};

TEST(Blobs, DamageOfAFileIsNoticedByAReadAndMakesAMiss) {
  DamagedFile damaged(large("bytEs"));
  EXPECT_EQ(damaged.store.cache->blobs().read(name_of(damaged.bytes), 1 << 20).error().code, ErrorCode::corrupt);
  damaged.expect_a_miss();
  EXPECT_TRUE(file_exists(damaged.store.root() / "quarantine" / name_of(damaged.bytes).hex()));
}

TEST(Blobs, DamageOfAFileIsNoticedAtTheEndOfAStream) {
  DamagedFile damaged(large("bytEs"));
  const auto source = must(damaged.store.cache->blobs().open(name_of(damaged.bytes)));
  EXPECT_EQ(source->read(damaged.buffer).error().code, ErrorCode::corrupt);
  damaged.expect_a_miss();
}

TEST(Blobs, DamageOfAFileIsNoticedByAReadOfThatPartAndNoOther) {
  DamagedFile damaged(large("bytEs"));
  const auto other = must(damaged.store.cache->blobs().open_range(name_of(damaged.bytes), {70'000, 10}));
  EXPECT_EQ(drain(*other), "..........") << "the damage is elsewhere";
  const auto part = must(damaged.store.cache->blobs().open_range(name_of(damaged.bytes), {3, 1}));
  EXPECT_EQ(part->read(damaged.buffer).error().code, ErrorCode::corrupt);
  damaged.expect_a_miss();
}

TEST(Blobs, DamageIsNoticedByWhoReadsManyPartsAtOnce) {
  OpenStore store;
  std::string bytes(300'000, 'b');
  must(store.cache->blobs().put(bytes));
  const BlobDigest name = name_of(bytes);
  bytes[140'000] = 'x';  // in the third of five
  ASSERT_OK(base::write_file_atomic(blob_path(store.root(), name), bytes, base::Durable::no));
  const auto whole = must(store.cache->blobs().open_range(name, {0, ~std::uint64_t{0}}));
  std::vector<std::byte> buffer(1 << 20);
  EXPECT_EQ(whole->read(buffer).error().code, ErrorCode::corrupt);
  must(store.cache->prune({.dry_run = true}));  // waits for what is queued
  EXPECT_FALSE(must(store.cache->blobs().find(name)));
}

TEST(Blobs, AFileThatHasGrownOrIsMissingIsDamage) {
  DamagedFile grown(large("bytes") + " and more");
  EXPECT_EQ(grown.store.cache->blobs().read(name_of(grown.bytes), 1 << 20).error().code, ErrorCode::corrupt);
  grown.expect_a_miss();
  DamagedFile missing(large("bytes"));
  ::unlink(missing.path().c_str());
  EXPECT_EQ(missing.store.cache->blobs().open(name_of(missing.bytes)).error().code, ErrorCode::corrupt);
  missing.expect_a_miss();
}

TEST(Blobs, AKeyDoesNotLeadToARecordWhoseBlobIsDamaged) {
  OpenStore store;
  const std::string bytes = large("config");
  Publication publication;
  const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
  publication.add_result(key(1), ref);
  must(store.cache->blobs().put(bytes));
  publication.add_blob(ref, name_of(bytes));
  ASSERT_OK(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  ASSERT_OK(base::write_file_atomic(blob_path(store.root(), name_of(bytes)), large("cOnfig"), base::Durable::no));
  const ScrubReport report = must(store.cache->scrub({}));
  EXPECT_EQ(report.damaged, 1u);
  must(store.cache->prune({.dry_run = true}));
  EXPECT_TRUE(store.results(key(1)).empty());
  EXPECT_TRUE(store.findings().empty());
}

TEST(Blobs, PartsAreWhatTheWholeHasThere) {
  OpenStore store;
  std::string bytes;
  for (int i = 0; bytes.size() < 300'000; ++i) bytes += std::to_string(i) + ",";
  for (const std::string& blob : {bytes, bytes.substr(0, 65'536), bytes.substr(0, 65'537), bytes.substr(0, 131'072),
                                  bytes.substr(0, 500), std::string()}) {
    must(store.cache->blobs().put(blob));
    const std::uint64_t size = blob.size();
    for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{65'535}, std::uint64_t{65'536},
                                       std::uint64_t{131'000}, size / 2, size}) {
      for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{70'000}, ~std::uint64_t{0}}) {
        auto part = store.cache->blobs().open_range(name_of(blob), {offset, length});
        if (offset > size) {
          EXPECT_EQ(part.error().code, ErrorCode::invalid_argument);
          continue;
        }
        EXPECT_EQ(drain(*must(std::move(part))), blob.substr(offset, length)) << size << " " << offset << " " << length;
      }
    }
  }
}

TEST(Blobs, ConcurrentWritersOfOneBlobDoTheWorkOnce) {
  for (const std::size_t size : {std::size_t{1000}, std::size_t{1'000'000}}) {
    OpenStore store;
    const std::string bytes(size, 'w');
    std::atomic<int> read{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        TextSource source(bytes);
        const auto put = must(store.cache->blobs().put(source, name_of(bytes)));
        must(store.writer->wait_durable(put.sequence));
        read += source.reads > 0 ? 1 : 0;
      });
    threads.clear();
    EXPECT_EQ(read, 1) << "the other seven waited";
    EXPECT_EQ(must(store.env->view([](base::lmdb::ReadTxn& txn) { return blob_totals(txn); })).pack_reclaimable_bytes,
              40) << "the header of the pack, and nothing twice";
  }
}

TEST(Blobs, AFailedWriterLeavesTheWorkToTheNext) {
  OpenStore store;
  const std::string bytes(1000, 'w');
  std::atomic<int> good{0};
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      TextSource source(i % 2 == 0 ? bytes : bytes.substr(1), i % 2 != 0);
      if (store.cache->blobs().put(source, name_of(bytes))) ++good;
    });
  threads.clear();
  EXPECT_GE(good, 4);
  EXPECT_EQ(must(store.cache->blobs().read(name_of(bytes), 1000)), bytes);
}

TEST(Blobs, WhatIsNotThereAndWhatIsTooLargeAreSaidSo) {
  OpenStore store;
  EXPECT_EQ(store.cache->blobs().open(name_of("none")).error().code, ErrorCode::not_found);
  EXPECT_EQ(store.cache->blobs().read(name_of("none"), 10).error().code, ErrorCode::not_found);
  must(store.cache->blobs().put("bytes"));
  EXPECT_EQ(store.cache->blobs().read(name_of("bytes"), 4).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(must(store.cache->blobs().put("")).info.size, 0u);
  EXPECT_EQ(must(store.cache->blobs().read(name_of(""), 0)), "");
}

TEST(Blobs, APruneTakesWhatNoRecordNamesAndNobodyMayStillName) {
  OpenStore store;
  RecordId id;
  {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
    id = ref.id();
    publication.add_result(key(1), ref);
    must(store.cache->blobs().put("manifest"));
    must(store.cache->blobs().put(large("stray")));
    publication.add_blob(ref, name_of("manifest"));
    ASSERT_OK(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    EXPECT_EQ(must(store.cache->prune({.all = true})).blobs, 0u) << "one is named, one was put just now";
  }
  store.reopen();
  EXPECT_EQ(must(store.cache->prune({.dry_run = true})).blobs, 1u);
  EXPECT_EQ(must(store.cache->prune({})).blobs, 1u);
  EXPECT_FALSE(must(store.cache->blobs().find(name_of(large("stray")))));
  EXPECT_FALSE(file_exists(blob_path(store.root(), name_of(large("stray")))));
  EXPECT_EQ(must(store.cache->blobs().read(name_of("manifest"), 100)), "manifest");
  EXPECT_TRUE(store.findings().empty());
  const PruneReport rehearsed = must(store.cache->prune({.all = true, .dry_run = true}));
  const PruneReport report = must(store.cache->prune({.all = true}));
  EXPECT_EQ(report.blobs, 1u);
  EXPECT_EQ(rehearsed.blobs, 1u);
  EXPECT_EQ(report.freed_bytes, rehearsed.freed_bytes);
  EXPECT_FALSE(must(store.cache->blobs().find(name_of("manifest"))));
  EXPECT_TRUE(store.findings().empty());
}

// Its bytes are deleted some time after its row, and another may have put it by then.
TEST(Blobs, OneThatIsPutAgainWhileItGoesIsThereBeforeItsOldBytesAreGone) {
  BlobClaims claims;
  const auto digest = base::digest_of<BlobDigest>("goes and comes");
  ASSERT_TRUE(claims.try_mark_dying(digest));
  EXPECT_TRUE(claims.is_going(digest));
  claims.set_queued(digest, BlobRow{});
  EXPECT_FALSE(claims.is_going(digest));
  claims.unqueue(digest);  // its row is durable
  EXPECT_FALSE(claims.is_going(digest));
}

TEST(Blobs, APublicationThatNamesAMissingBlobFails) {
  OpenStore store;
  Publication publication;
  const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
  publication.add_blob(ref, name_of("nowhere"));
  publication.add_result(key(1), ref);
  EXPECT_EQ(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))).error().code,
            ErrorCode::not_found);
  must(store.cache->prune({.dry_run = true}));
  EXPECT_TRUE(store.results(key(1)).empty());
}

}  // namespace
}  // namespace cairn::cache
