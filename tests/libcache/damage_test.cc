// SPDX-License-Identifier: Apache-2.0
// In a store of 2,000 records, each with a tree, a key and a blob, a byte that the disk has changed costs two records at
// most (0.1 %): whoever asks for them is told that they are not there. Each flip is seeded.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <random>

#include "libbase/fs/host_tree.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/fsck.h"
#include "libcache/records/record_rows.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/big_store.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::HostPath;
using base::lmdb::RawTableSpec;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

constexpr std::uint64_t records = 2000, lost_max = records / 1000;

std::vector<const RawTableSpec*> all() {
  std::vector<const RawTableSpec*> specs(snapshot::tables().begin(), snapshot::tables().end());
  specs.insert(specs.end(), tables().begin(), tables().end());
  return specs;
}

std::uint64_t size_of(const HostPath& path) { return must(base::stat_fd(must(base::open_host(path, O_RDONLY)).get())).st_size; }

void flip(const HostPath& path, std::uint64_t at) {
  const base::Fd file = must(base::open_host(path, O_RDWR));
  char byte = 0;
  CHECK(::pread(file.get(), &byte, 1, static_cast<off_t>(at)) == 1);
  byte ^= 0x10;
  CHECK(::pwrite(file.get(), &byte, 1, static_cast<off_t>(at)) == 1);
}

// One store for all tests, which take a while to make: each says what it has lost more than those before.
class DamageAtScale : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    opened_ = new OpenStore();
    opened_->close();
    {
      const auto specs = all();
      const auto filling = must(base::lmdb::Env::open(opened_->root() / "meta", specs, {}));
      test::fill_big_store(*filling, opened_->root(), {.records = records, .chain = 1, .files = 1});
    }
    opened_->open();
    base::lmdb::SequenceNumber last = 0;
    for (std::uint64_t n = 0; n < records; ++n) last = must(opened_->cache->blobs().put(blob(n))).sequence;
    must(opened_->writer->wait_durable(last));
    must(opened_->env->update([](WriteTxn& txn) -> base::Status {
      for (std::uint64_t n = 0; n < records; ++n)
        TRY(put_record_blob(txn, test::big_store_record(n), base::digest_of<BlobDigest>(blob(n))));
      return {};
    }));
    must(opened_->cache->checkpoint());
    opened_->reopen();
  }
  static void TearDownTestSuite() {
    delete opened_;
    opened_ = nullptr;
  }
  DamageAtScale() : store(*opened_), before(lost()) {}

  // Every hundredth is a file.
  static std::string blob(std::uint64_t n) { return fmt::format("blob {:05} ", n) + std::string(n % 100 == 7 ? 70'000 : 300, 'b'); }
  HostPath tree(std::uint64_t n) { return store.root() / fmt::format("trees/{}", test::big_store_record(n).value()); }
  HostPath tree_file(std::uint64_t n) { return tree(n) / "fs/file0"; }

  // A record is whole if its key leads to it, and its tree and blob are what they were. What is not must say so.
  bool is_whole(std::uint64_t n) {
    const auto results = store.results(test::big_store_key(n));
    if (results.empty()) return false;
    const auto ref = must(store.cache->find(results.front()));
    if (!ref) return false;
    const auto bytes = store.cache->blobs().read(base::digest_of<BlobDigest>(blob(n)), 1 << 20);
    if (!bytes) {
      EXPECT_TRUE(bytes.error().code == ErrorCode::corrupt || bytes.error().code == ErrorCode::not_found)
          << bytes.error().message;
      return false;
    }
    EXPECT_TRUE(*bytes == blob(n)) << "other bytes were given out";
    return must(base::read_file(tree_file(n), 1000)) == tree_bytes_;
  }
  std::uint64_t lost() {
    if (tree_bytes_.empty()) tree_bytes_ = must(base::read_file(tree_file(0), 1000));
    std::uint64_t count = 0;
    for (std::uint64_t n = 0; n < records; ++n) count += is_whole(n) ? 0 : 1;
    return count;
  }
  // What was asked for and is not there has been taken out: a second look finds the same, and the store is sound.
  void expect_settled(std::uint64_t count) {
    must(store.cache->prune({.dry_run = true}));  // what was queued is done
    EXPECT_EQ(lost(), count);
    EXPECT_EQ(store.findings(), std::vector<std::string>());
  }

  static inline OpenStore* opened_ = nullptr;
  static inline std::string tree_bytes_;
  OpenStore& store;
  std::uint64_t before;  // lost by earlier tests
};

TEST_F(DamageAtScale, AByteOfAPackCostsTheBlobThatItIsIn) {
  std::mt19937_64 random(1);
  const auto pack = store.root() / "blobs/packs/0000000000000001";
  std::uint64_t last = before;
  for (int i = 0; i < 12; ++i) {
    flip(pack, random() % size_of(pack));
    store.reopen();
    const std::uint64_t now = lost();
    EXPECT_LE(now - last, lost_max) << i;
    last = now;
  }
  EXPECT_GE(last - before, 1u) << "blobs are most of it";
  expect_settled(last);
}

TEST_F(DamageAtScale, AByteOfABlobsFileCostsThatBlob) {
  for (std::uint64_t n = 107; n < 500; n += 100) {
    const auto digest = base::digest_of<BlobDigest>(blob(n));
    flip(store.root() / ("blobs/sha256/" + digest.hex().substr(0, 2)) / digest.hex(), 3 * n);
  }
  const std::uint64_t quarantined = must(store.cache->quarantined());
  EXPECT_EQ(lost(), before + 4);
  expect_settled(before + 4);
  EXPECT_EQ(must(store.cache->quarantined()), quarantined + 4);
}

TEST_F(DamageAtScale, AScrubFindsEachTreeThatIsNotWhatItWas) {
  const ScrubReport first = must(store.cache->scrub({.from = ScrubOptions::From::beginning}));
  EXPECT_EQ(first.sealed, records);
  EXPECT_EQ(first.damaged_trees, 0u);
  const ScrubReport second = must(store.cache->scrub({.from = ScrubOptions::From::beginning}));
  EXPECT_EQ(second.trees, records);
  EXPECT_EQ(second.tree_bytes, first.tree_bytes);
  EXPECT_EQ(second.sealed + second.damaged_trees, 0u);

  // A byte; a mode; an attribute; a file that is gone; one too many; another time; a tree that is gone.
  flip(tree_file(3), 50);
  ASSERT_EQ(::chmod(tree_file(600).c_str(), 0600), 0);
  ASSERT_EQ(::setxattr(tree_file(601).c_str(), "user.mark", "x", 1, 0), 0);
  ASSERT_EQ(::unlink(tree_file(900).c_str()), 0);
  must(base::write_file_atomic(tree(901) / "fs/another", "x", base::Durable::no));
  const ::timespec times[2] = {{0, UTIME_OMIT}, {1, 1}};
  ASSERT_EQ(::utimensat(AT_FDCWD, tree_file(1400).c_str(), times, 0), 0);
  must(base::remove_host_tree(tree(1999)));
  const std::vector<std::uint64_t> damaged = {3, 600, 601, 900, 901, 1400, 1999};

  const ScrubReport found = must(store.cache->scrub({.from = ScrubOptions::From::beginning}));
  EXPECT_EQ(found.damaged_trees, damaged.size());
  EXPECT_EQ(found.quarantined_records, damaged.size());
  EXPECT_LE(found.quarantined_records, damaged.size() * lost_max);
  EXPECT_EQ(must(store.cache->damaged_records()), damaged.size());
  for (const std::uint64_t n : damaged) {
    EXPECT_TRUE(store.results(test::big_store_key(n)).empty()) << n;
    const auto why = must(store.cache->find_tombstone(test::big_store_key(n)));
    ASSERT_TRUE(why) << n;
    EXPECT_EQ(why->rule, damage_rule);
  }
  expect_settled(before + damaged.size());
  EXPECT_EQ(must(store.cache->scrub({.from = ScrubOptions::From::beginning})).damaged_trees, 0u) << "they are misses now";
  must(store.cache->prune({}));  // what no key leads to
  EXPECT_EQ(must(store.cache->damaged_records()), 0u);
  expect_settled(before + damaged.size());
}

TEST_F(DamageAtScale, AByteOfAValueCostsOneRecordAndARebuildGivesItBack) {
  const auto data = store.root() / "meta/data.mdb";
  std::vector<std::string> values;
  for (const std::uint64_t n : {5u, 777u, 1500u})
    must(store.env->view([&](ReadTxn& txn) -> base::Status {
      values.emplace_back(TRY(txn.get_raw(table::records, base::Codec<RecordId>::encode(test::big_store_record(n)))).value());
      return {};
    }));
  for (std::uint64_t i = 0; i < values.size(); ++i) {
    store.close();
    const std::string bytes = must(base::read_file(data, 64u << 20));
    std::uint64_t hits = 0;
    for (std::size_t at = bytes.find(values[i]); at != std::string::npos; at = bytes.find(values[i], at + 1), ++hits)
      flip(data, at + values[i].size() / 2);
    ASSERT_GE(hits, 1u);
    store.open();
    EXPECT_EQ(lost(), before + i + 1);
  }
  store.close();
  const auto specs = all();
  EXPECT_EQ(must(walk_metadata(store.root(), specs)).damaged_count, values.size());
  must(rebuild_metadata(store.root(), specs));
  store.open();
  EXPECT_EQ(lost(), before);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

TEST_F(DamageAtScale, BytesOfLmdbsPagesCostARebuildAndNoRecord) {
  const auto data = store.root() / "meta/data.mdb";
  store.close();
  const auto specs = all();
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    std::mt19937_64 random(seed);
    // In the headers and tables of pages, where a byte breaks the tree and not only a value.
    for (int i = 0; i < 60; ++i) flip(data, random() % (size_of(data) / 4096) * 4096 + random() % 40);
    const MetadataWalk walk = must(walk_metadata(store.root(), specs));
    EXPECT_TRUE(!walk.broken.empty() || walk.damaged_count > 0) << seed;
    must(rebuild_metadata(store.root(), specs));
    store.open();
    EXPECT_EQ(lost(), before) << seed;
    EXPECT_EQ(store.findings(), std::vector<std::string>()) << seed;
    store.close();
  }
  store.open();
}

}  // namespace
}  // namespace cairn::cache
