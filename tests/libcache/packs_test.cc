// SPDX-License-Identifier: Apache-2.0
// Packs: what is appended comes back whole or as an error, damage costs what it is in, and space that nothing lives in
// comes back.
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/compaction.h"
#include "libcache/blobs/pack_totals.h"
#include "libcache/blobs/packs.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::lmdb::Scan;

BlobDigest name_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes); }
std::string numbered(int n, std::size_t size = 500) { return fmt::format("{} {}", n, std::string(size, 'p')); }

BlobTotals totals(OpenStore& store) {
  return must(store.env->view([](base::lmdb::ReadTxn& txn) { return blob_totals(txn); }));
}

void flip(const base::HostPath& path, std::uint64_t offset, unsigned char bits = 1) {
  const base::Fd file = must(base::open_host(path, O_RDWR));
  unsigned char byte = 0;
  ASSERT_EQ(::pread(file.get(), &byte, 1, static_cast<off_t>(offset)), 1);
  byte ^= bits;
  ASSERT_EQ(::pwrite(file.get(), &byte, 1, static_cast<off_t>(offset)), 1);
}

class PackFiles : public ::testing::Test {
 protected:
  PackFiles() { CHECK(::mkdir((dir_.path() / "blobs").c_str(), 0755) == 0); }
  std::shared_ptr<Packs> open(std::uint64_t bytes_max = 256u << 20) {
    return must(Packs::open(dir_.path(), {.pack_bytes_max = bytes_max, .open_max = 3}));
  }
  static PackLocation add(Packs& packs, const std::string& bytes) {
    return must(packs.append({.kind = EntryKind::blob, .digest = name_of(bytes)}, bytes)).at();
  }
  static base::Result<std::string> get(Packs& packs, const PackLocation& at, const std::string& bytes) {
    return packs.read(at, EntryKind::blob, name_of(bytes), bytes.size());
  }
  static std::vector<std::uint64_t> scan(const PackFile& pack) {
    std::vector<std::uint64_t> found;
    must(scan_pack(pack.file.get(), pack.identity.salt, 0, [&](std::uint64_t at, const EntryHeader&) -> base::Result<Scan> {
      found.push_back(at);
      return Scan::next;
    }));
    return found;
  }
  test::TempDir dir_;
};

TEST_F(PackFiles, EntriesOfManyThreadsComeBackFromSeveralPacks) {
  const auto packs = open(64 * 1024);
  std::vector<std::vector<PackLocation>> at(4);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 200; ++i) at[t].push_back(add(*packs, numbered(t * 1000 + i, i % 97)));
      });
  }
  packs->append({.kind = EntryKind::blob, .digest = name_of("")}, "").value();
  const auto reopened = open();
  for (int t = 0; t < 4; ++t)
    for (int i = 0; i < 200; ++i) EXPECT_EQ(must(get(*reopened, at[t][i], numbered(t * 1000 + i, i % 97))), numbered(t * 1000 + i, i % 97));
  EXPECT_GE(must(list_packs(dir_.path())).size(), 2u);
}

TEST_F(PackFiles, AReadGivesTheEntryThatWasMeantOrAnError) {
  const auto packs = open();
  const PackLocation a = add(*packs, "alpha"), b = add(*packs, "beta");
  EXPECT_EQ(get(*packs, a, "beta").error().code, ErrorCode::corrupt) << "another digest";
  EXPECT_EQ(packs->read(a, EntryKind::checksums, name_of("alpha"), 5).error().code, ErrorCode::corrupt);
  EXPECT_EQ(packs->read(a, EntryKind::blob, name_of("alpha"), 6).error().code, ErrorCode::corrupt);
  EXPECT_EQ(get(*packs, {a.pack, a.offset + 8}, "alpha").error().code, ErrorCode::corrupt);
  EXPECT_EQ(get(*packs, {a.pack, 1 << 30}, "alpha").error().code, ErrorCode::corrupt) << "behind the end";
  EXPECT_EQ(get(*packs, {99, a.offset}, "alpha").error().code, ErrorCode::not_found);
  EXPECT_EQ(must(get(*packs, b, "beta")), "beta");
}

TEST_F(PackFiles, EveryFlippedByteOfAnEntryIsNoticed) {
  const auto packs = open();
  const std::string bytes = numbered(1, 40);
  const PackLocation at = add(*packs, bytes);
  const auto size = entry_header_size + bytes.size();
  for (std::size_t i = 0; i < size; ++i) {
    flip(packs->path_of(at.pack), at.offset + i);
    EXPECT_EQ(get(*packs, at, bytes).error().code, ErrorCode::corrupt) << i;
    flip(packs->path_of(at.pack), at.offset + i);
  }
  EXPECT_EQ(must(get(*packs, at, bytes)), bytes);
}

TEST_F(PackFiles, AScanGoesOnBehindDamageAndHoles) {
  const auto packs = open();
  std::vector<PackLocation> at;
  for (int i = 0; i < 100; ++i) at.push_back(add(*packs, numbered(i)));
  flip(packs->path_of(1), at[10].offset + 3);  // its header
  const auto pack = must(packs->open_pack(1));
  const base::Fd file = must(base::open_host(packs->path_of(1), O_RDWR));
  ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16384, 16384), 0);
  std::vector<std::uint64_t> expected;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t begin = at[i].offset;
    if (i != 10 && (begin + entry_header_size <= 16384 || begin >= 32768)) expected.push_back(begin);
  }
  EXPECT_EQ(scan(*pack), expected);
}

// Whoever stores a copy of a pack must not get its entries taken for those of the pack that it is in.
TEST_F(PackFiles, AnEntryInsideOfABlobIsNeverTakenForOne) {
  const auto packs = open();
  const PackLocation inner = add(*packs, "inner");
  const std::string copy = must(base::read_file(packs->path_of(1), 1 << 20));
  const PackLocation outer = add(*packs, copy + copy);
  flip(packs->path_of(1), outer.offset + 3);
  EXPECT_EQ(scan(*must(packs->open_pack(1))), std::vector<std::uint64_t>{inner.offset});
}

TEST_F(PackFiles, ADamagedPackHeaderBeginsANewPackAndIdsGoOn) {
  const PackLocation first = add(*open(), "one");
  flip((dir_.path() / "blobs/packs") / pack_name(1), 20);
  const auto packs = open();
  EXPECT_EQ(get(*packs, first, "one").error().code, ErrorCode::corrupt);
  EXPECT_EQ(add(*packs, "two").pack, 2u);
}

TEST(PackedBlobs, AGroupOfPutsMakesOneDataSync) {
  OpenStore store;
  must(store.writer->wait_durable(must(store.cache->blobs().put("the pack exists")).sequence));
  const auto before = base::sync_counts();
  base::lmdb::SequenceNumber last = 0;
  for (int i = 0; i < 1000; ++i) last = must(store.cache->blobs().put(numbered(i))).sequence;
  must(store.writer->wait_durable(last));
  const auto after = base::sync_counts();
  EXPECT_LE(after.fdatasync - before.fdatasync, 2u) << "one, or two if the half second ended meanwhile";
  EXPECT_LE(after.lmdb - before.lmdb, 2u);
  EXPECT_EQ(after.fsync, before.fsync);
  EXPECT_EQ(after.syncfs, before.syncfs);
  store.reopen();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(must(store.cache->blobs().read(name_of(numbered(i)), 1000)), numbered(i));
  EXPECT_TRUE(store.findings().empty());
}

// Puts blobs and takes away those whose number is no multiple of `keep_each`.
void fill_and_prune(OpenStore& store, int count, int keep_each, std::size_t size = 500) {
  Publication publication;
  const ImmutableRef ref = store.commit(publication, {}, "keeper", "k");
  publication.add_result(key(1), ref);
  for (int i = 0; i < count; ++i) {
    must(store.cache->blobs().put(numbered(i, size)));
    if (i % keep_each == 0) publication.add_blob(ref, name_of(numbered(i, size)));
  }
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
}
void expect_kept(OpenStore& store, int count, int keep_each, std::size_t size = 500) {
  for (int i = 0; i < count; ++i) {
    const auto bytes = store.cache->blobs().read(name_of(numbered(i, size)), 1 << 20);
    if (i % keep_each == 0)
      EXPECT_EQ(must(bytes), numbered(i, size)) << i;
    else
      EXPECT_EQ(bytes.error().code, ErrorCode::not_found) << i;
  }
}

TEST(PackedBlobs, ACompactionKeepsWhatLivesAndGivesTheRestBack) {
  OpenStore store;
  fill_and_prune(store, 2000, 10);
  store.reopen();  // forgets who put them
  EXPECT_EQ(must(store.cache->compact_packs()), 0) << "all of it lives";
  EXPECT_EQ(must(store.cache->prune({})).blobs, 1800u);
  const BlobTotals before = totals(store);
  EXPECT_GE(before.pack_reclaimable_bytes, 1800 * 500);
  ASSERT_OK(store.cache->checkpoint());  // the journal holds packs until the next one
  const std::int64_t freed = must(store.cache->compact_packs());
  EXPECT_GE(freed, 1'000'000 - 200'000);
  const BlobTotals after = totals(store);
  EXPECT_EQ(after.pack_live_bytes, before.pack_live_bytes);
  EXPECT_LE(after.pack_reclaimable_bytes, 200);
  EXPECT_NE(must(list_packs(store.root())).front(), 1u) << "the first pack is gone";
  EXPECT_EQ(must(store.cache->compact_packs()), 0) << "nothing is left to do";
  expect_kept(store, 2000, 10);
  EXPECT_TRUE(store.findings().empty());
  store.reopen();
  expect_kept(store, 2000, 10);
}

TEST(PackedBlobs, ReadersFindBlobsWhileTheyAreMoved) {
  OpenStore store;
  fill_and_prune(store, 1000, 5);
  store.reopen();
  must(store.cache->prune({}));
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> reads{0};
  int moved = 0;
  std::vector<std::jthread> readers;
  for (int t = 0; t < 2; ++t)
    readers.emplace_back([&] {
      while (!stop)
        for (int i = 0; i < 1000; i += 5) {
          EXPECT_EQ(must(store.cache->blobs().read(name_of(numbered(i)), 1000)), numbered(i));
          ++reads;
        }
    });
  for (int round = 0; round < 5; ++round) {
    // Blobs of a record that goes make the pack that the others live in half dead again.
    Publication publication;
    {
      const ImmutableRef ref = store.commit(publication, {}, "goes", "g");
      for (int i = 0; i < 400; ++i) {
        const std::string bytes = numbered(100'000 + round * 1000 + i);
        must(store.cache->blobs().put(bytes));
        publication.add_blob(ref, name_of(bytes));
      }
    }
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    must(store.cache->prune({}));
    must(store.cache->checkpoint());
    moved += must(store.cache->compact_packs()) != 0 ? 1 : 0;
  }
  EXPECT_GE(moved, 3);
  while (reads < 400) std::this_thread::yield();
  stop = true;
  readers.clear();
  EXPECT_TRUE(store.findings().empty());
}

TEST(PackedBlobs, PunchingGivesDeadBlocksBackInPlace) {
  OpenStore store;
  fill_and_prune(store, 40, 4, 20'000);
  store.reopen();
  must(store.cache->prune({}));
  const BlobTotals before = totals(store);
  const std::int64_t freed = must(store.cache->punch_packs());
  EXPECT_GE(freed, 10 * 50'000);
  struct ::stat stat {};
  ASSERT_EQ(::stat((store.root() / "blobs/packs" / pack_name(1)).c_str(), &stat), 0);
  const BlobTotals after = totals(store);
  EXPECT_EQ(after.pack_live_bytes, before.pack_live_bytes);
  EXPECT_NEAR(static_cast<double>(after.pack_bytes), static_cast<double>(stat.st_blocks) * 512, 64 * 1024);
  EXPECT_LE(after.pack_reclaimable_bytes, before.pack_reclaimable_bytes - freed + 4096);
  expect_kept(store, 40, 4, 20'000);
  EXPECT_EQ(must(store.cache->punch_packs()), 0);
  EXPECT_TRUE(store.findings().empty());
}

TEST(PackedBlobs, FilesThatNoRowNamesAreErasedAndWhatIsNoPackStays) {
  OpenStore store;
  must(store.writer->wait_durable(must(store.cache->blobs().put("kept")).sequence));
  const auto packs = store.root() / "blobs/packs";
  ASSERT_OK(base::write_file_atomic(packs / pack_name(5), encode_pack_header({5, 1}), base::Durable::no));
  ASSERT_OK(base::write_file_atomic(packs / pack_name(9), encode_pack_header({9, 1}), base::Durable::no));
  ASSERT_OK(base::write_file_atomic(packs / "README", "not a pack", base::Durable::no));
  store.reopen();
  EXPECT_EQ(must(list_packs(store.root())), (std::vector<std::uint64_t>{1, 9})) << "the last goes on";
  EXPECT_EQ(::access((packs / "README").c_str(), F_OK), 0);
  EXPECT_EQ(must(store.cache->blobs().read(name_of("kept"), 10)), "kept");
}

TEST(PackedBlobs, DamageOfAPackCostsTheBlobsThatItIsIn) {
  OpenStore store;
  constexpr int count = 2000;
  for (int i = 0; i < count; ++i) must(store.cache->blobs().put(numbered(i)));
  store.reopen();
  std::mt19937_64 random(7);
  struct ::stat stat {};
  const auto path = store.root() / "blobs/packs" / pack_name(1);
  ASSERT_EQ(::stat(path.c_str(), &stat), 0);
  constexpr int flips = 20;
  for (int i = 0; i < flips; ++i)
    flip(path, pack_header_size + random() % (static_cast<std::uint64_t>(stat.st_size) - pack_header_size), 0x40);
  int lost = 0;
  for (int i = 0; i < count; ++i) {
    const auto bytes = store.cache->blobs().read(name_of(numbered(i)), 1000);
    if (bytes)
      EXPECT_EQ(*bytes, numbered(i));
    else
      ++lost;
  }
  EXPECT_LE(lost, flips);
  EXPECT_GE(lost, flips / 2) << "a flip in padding costs nothing, but most are in something";
}

}  // namespace
}  // namespace cairn::cache
