// SPDX-License-Identifier: Apache-2.0
// What a prune takes, what it leaves, and that a rehearsal says the same.
#include <algorithm>
#include <thread>

#include "libcache/keys/key_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

std::vector<RecordId> ids(const PruneReport& report) {
  std::vector<RecordId> out;
  for (const RecordInfo& info : report.records) out.push_back(info.id);
  return out;
}

// Rehearses, prunes, compares.
PruneReport prune(OpenStore& store, bool all) {
  const PruneReport rehearsed = must(store.cache->prune({.all = all, .dry_run = true}));
  const PruneReport report = must(store.cache->prune({.all = all}));
  EXPECT_EQ(ids(rehearsed), ids(report));
  EXPECT_EQ(rehearsed.freed_bytes, report.freed_bytes);
  EXPECT_EQ(must(store.cache->check()).size(), 0u);
  return report;
}

std::uint64_t rows(OpenStore& store, const base::lmdb::RawTableSpec& table) {
  return must(store.env->view([&](base::lmdb::ReadTxn& txn) { return txn.count(table); }));
}

TEST(Prune, TakesWhatNoKeyLeadsToAndCascadesToParents) {
  OpenStore store;
  RecordId root, middle, leaf, keyed;
  {
    const ImmutableRef a = store.make({}, "a");
    const ImmutableRef b = store.make(a, "b");
    const ImmutableRef c = store.make(b, "c");
    const ImmutableRef k = store.make({}, "k", key(1));
    root = a.id(), middle = b.id(), leaf = c.id(), keyed = k.id();
  }
  const PruneReport report = prune(store, false);
  EXPECT_EQ(ids(report), (std::vector{leaf, middle, root}));
  EXPECT_GT(report.freed_bytes, 0);
  EXPECT_FALSE(must(store.cache->find(root)));
  EXPECT_TRUE(must(store.cache->find(keyed)));
  store.reopen();
  EXPECT_FALSE(must(store.cache->find(leaf)));
  EXPECT_EQ(store.results(key(1)), std::vector{keyed});
}

TEST(Prune, AKeyedDescendantKeepsItsAncestors) {
  OpenStore store;
  {
    const ImmutableRef a = store.make({}, "a");
    store.make(a, "b", key(1));
  }
  EXPECT_TRUE(prune(store, false).records.empty());
  EXPECT_EQ(prune(store, true).records.size(), 2u);
  EXPECT_TRUE(store.results(key(1)).empty());
}

TEST(Prune, AllLeavesWhatIsHeldAndItsAncestors) {
  OpenStore store;
  std::optional<ImmutableRef> held;
  {
    const ImmutableRef a = store.make({}, "a", key(1));
    held = store.make(a, "b", key(2));
    store.make(*held, "c", key(3));
    store.make({}, "d", key(4));
  }
  EXPECT_EQ(prune(store, true).records.size(), 2u);
  EXPECT_EQ(store.read(*held, "a"), "bytes of a");
  EXPECT_EQ(store.results(key(1)).size(), 1u);
  EXPECT_TRUE(store.results(key(3)).empty());
  held.reset();
  EXPECT_EQ(prune(store, true).records.size(), 2u);
  EXPECT_EQ(must(store.cache->disk_usage()).records, 0u);
}

TEST(Prune, AnActiveTreeHoldsItsParent) {
  OpenStore store;
  std::optional<MutableRef> child;
  {
    child = must(store.cache->create(store.make({}, "a")));
  }
  EXPECT_TRUE(prune(store, true).records.empty());
  Publication publication;
  std::optional<ImmutableRef> ref = must(std::move(*child).commit(publication, {}));
  child.reset();
  EXPECT_TRUE(prune(store, true).records.empty()) << "a committed child that nobody has published holds it, too";
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  ref.reset();
  EXPECT_EQ(prune(store, true).records.size(), 2u);
}

TEST(Prune, ManyRecordsGoInSeveralTransactions) {
  OpenStore store;
  Publication publication;
  for (int i = 0; i < 600; ++i) {
    MutableRef tree = must(store.cache->create({}));
    publication.add_result(key(i), must(std::move(tree).commit(publication, {})));
  }
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  EXPECT_EQ(prune(store, true).records.size(), 600u);
  EXPECT_EQ(rows(store, table::key_results), 0u);
  EXPECT_EQ(rows(store, table::record_keys), 0u);
}

TEST(Prune, KeysWithoutResultsAndWaysOnGoWithTheirLinks) {
  OpenStore store;
  {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
    const ImmutableRef other = store.commit(publication, {}, "b", "beta");
    publication.add_link(link_of(1, 0), key(2));
    publication.add_link(link_of(2, 0), key(3));
    publication.add_link(link_of(2, 1), key(4));
    publication.add_result(key(3), ref);
    publication.add_result(key(4), other);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  }
  const RecordId survivor = store.results(key(4)).at(0);
  {
    const auto held = must(store.cache->find(survivor));
    EXPECT_EQ(prune(store, true).records.size(), 1u);
    EXPECT_FALSE(store.exists(key(3)));
    EXPECT_TRUE(store.follow(link_of(2, 0)).empty());
    EXPECT_EQ(store.follow(link_of(1, 0)), std::vector{key(2)}) << "key 2 still leads to key 4";
  }
  EXPECT_EQ(prune(store, true).records.size(), 1u);
  EXPECT_EQ(rows(store, table::key_links), 0u);
  EXPECT_EQ(rows(store, table::key_backlinks), 0u);
}

TEST(Prune, AnIdThatIsGoingIsRefusedEvenToAReaderThatStillSeesItsRow) {
  OpenStore store;
  const RecordId id = store.make({}, "a", key(1)).id();
  must(store.cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
    EXPECT_EQ(TRY(reader.results(key(1))).size(), 1u);
    std::thread([&] { EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 1u); }).join();
    EXPECT_EQ(TRY(reader.results(key(1))).size(), 1u) << "its version has the row";
    EXPECT_FALSE(TRY(store.cache->find(id)));
    return {};
  }));
  EXPECT_FALSE(must(store.cache->find(id)));
  EXPECT_TRUE(store.findings().empty());
}

TEST(Prune, AStopBeforeItBeginsDoesNothing) {
  OpenStore store;
  store.make({}, "a");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(store.cache->prune({.all = true}, stop.get_token()).error().code, base::ErrorCode::cancelled);
  EXPECT_EQ(must(store.cache->disk_usage()).records, 1u);
}

TEST(Prune, ChainsAndTreeDigestsGoWithTheirRecord) {
  OpenStore store;
  const ChainId chain = base::digest_of<ChainId>("chain");
  {
    const ImmutableRef ref = store.make({}, "a", {}, {.description = "layer", .chain = chain});
    must(ref.content_digest({}));
    EXPECT_EQ(must(store.cache->find_chain(chain))->id(), ref.id());
  }
  EXPECT_EQ(prune(store, false).records.size(), 1u);
  EXPECT_FALSE(must(store.cache->find_chain(chain)));
}

}  // namespace
}  // namespace cairn::cache
