// SPDX-License-Identifier: Apache-2.0
// Sums are what their rows add up to, whatever happened; by type and by owner they add up to the same; and a store that
// was written before there were sums gets them.
#include <random>

#include "libcache/account/totals.h"
#include "libcache/blobs/blob_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::Status;
using base::lmdb::WriteTxn;

constexpr Dimension dimensions[] = {Dimension::type, Dimension::project, Dimension::build, Dimension::step};

// What trees and blobs take by du, and by each way to split it.
void expect_reconciled(OpenStore& store) {
  const DiskUsage usage = must(store.cache->disk_usage());
  const std::int64_t all = usage.tree_bytes + usage.blob_bytes + usage.pack_bytes - usage.pack_reclaimable_bytes;
  for (const Dimension dimension : dimensions) {
    const Breakdown breakdown = must(usage_by(*store.env, dimension));
    EXPECT_EQ(breakdown.total_bytes, all) << to_string(dimension);
    std::uint64_t records = 0;
    for (const Share& share : breakdown.shares) records += share.records;
    EXPECT_EQ(records, usage.records) << to_string(dimension);
  }
}

const Share& share_of(const Breakdown& breakdown, const std::string& name) {
  for (const Share& share : breakdown.shares)
    if (share.name == name) return share;
  CHECK(false, "no share of \"{}\"", name);
  std::abort();
}

RecordSpace space_of(OpenStore& store, RecordId id) {
  RecordSpace space;
  must(store.cache->each_record([&](const RecordInfo& info) -> Status {
    if (info.id == id) space = info.space;
    return {};
  }));
  return space;
}

TEST(Totals, ABlobIsExclusiveUntilASecondRecordNamesItAndAgainWhenItGoes) {
  OpenStore store;
  const BlobStore::Put blob = must(store.cache->blobs().put(std::string(100'000, 'b')));
  must(store.writer->wait_durable(blob.sequence));
  const std::int64_t bytes = blob.info.allocated_bytes;
  ASSERT_GE(bytes, 100'000);
  const auto unowned = [&] { return must(usage_by(*store.env, Dimension::type)).unowned_bytes; };
  constexpr std::int64_t beside_blobs = 32 << 10;  // what a pack holds beside them: its journal, checksums, the last block
  EXPECT_GE(unowned(), bytes);
  EXPECT_LT(unowned(), bytes + beside_blobs);
  const auto make = [&](const std::string& file, const std::string& project, std::optional<KeyDigest> under) {
    Publication publication;
    ImmutableRef ref = store.commit(publication, {}, file, "x", {.owner = {.project = project}});
    publication.add_blob(ref, blob.info.digest);
    if (under) publication.add_result(*under, ref);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    return ref.id();
  };
  const RecordId first = make("a", "one", key(1));
  EXPECT_EQ(space_of(store, first).blob_exclusive_bytes, bytes);
  EXPECT_LT(unowned(), beside_blobs) << "somebody names it";
  expect_reconciled(store);
  const RecordId second = make("b", "two", {});
  for (const RecordId id : {first, second}) {
    EXPECT_EQ(space_of(store, id).blob_exclusive_bytes, 0);
    EXPECT_EQ(space_of(store, id).blob_shared_bytes, bytes);
  }
  const Breakdown split = must(usage_by(*store.env, Dimension::project));
  EXPECT_EQ(share_of(split, "one").shared_bytes + share_of(split, "two").shared_bytes, bytes);
  EXPECT_EQ(share_of(split, "one").shared_bytes, bytes / 2);
  const RecordId third = make("c", "two", {});
  EXPECT_EQ(space_of(store, third).blob_shared_bytes, bytes);
  expect_reconciled(store);
  EXPECT_EQ(must(store.cache->prune({})).records.size(), 2u);
  EXPECT_EQ(space_of(store, first).blob_exclusive_bytes, bytes);
  EXPECT_EQ(space_of(store, first).blob_shared_bytes, 0);
  expect_reconciled(store);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

// Hard links of a merge make what both trees name shared, and the last one to name it has it for itself again.
TEST(Totals, TreesThatShareFilesAreCountedOnce) {
  OpenStore store("native");
  RecordId id;
  std::int64_t alone = 0;
  {
    const ImmutableRef ref = store.make({}, "a", key(1));
    id = ref.id();
    alone = space_of(store, id).exclusive_bytes;
    EXPECT_GT(alone, 0);
  }
  must(store.env->update([&](WriteTxn& txn) -> Status {
    auto tree = TRY(snapshot::find_snapshot(txn, snapshot::SnapshotId(id.value())));
    tree->exclusive.bytes -= 4096;  // as if another tree had come to name 4 KiB of it
    return note_exclusive_change(txn, *tree);
  }));
  EXPECT_EQ(space_of(store, id).exclusive_bytes, alone - 4096);
  EXPECT_EQ(space_of(store, id).shared_bytes, 4096);
  EXPECT_EQ(share_of(must(usage_by(*store.env, Dimension::type)), "regular").exclusive_bytes, alone - 4096);
}

class RandomTotals : public testing::TestWithParam<const char*> {};

TEST_P(RandomTotals, AddUpAfterRandomCommitsBlobsPrunesAndReopenings) {
  OpenStore store(GetParam());
  std::mt19937 random(20261126);
  const auto pick = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
  std::vector<ImmutableRef> held;
  int prunes = 0;
  for (int round = 0; round < 60; ++round) {
    if (pick(20) == 0) {
      held.clear();
      store.reopen();
    }
    Publication publication;
    std::optional<ImmutableRef> parent;
    if (!held.empty() && pick(2) == 0) parent = held[static_cast<std::size_t>(pick(static_cast<int>(held.size())))];
    RecordFacts facts{.type = static_cast<RecordType>(pick(7)),
                      .owner = {.project = "p" + std::to_string(pick(3)), .build = "b" + std::to_string(round / 10)}};
    const ImmutableRef ref = store.commit(publication, parent, "f", std::string(static_cast<std::size_t>(pick(90'000)), 'x'),
                                          std::move(facts));
    if (pick(2) == 0) publication.add_result(key(round), ref);
    for (int i = pick(4); i > 0; --i) {
      const std::string bytes(static_cast<std::size_t>(1000 * (1 + pick(12))), 'b');
      publication.add_blob(ref, must(store.cache->blobs().put(bytes)).info.digest);
    }
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    if (pick(3) == 0) held.push_back(ref);
    if (pick(20) == 0) held.clear();
    if (pick(12) == 0) {
      must(store.cache->prune({.all = pick(4) == 0}));
      ++prunes;
    }
  }
  EXPECT_GT(prunes, 0);
  must(store.cache->prune({}));
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
  expect_reconciled(store);
  held.clear();
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
  expect_reconciled(store);
  EXPECT_TRUE(must(usage_by(*store.env, Dimension::build)).shares.empty()) << "rows of sums that are zero are gone";
}

INSTANTIATE_TEST_SUITE_P(Drivers, RandomTotals, testing::Values("overlay", "native"));

std::string row_of_version_1(const RecordInfo& info) {
  base::ByteWriter writer;
  writer.u8(1).u8(static_cast<std::uint8_t>(info.facts.type)).u8(0).u64(info.snapshot.value());
  writer.i64(info.usage.bytes).i64(info.usage.inodes).i64(0).i64(0).u8(0).varint(info.parents.size());
  for (const RecordId parent : info.parents) writer.u64(parent.value());
  return writer.string(info.facts.description).take();
}

// Takes away what a build that knew only version 1 did not write.
void make_old(OpenStore& store) {
  std::vector<RecordInfo> records;
  must(store.cache->each_record([&](const RecordInfo& info) -> Status {
    records.push_back(info);
    return {};
  }));
  must(store.env->update([&](WriteTxn& txn) -> Status {
    for (const RecordInfo& info : records)
      TRY(txn.put_raw(table::records, base::Codec<RecordId>::encode(info.id), row_of_version_1(info)));
    for (const auto* name : {"committed", "trash"}) {
      constexpr base::lmdb::RawTableSpec tree_totals{"snapshot.totals", base::lmdb::Precious::rebuildable};
      TRY(txn.erase_raw(tree_totals, name));
    }
    std::vector<TotalKey> keys;
    TRY(txn.scan(table::totals, "", [&](const TotalKey& key, const Totals&) -> base::Result<base::lmdb::Scan> {
      keys.push_back(key);
      return base::lmdb::Scan::next;
    }));
    for (const TotalKey& key : keys) TRY(txn.erase(table::totals, key));
    return {};
  }));
}

TEST(Totals, AStoreWithoutSumsIsReadAndGetsThemWhenItIsOpened) {
  OpenStore store;
  {
    const ImmutableRef parent = store.make({}, "a", key(1));
    Publication publication;
    const ImmutableRef child = store.commit(publication, parent, "b", "beta");
    for (const ImmutableRef& ref : {parent, child})
      publication.add_blob(ref, must(store.cache->blobs().put(std::string(50'000, 'b'))).info.digest);
    publication.add_blob(child, must(store.cache->blobs().put(std::string(9'000, 'c'))).info.digest);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  }
  must(store.cache->prune({.dry_run = true}));  // nothing is queued any more
  const DiskUsage before = must(store.cache->disk_usage());
  make_old(store);
  const DiskUsage beside = must(disk_usage(*store.env, store.root()));
  EXPECT_EQ(beside.tree_bytes, before.tree_bytes);
  EXPECT_EQ(beside.blob_bytes, before.blob_bytes);
  EXPECT_EQ(store.findings(), std::vector<std::string>{}) << "nothing is wrong with a store without sums";
  store.reopen();
  const auto commits = store.env->counts().commits;
  store.reopen();
  EXPECT_LE(store.env->counts().commits, commits) << "made once";
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
  const DiskUsage after = must(store.cache->disk_usage());
  EXPECT_EQ(after.tree_bytes, before.tree_bytes);
  EXPECT_EQ(after.blob_bytes, before.blob_bytes);
  EXPECT_EQ(after.records, 2u);
  expect_reconciled(store);
}

}  // namespace
}  // namespace cairn::cache
