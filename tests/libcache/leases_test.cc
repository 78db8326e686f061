// SPDX-License-Identifier: Apache-2.0
// Leases: what one names stays, with all that it needs, across restarts, until it is released or expires; and deletion
// asks in the transaction that deletes.
#include <thread>

#include "libcache/records/lease_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;

std::size_t removed(OpenStore& store) { return must(store.cache->prune({.all = true})).records.size(); }
void wait(OpenStore& store, base::Result<base::lmdb::SequenceNumber> number) {
  must(store.writer->wait_durable(must(std::move(number))));
}

TEST(Leases, ALeaseKeepsARecordAndItsAncestorsAndBlobsAcrossRestarts) {
  OpenStore store;
  LeaseId lease;
  RecordId child_id;
  {
    const ImmutableRef parent = store.make({}, "a");
    Publication publication;
    const ImmutableRef child = store.commit(publication, parent, "b", "beta");
    child_id = child.id();
    publication.add_blob(child, must(store.cache->blobs().put("needed")).info.digest);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    const LeaseMade made = must(store.cache->create_lease({.owner = "ci", .records = {child}}));
    lease = made.id;
    must(store.writer->wait_durable(made.sequence));
  }
  store.make({}, "loose");
  store.reopen();
  EXPECT_EQ(must(store.cache->prune({.all = true, .dry_run = true})).records.size(), 1u);
  EXPECT_EQ(removed(store), 1u) << "only the loose one";
  EXPECT_EQ(store.read(*must(store.cache->find(child_id)), "a"), "bytes of a");
  EXPECT_TRUE(must(store.cache->blobs().find(base::digest_of<BlobDigest>("needed"))));
  const auto leases = must(store.cache->leases());
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].id, lease);
  EXPECT_EQ(leases[0].owner, "ci");
  EXPECT_EQ(leases[0].records, std::vector{child_id});
  EXPECT_FALSE(leases[0].expires);
  wait(store, store.cache->release_lease(lease));
  EXPECT_TRUE(must(store.cache->leases()).empty());
  EXPECT_EQ(removed(store), 2u);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST(Leases, ABlobIsKeptByItsOwnLease) {
  OpenStore store;
  const BlobDigest blob = must(store.cache->blobs().put("blob")).info.digest;
  const LeaseId lease = must(store.cache->create_lease({.owner = "client", .blobs = {blob}})).id;
  must(store.cache->prune({.dry_run = true}));  // nothing is queued any more
  store.reopen();  // the claim of the put is gone
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(must(store.cache->blobs().read(blob, 100)), "blob");
  wait(store, store.cache->release_lease(lease));
  EXPECT_EQ(must(store.cache->prune({.all = true})).blobs, 1u);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST(Leases, AnExpiredLeaseKeepsNothingAndIsSwept) {
  OpenStore store;
  const auto end = store.clock.now() + std::chrono::hours(1);
  LeaseId lease;
  {
    const ImmutableRef ref = store.make({}, "a");
    lease = must(store.cache->create_lease({.owner = "x", .expires = end, .records = {ref}})).id;
  }
  EXPECT_EQ(removed(store), 0u);
  wait(store, store.cache->extend_lease(lease, end + std::chrono::hours(1)));
  store.clock.advance(std::chrono::minutes(90));
  EXPECT_EQ(removed(store), 0u) << "extended";
  EXPECT_EQ(must(store.cache->leases()).size(), 1u);
  store.clock.advance(std::chrono::minutes(30));
  EXPECT_TRUE(must(store.cache->leases()).empty()) << "over at the moment it expires";
  EXPECT_EQ(must(store.cache->prune({.all = true, .dry_run = true})).records.size(), 1u);
  const auto late = store.cache->extend_lease(lease, std::nullopt);
  EXPECT_EQ(store.writer->wait_durable(must(late)).error().code, ErrorCode::not_found);
  EXPECT_EQ(removed(store), 1u);
  const auto rows = must(store.env->view([](base::lmdb::ReadTxn& txn) -> base::Result<std::uint64_t> {
    return TRY(txn.count(table::leases)) + TRY(txn.count(table::lease_records)) + TRY(txn.count(table::record_leases)) +
           TRY(txn.count(table::lease_ends));
  }));
  EXPECT_EQ(rows, 0u) << "and swept";
}

TEST(Leases, ALargeLeaseIsSweptInSmallPieces) {
  OpenStore store;
  std::vector<BlobDigest> blobs;
  for (int i = 0; i < 3000; ++i) blobs.push_back(must(store.cache->blobs().put("blob " + std::to_string(i))).info.digest);
  const LeaseId lease = must(store.cache->create_lease({.owner = "big", .blobs = blobs})).id;
  wait(store, store.cache->release_lease(lease));
  EXPECT_TRUE(must(store.cache->leases()).empty());
  const auto named = [&] {
    return must(store.env->view([](base::lmdb::ReadTxn& txn) { return txn.count(table::lease_blobs); }));
  };
  EXPECT_GT(named(), 0u) << "one change does not take all of it";
  EXPECT_LT(named(), 3000u);
  must(store.cache->prune({}));
  EXPECT_EQ(named(), 0u);
}

TEST(Leases, WhatDoesNotExistCannotBeLeasedAndNothingIsLeftOfTheTry) {
  OpenStore store;
  const LeaseMade made =
      must(store.cache->create_lease({.owner = "x", .blobs = {base::digest_of<BlobDigest>("no such blob")}}));
  EXPECT_EQ(store.writer->wait_durable(made.sequence).error().code, ErrorCode::not_found);
  EXPECT_TRUE(must(store.cache->leases()).empty());
  Publication never;
  const ImmutableRef ref = store.commit(never, {}, "a", "alpha");
  const LeaseMade unpublished = must(store.cache->create_lease({.owner = "x", .records = {ref}}));
  EXPECT_EQ(store.writer->wait_durable(unpublished.sequence).error().code, ErrorCode::not_found);
  EXPECT_EQ(store.cache->create_lease({.owner = std::string(257, 'x')}).error().code, ErrorCode::invalid_argument);
}

TEST(Leases, MoreCanBeAddedLater) {
  OpenStore store;
  const LeaseId lease = must(store.cache->create_lease({.owner = "x"})).id;
  {
    const ImmutableRef ref = store.make({}, "a");
    wait(store, store.cache->add_to_lease(lease, {ref}, {}));
    wait(store, store.cache->add_to_lease(lease, {ref}, {}));  // naming twice is success
  }
  EXPECT_EQ(removed(store), 0u);
  EXPECT_EQ(must(store.cache->leases()).at(0).records.size(), 1u);
}

// Held until the lease has its row: at no moment is the record without a claim.
TEST(Leases, RecordsAreNeverWithoutAClaimWhileOthersPrune) {
  OpenStore store;
  std::atomic<bool> done{false};
  std::thread pruner([&] {
    while (!done) must(store.cache->prune({.all = true}));
  });
  for (int i = 0; i < 40; ++i) {
    LeaseMade made;
    RecordId id;
    {
      const ImmutableRef ref = store.make({}, "a");
      id = ref.id();
      made = must(store.cache->create_lease({.owner = "x", .records = {ref}}));
    }
    EXPECT_TRUE(must(store.cache->find(id))) << "after the ref is gone, before the lease is durable";
    must(store.writer->wait_durable(made.sequence));
    EXPECT_TRUE(must(store.cache->find(id)));
    wait(store, store.cache->release_lease(made.id));
  }
  done = true;
  pruner.join();
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST(Leases, RowsComeBackWholeAndDamageIsCorrupt) {
  using base::Codec;
  for (const auto& expires : {std::optional<base::WallTime>(), std::optional(base::from_unix_ns(-7))}) {
    const LeaseRow row{"owner", base::from_unix_ns(5), expires};
    const std::string bytes = Codec<LeaseRow>::encode(row);
    const LeaseRow back = must(Codec<LeaseRow>::decode(bytes));
    EXPECT_EQ(back.owner, row.owner);
    EXPECT_EQ(back.created, row.created);
    EXPECT_EQ(back.expires, row.expires);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      ASSERT_FALSE(Codec<LeaseRow>::decode(std::string_view(bytes).substr(0, size))) << size;
  }
  EXPECT_LT(Codec<LeaseEnd>::encode({-1}), Codec<LeaseEnd>::encode({0}));
  EXPECT_LT(Codec<LeaseEnd>::encode({1}), Codec<LeaseEnd>::encode({256}));
  EXPECT_EQ(must(Codec<LeaseEnd>::decode(Codec<LeaseEnd>::encode({-9}))).unix_ns, -9);
}

}  // namespace
}  // namespace cairn::cache
