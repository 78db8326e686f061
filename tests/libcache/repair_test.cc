// SPDX-License-Identifier: Apache-2.0
// Rows of leases, layers, operations, statistics and owners: each is damaged in both directions, check() names it, and
// repair_rows() makes a store of it that check() has nothing against and that keeps what it kept.
#include <functional>

#include "libcache/account/tally.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/keys/operations.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/record_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::Status;
using base::lmdb::WriteTxn;

const BlobDigest leased_blob = base::digest_of<BlobDigest>("leased");

struct Ids {
  RecordId made, lazy, pulled;  // pulled: lazy until it got a tree
  snapshot::SnapshotId tree;    // that one's
  LeaseId lease;
  DiffId diff;                  // of made
  BlobDigest layer;             // that holds it
};

// The lease is the only thing that keeps `made` and the blob.
Ids fill(OpenStore& store) {
  Ids ids;
  {
    const ImmutableRef made = store.make({}, "a", {}, {.owner = {.project = "p", .build = "b", .step = "s"}});
    const LayerBlob layer = must(store.cache->layer_blob(made, base::Compression::gzip));
    ids.made = made.id();
    ids.diff = layer.diff;
    ids.layer = layer.blob;
    must(store.cache->blobs().put("leased"));
    const LeaseMade lease = must(store.cache->create_lease(
        {.owner = "test", .expires = store.clock.now() + std::chrono::hours(1), .records = {made}, .blobs = {leased_blob}}));
    ids.lease = lease.id;

    Publication publication;
    const LazyLayer described{layer.diff, layer.blob, layer.size, layer.compression};
    const ImmutableRef lazy = must(store.cache->add_lazy(described, {}, publication, {}));
    const ImmutableRef pulled = must(store.cache->add_lazy(described, {}, publication, {}));
    publication.add_result(key(1), lazy);
    publication.add_result(key(2), pulled);
    publication.add_link(link_of(1, 0), key(2));
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    must(store.cache->unlazy(pulled, {}));
    ids.lazy = lazy.id();
    ids.pulled = pulled.id();
    ids.tree = pulled.snapshot();
    store.cache->count({.hits = 1, .bytes_saved = 5, .time_saved = std::chrono::seconds(1)}, {.project = "p"});
    store.make({}, "carries the counts", key(3));
  }
  store.reopen();
  return ids;
}

struct Defect {
  const char* what;
  int invariant;
  std::function<Status(WriteTxn&, const Ids&)> plant;
};

const LeaseId no_lease(7777);
const RecordId no_record(9999);
const DiffId no_diff = base::digest_of<DiffId>("no diff");

std::vector<Defect> lease_defects() {
  const BlobDigest no_blob = base::digest_of<BlobDigest>("no blob");
  return {
      {"lease's record erased", 4, [](WriteTxn& t, const Ids& i) { return t.erase(table::lease_records, {i.lease, i.made}); }},
      {"record's lease erased", 4, [](WriteTxn& t, const Ids& i) { return t.erase(table::record_leases, {i.made, i.lease}); }},
      {"lease's blob erased", 4, [](WriteTxn& t, const Ids& i) { return t.erase(table::lease_blobs, {i.lease, leased_blob}); }},
      {"blob's lease erased", 4, [](WriteTxn& t, const Ids& i) { return t.erase(table::blob_leases, {leased_blob, i.lease}); }},
      {"lease that does not exist", 4,
       [](WriteTxn& t, const Ids& i) { return t.put(table::lease_records, {no_lease, i.made}, Present{}); }},
      {"blob of a lease that does not exist", 4,
       [](WriteTxn& t, const Ids&) { return t.put(table::blob_leases, {leased_blob, no_lease}, Present{}); }},
      {"record that does not exist", 4,
       [](WriteTxn& t, const Ids& i) { return t.put(table::lease_records, {i.lease, no_record}, Present{}); }},
      {"blob that does not exist", 4,
       [no_blob](WriteTxn& t, const Ids& i) { return t.put(table::lease_blobs, {i.lease, no_blob}, Present{}); }},
      {"end erased", 4,
       [](WriteTxn& t, const Ids& i) -> Status {
         const auto row = TRY(t.get(table::leases, i.lease));
         return t.erase(table::lease_ends, {LeaseEnd{base::to_unix_ns(*row->expires)}, i.lease});
       }},
      {"end that no lease has", 4,
       [](WriteTxn& t, const Ids& i) { return t.put(table::lease_ends, {LeaseEnd{5}, i.lease}, Present{}); }},
  };
}

std::vector<Defect> layer_defects() {
  return {
      {"layer erased", 5, [](WriteTxn& t, const Ids& i) { return t.erase(table::layers, i.made); }},
      {"layer of nothing", 5, [](WriteTxn& t, const Ids&) { return t.put(table::layers, no_record, LayerRow{no_diff}); }},
      {"diff's record erased", 5, [](WriteTxn& t, const Ids& i) { return t.erase(table::diff_records, {i.diff, i.made}); }},
      {"diff of another record", 5,
       [](WriteTxn& t, const Ids& i) { return t.put(table::diff_records, {no_diff, i.made}, Present{}); }},
      {"blob of no diff", 5,
       [](WriteTxn& t, const Ids& i) { return t.put(table::diff_blobs, {no_diff, i.layer}, DiffBlobRow{}); }},
      {"tree without its way back", 5, [](WriteTxn& t, const Ids& i) { return t.erase(table::tree_owners, i.tree); }},
      {"tree of another record", 5,
       [](WriteTxn& t, const Ids& i) { return t.put(table::tree_owners, i.tree, TreeOwnerRow{i.made}); }},
      {"tree that does not exist", 5,
       [](WriteTxn& t, const Ids& i) { return t.put(table::tree_owners, snapshot::SnapshotId(8888), TreeOwnerRow{i.made}); }},
  };
}

std::vector<Defect> count_defects() {
  const std::tuple<OperationDigest, OutputNumber> known{OperationDigest(link_of(1, 0).operation), OutputNumber(0)};
  const std::tuple<OperationDigest, OutputNumber> unknown{OperationDigest(base::sha256("unknown")), OutputNumber(0)};
  return {
      {"operation erased", 5,
       [=](WriteTxn& t, const Ids&) -> Status {
         TRY(t.put(table::operations, unknown, OperationRow{1}));  // or it counts as a table that is not there yet
         return t.erase(table::operations, known);
       }},
      {"operation without links", 5, [=](WriteTxn& t, const Ids&) { return t.put(table::operations, unknown, OperationRow{2}); }},
      {"saved without a hit", 9,
       [](WriteTxn& t, const Ids&) { return t.put(table::statistics, ProjectKey{"q"}, Counters{.bytes_saved = 5}); }},
      {"saved less than nothing", 9,
       [](WriteTxn& t, const Ids&) { return t.put(table::statistics, ProjectKey{"p"}, Counters{.hits = 1, .bytes_saved = -5}); }},
      {"project that has nothing", 9,
       [](WriteTxn& t, const Ids&) { return change_total(t, {TotalKind::project, "none"}, {.count = 1}); }},
      {"project that lacks a record", 9,
       [](WriteTxn& t, const Ids&) { return change_total(t, {TotalKind::project, "p"}, {.count = -1}); }},
      {"build erased", 9, [](WriteTxn& t, const Ids&) { return t.erase(table::totals, {TotalKind::build, "b"}); }},
      {"step with another space", 9,
       [](WriteTxn& t, const Ids&) { return change_total(t, {TotalKind::step, "s"}, {.exclusive_bytes = 1}); }},
  };
}

bool names(const std::vector<Finding>& findings, int invariant) {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& found) { return found.invariant == invariant; });
}

// One store for all: each defect is repaired before the next.
void damage_and_repair(const std::vector<Defect>& defects) {
  OpenStore store;
  const Ids ids = fill(store);
  ASSERT_EQ(store.findings(), std::vector<std::string>{});
  EXPECT_EQ(must(store.cache->repair_rows()), 0u) << "a sound store is left as it is";
  for (const Defect& defect : defects) {
    ASSERT_OK(store.env->update([&](WriteTxn& txn) { return defect.plant(txn, ids); }));
    EXPECT_TRUE(names(must(store.cache->check()), defect.invariant)) << defect.what;
    EXPECT_GT(must(store.cache->repair_rows()), 0u) << defect.what;
    EXPECT_EQ(store.findings(), std::vector<std::string>{}) << "after the repair of: " << defect.what;
  }
  // What the lease keeps it keeps still.
  const auto leases = must(store.cache->leases());
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases.front().records, std::vector<RecordId>{ids.made});
  EXPECT_EQ(leases.front().blobs, std::vector<BlobDigest>{leased_blob});
  must(store.cache->prune({.all = true}));
  EXPECT_TRUE(must(store.cache->find(ids.made)));
  EXPECT_TRUE(must(store.cache->blobs().find(leased_blob)));
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST(RepairRows, OfLeases) { damage_and_repair(lease_defects()); }
TEST(RepairRows, OfLayers) { damage_and_repair(layer_defects()); }
TEST(RepairRows, OfOperationsStatisticsAndOwners) { damage_and_repair(count_defects()); }

// What nothing else says cannot be made anew; it is found.
TEST(RepairRows, ALazyRecordWithoutALayerIsFound) {
  OpenStore store;
  const Ids ids = fill(store);
  ASSERT_OK(store.env->update([&](WriteTxn& txn) -> Status {
    TRY(txn.erase(table::layers, ids.lazy));
    return txn.erase(table::diff_records, {ids.diff, ids.lazy});
  }));
  EXPECT_TRUE(names(must(store.cache->check()), 5));
  must(store.cache->repair_rows());
  EXPECT_EQ(store.findings().size(), 1u);
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(store.findings(), std::vector<std::string>{}) << "it goes like any other";
}

// A store of a build that counted no operations.
TEST(RepairRows, OperationsOfAnOlderStoreAreCountedWhenItIsOpened) {
  OpenStore store;
  fill(store);
  const base::Sha256Bytes operation = link_of(1, 0).operation;
  EXPECT_TRUE(must(store.cache->knows_operation(operation, 0)));
  EXPECT_FALSE(must(store.cache->knows_operation(operation, 1)));
  ASSERT_OK(store.env->update([&](WriteTxn& txn) { return txn.erase(table::operations, {OperationDigest(operation), OutputNumber(0)}); }));
  EXPECT_EQ(store.findings(), std::vector<std::string>{}) << "the next owner makes them";
  store.reopen();
  EXPECT_TRUE(must(store.cache->knows_operation(operation, 0)));
  must(store.cache->prune({.all = true}));
  EXPECT_FALSE(must(store.cache->knows_operation(operation, 0))) << "its links are gone";
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

}  // namespace
}  // namespace cairn::cache
