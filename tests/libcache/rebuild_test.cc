// SPDX-License-Identifier: Apache-2.0
// Damage stays local: a flipped byte in a value costs that row, one in a page of LMDB nothing, for all facts come back from
// the journal; a damaged blob is a miss. Each flip is seeded.
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <random>

#include "libcache/blobs/journal.h"
#include "libcache/blobs/pack_totals.h"
#include "libcache/fsck.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::lmdb::RawTableSpec;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

std::vector<const RawTableSpec*> all() {
  std::vector<const RawTableSpec*> specs(snapshot::tables().begin(), snapshot::tables().end());
  specs.insert(specs.end(), tables().begin(), tables().end());
  return specs;
}

// Every row that is a fact; but for reserved ids, of which a rebuild may reserve more.
using Rows = std::map<std::string, std::string>;
Rows facts(base::lmdb::Env& env) {
  Rows rows;
  for (const RawTableSpec* table : journaled_tables()) {
    if (std::string_view(table->name) == "snapshot.id_blocks") continue;
    must(env.view([&](ReadTxn& txn) {
      return txn.scan_raw(*table, {}, {}, [&](std::string_view key, std::string_view value) -> base::Result<Scan> {
        rows[std::string(table->name) + " " + std::string(key)] = value;
        return Scan::next;
      });
    }));
  }
  return rows;
}

void flip(const base::HostPath& path, std::uint64_t offset) {
  const base::Fd file = must(base::open_host(path, O_RDWR));
  unsigned char byte = 0;
  CHECK(::pread(file.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
  byte ^= 0x10;
  CHECK(::pwrite(file.get(), &byte, 1, static_cast<off_t>(offset)) == 1);
}

std::uint64_t size_of(const base::HostPath& path) {
  struct ::stat stat {};
  CHECK(::stat(path.c_str(), &stat) == 0);
  return static_cast<std::uint64_t>(stat.st_size);
}

BlobDigest name_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes); }

// Records with keys, links and blobs; some are pruned again.
void live_a_little(OpenStore& store, int from, int count) {
  for (int i = from; i < from + count; ++i) {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "file", "bytes " + std::to_string(i));
    const std::string small = fmt::format("blob {}", i), large = small + std::string(70'000, 'l');
    must(store.cache->blobs().put(small));
    publication.add_blob(ref, name_of(small));
    if (i % 4 == 0) {
      must(store.cache->blobs().put(large));
      publication.add_blob(ref, name_of(large));
    }
    if (i % 3 != 0) publication.add_result(key(i), ref);
    publication.add_link(link_of(i, 0), key(i + 1));
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  }
  must(store.cache->prune({}));  // those without a key
}

Rebuild rebuild(OpenStore& store) {
  const auto specs = all();
  return must(rebuild_metadata(store.root(), specs));
}

TEST(Rebuild, EveryFactComesBackWithoutTheMetadata) {
  OpenStore store;
  live_a_little(store, 0, 12);
  const Rows before = facts(*store.env);
  ASSERT_GT(before.size(), 60u);
  store.close();
  ASSERT_EQ(::unlink((store.root() / "meta/data.mdb").c_str()), 0);
  const Rebuild done = rebuild(store);
  EXPECT_EQ(done.damaged_entries, 0u);
  store.open();
  EXPECT_EQ(facts(*store.env), before);
  EXPECT_TRUE(store.findings().empty());
  EXPECT_EQ(store.results(key(1)).size(), 1u);
  EXPECT_EQ(must(store.cache->blobs().read(name_of("blob 1"), 100)), "blob 1");
  live_a_little(store, 100, 3);  // life goes on, and can be rebuilt again
  const Rows later = facts(*store.env);
  store.close();
  rebuild(store);
  store.open();
  EXPECT_EQ(facts(*store.env), later);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Rebuild, ACheckpointAndWhatCameAfterAreEnough) {
  OpenStore store;
  live_a_little(store, 0, 6);
  ASSERT_OK(store.cache->checkpoint());
  live_a_little(store, 20, 6);
  ASSERT_OK(store.cache->checkpoint());
  must(store.cache->compact_packs());  // packs that only the journal kept go
  live_a_little(store, 40, 6);
  const Rows before = facts(*store.env);
  store.close();
  const Rebuild done = rebuild(store);
  EXPECT_GT(done.transactions, 0u);
  store.open();
  EXPECT_EQ(facts(*store.env), before);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Rebuild, TheJournalDoesNotGrowForEver) {
  OpenStore store;
  live_a_little(store, 0, 4);
  const auto journal_bytes = [&] {
    return must(store.env->view([](ReadTxn& txn) { return blob_totals(txn); })).pack_journal_bytes;
  };
  std::int64_t largest = 0;
  for (int round = 0; round < 5; ++round) {
    live_a_little(store, 100 + 10 * round, 4);
    must(store.cache->prune({.all = true}));
    ASSERT_OK(store.cache->checkpoint());
    must(store.cache->compact_packs());
    if (round == 1) largest = journal_bytes();
    if (round > 1) {
      EXPECT_LE(journal_bytes(), largest + 16 * 1024) << round;
    }
  }
  EXPECT_LE(must(list_packs(store.root())).size(), 3u);
}

TEST(Rebuild, AWriteThatWasNeverCommittedIsReplacedByTheNextOfItsNumber) {
  OpenStore store;
  live_a_little(store, 0, 2);
  const Rows before = facts(*store.env);
  // A transaction that the journal has and LMDB has not: as after a crash between the two.
  const auto status = store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    TRY(txn.put_raw(*journaled_tables().front(), "never", "x"));
    TRY(txn.flush_changes());
    return base::fail(ErrorCode::io, "died here");
  });
  ASSERT_FALSE(status);
  live_a_little(store, 10, 1);
  const Rows after = facts(*store.env);
  EXPECT_NE(before, after);
  store.close();
  rebuild(store);
  store.open();
  EXPECT_EQ(facts(*store.env), after);
}

TEST(Damage, AFlippedByteInAValueCostsThatRow) {
  OpenStore store;
  for (int i = 0; i < 20; ++i) store.make({}, "file", key(i), {.description = fmt::format("number {:04}.", i), .chain = {}});
  const Rows before = facts(*store.env);
  store.close();
  // The value is there once in the last version of its page, and perhaps in older ones that nothing reads.
  const std::string bytes = must(base::read_file(store.root() / "meta/data.mdb", 64u << 20));
  for (std::size_t at = bytes.find("number 0007."); at != std::string::npos; at = bytes.find("number 0007.", at + 1))
    flip(store.root() / "meta/data.mdb", at + 3);
  const auto specs = all();
  const MetadataWalk walk = must(walk_metadata(store.root(), specs));
  EXPECT_EQ(walk.broken, "");
  EXPECT_EQ(walk.damaged_count, 1u);
  ASSERT_EQ(walk.damaged.size(), 1u);
  EXPECT_TRUE(walk.damaged[0].starts_with("cache.records ")) << walk.damaged[0];
  store.open();
  int found = 0;
  for (int i = 0; i < 20; ++i)
    for (const RecordId id : store.results(key(i)))
      if (const auto ref = store.cache->find(id); ref && *ref) ++found;
  EXPECT_EQ(found, 19);
  store.close();
  rebuild(store);
  store.open();
  EXPECT_EQ(facts(*store.env), before) << "and a rebuild gives it back";
}

TEST(Damage, FlippedBytesInPagesOfLmdbCostNothing) {
  OpenStore store;
  live_a_little(store, 0, 12);
  const Rows before = facts(*store.env);
  store.close();
  const auto data = store.root() / "meta/data.mdb";
  const auto specs = all();
  int noticed = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 40; ++i) flip(data, random() % size_of(data));
    const MetadataWalk walk = must(walk_metadata(store.root(), specs));  // whatever it does to the child
    if (!walk.broken.empty() || walk.damaged_count > 0) ++noticed;
    const Rebuild done = rebuild(store);
    EXPECT_EQ(done.damaged_entries, 0u);
    store.open();
    EXPECT_EQ(facts(*store.env), before) << seed;
    EXPECT_TRUE(store.findings().empty());
    store.close();
  }
  EXPECT_GE(noticed, 9) << "a flip may hit a page that nothing uses, but not often";
}

TEST(Damage, MetadataOfFormat1IsMigratedWithAllRows) {
  OpenStore store;
  live_a_little(store, 0, 6);
  const Rows before = facts(*store.env);
  store.close();
  const auto specs = all();
  {
    base::lmdb::Env::Options plain;
    plain.values = base::lmdb::Env::Options::Values::plain;
    const auto from = must(base::lmdb::Env::open(store.root() / "meta", specs, {}));
    const auto to = must(base::lmdb::Env::open(store.root() / "meta.old", specs, plain));
    for (const RawTableSpec* table : specs) {
      std::map<std::string, std::string> rows;
      must(from->view([&](ReadTxn& txn) {
        return txn.scan_raw(*table, {}, {}, [&](std::string_view k, std::string_view v) -> base::Result<Scan> {
          rows.emplace(k, v);
          return Scan::next;
        });
      }));
      must(to->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
        for (const auto& [k, v] : rows) TRY(txn.put_raw(*table, k, v));
        return {};
      }));
    }
  }
  ASSERT_EQ(::rename((store.root() / "meta").c_str(), (store.root() / "meta.aside").c_str()), 0);
  ASSERT_EQ(::rename((store.root() / "meta.old").c_str(), (store.root() / "meta").c_str()), 0);
  const std::uint64_t counted = must(count_rows_to_migrate(store.root(), specs));
  EXPECT_GT(counted, before.size());
  EXPECT_EQ(must(migrate_metadata(store.root(), specs)), counted);
  EXPECT_EQ(must(count_rows_to_migrate(store.root(), specs)), 0u);
  EXPECT_EQ(must(migrate_metadata(store.root(), specs)), 0u) << "again, as after a crash: nothing is left to do";
  ASSERT_OK(finish_migration(store.root()));
  store.open();
  EXPECT_EQ(facts(*store.env), before);
  EXPECT_EQ(store.results(key(1)).size(), 1u);
}

TEST(Scrub, FindsWhatHasBeenDamagedAndGoesOnWhereItStopped) {
  OpenStore store;
  constexpr int count = 2000;
  for (int i = 0; i < count; ++i) must(store.cache->blobs().put(fmt::format("{} {}", i, std::string(300, 's'))));
  store.reopen();
  EXPECT_EQ(must(store.cache->scrub({})).damaged, 0u);
  std::mt19937_64 random(3);
  const auto pack = store.root() / "blobs/packs/0000000000000001";
  constexpr int flips = 5;
  for (int i = 0; i < flips; ++i) flip(pack, 4096 + random() % (size_of(pack) / 2));
  std::stop_source stop;
  stop.request_stop();
  const ScrubReport one = must(store.cache->scrub({}, stop.get_token()));
  EXPECT_EQ(one.blobs, 1u);
  EXPECT_FALSE(one.reached_end);
  must(store.cache->prune({.dry_run = true}));  // its place is written
  const ScrubReport rest = must(store.cache->scrub({}));
  EXPECT_EQ(rest.blobs, static_cast<std::uint64_t>(count) - 1);
  EXPECT_TRUE(rest.reached_end);
  must(store.cache->prune({.dry_run = true}));
  EXPECT_EQ(must(store.cache->quarantined()), one.damaged + rest.damaged);
  EXPECT_GE(one.damaged + rest.damaged, 1u);
  EXPECT_LE(one.damaged + rest.damaged, static_cast<std::uint64_t>(flips));
  EXPECT_EQ(must(store.cache->scrub({})).damaged, 0u) << "they are misses now";
  EXPECT_TRUE(store.findings().empty());
}

}  // namespace
}  // namespace cairn::cache
