// SPDX-License-Identifier: Apache-2.0
// Seals of trees: what a scrub finds, what it takes for sound, and what becomes of a record whose tree is damaged.
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "libbase/fs/host_tree.h"
#include "libcache/records/record_rows.h"
#include "libcache/trees/seal_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::HostPath;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

constexpr ScrubOptions whole = {.from = ScrubOptions::From::beginning};

HostPath own(OpenStore& store, const ImmutableRef& ref, const std::string& name, const std::string& part = "fs") {
  return store.root() / fmt::format("trees/{}/{}/{}", ref.snapshot(), part, name);
}

void flip(const HostPath& path) {
  const base::Fd file = must(base::open_host(path, O_RDWR));
  char byte = 0;
  CHECK(::pread(file.get(), &byte, 1, 0) == 1);
  byte ^= 0x10;
  CHECK(::pwrite(file.get(), &byte, 1, 0) == 1);
}

// Flips a byte, and the file looks as before.
void flip_unseen(const HostPath& path) {
  struct ::stat stat {};
  CHECK(::stat(path.c_str(), &stat) == 0);
  flip(path);
  const ::timespec times[2] = {stat.st_atim, stat.st_mtim};
  CHECK(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

TEST(TreeSeals, ADamagedTreeTakesWhatIsBuiltOnItAndNothingElse) {
  OpenStore store;
  ImmutableRef base = store.make({}, "base", key(0));
  ImmutableRef middle = store.make(base, "middle", key(1));
  ImmutableRef top = store.make(middle, "top", key(2));
  ImmutableRef beside = store.make(base, "beside", key(3));
  Publication publication;
  ImmutableRef merged = must(store.cache->merge({beside, top}, publication, {.description = "merge", .chain = {}})).value();
  publication.add_result(key(4), merged);
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  EXPECT_EQ(must(store.cache->scrub(whole)).sealed, 5u);
  flip_unseen(own(store, middle, "middle"));
  const ScrubReport report = must(store.cache->scrub(whole));
  EXPECT_EQ(report.trees, 5u) << "the scrub had read the others in the same step";
  EXPECT_EQ(report.damaged_trees, 1u);
  EXPECT_EQ(report.quarantined_records, 3u) << "middle, top and the merge";
  for (const int gone : {1, 2, 4}) EXPECT_TRUE(store.results(key(gone)).empty()) << gone;
  for (const int stays : {0, 3}) EXPECT_EQ(store.results(key(stays)).size(), 1u) << stays;
  EXPECT_EQ(store.read(top, "top"), "bytes of top") << "whoever holds it keeps it";
  EXPECT_EQ(store.findings(), std::vector<std::string>());
  EXPECT_EQ(must(store.cache->prune({})).records.size(), 0u) << "all is held";
}

TEST(TreeSeals, WhatIsPublishedOnADamagedTreeIsNotCached) {
  OpenStore store;
  ImmutableRef base = store.make({}, "base", key(0), {.description = "layer", .chain = base::digest_of<ChainId>("c")});
  must(store.cache->scrub(whole));
  flip(own(store, base, "base"));
  EXPECT_EQ(must(store.cache->scrub(whole)).damaged_trees, 1u);
  {
    ImmutableRef later = store.make(base, "later", key(1), {.description = "layer", .chain = base::digest_of<ChainId>("d")});
    Publication again;
    again.add_result(key(2), base);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(again)))));
    EXPECT_EQ(store.read(later, "later"), "bytes of later");
  }
  must(store.cache->prune({.dry_run = true}));  // every callback has run
  for (const int n : {0, 1, 2}) EXPECT_TRUE(store.results(key(n)).empty()) << n;
  for (const char* chain : {"c", "d"}) EXPECT_FALSE(must(store.cache->find_chain(base::digest_of<ChainId>(chain)))) << chain;
  EXPECT_EQ(must(store.cache->damaged_records()), 2u);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

TEST(TreeSeals, ADamagedRecordIsMadeAgainUnderItsKey) {
  OpenStore store;
  { flip(own(store, store.make({}, "file", key(1)), "file")); }  // before its seal: nobody knows
  must(store.cache->scrub(whole));
  {
    const ImmutableRef ref = must(store.cache->find(store.results(key(1)).at(0))).value();
    flip(own(store, ref, "file"));
  }
  EXPECT_EQ(must(store.cache->scrub(whole)).quarantined_records, 1u);
  EXPECT_EQ(must(store.cache->find_tombstone(key(1))).value().rule, damage_rule);
  store.make({}, "file", key(1));
  ASSERT_EQ(store.results(key(1)).size(), 1u);
  EXPECT_EQ(store.read(must(store.cache->find(store.results(key(1)).at(0))).value(), "file"), "bytes of file");
  EXPECT_EQ(must(store.cache->regret()).count, 0u) << "no policy was wrong";
  EXPECT_EQ(must(store.cache->prune({})).records.size(), 1u) << "the damaged one goes";
  EXPECT_EQ(must(store.cache->damaged_records()), 0u);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

// Nothing that a store does to its own trees changes a seal.
TEST(TreeSeals, MergesAndFlatCopiesLeaveSealsAsTheyAre) {
  for (const char* driver : {"overlay", "native"}) {
    OpenStore store(driver);
    ImmutableRef one = store.make({}, "one"), two = store.make(one, "two"), three = store.make({}, "three");
    const std::uint64_t sealed = must(store.cache->scrub(whole)).sealed;
    EXPECT_EQ(sealed, 3u);
    Publication publication;
    ImmutableRef merged = must(store.cache->merge({two, three}, publication, {.description = "merge", .chain = {}})).value();
    ImmutableRef diff = must(store.cache->diff(one, two, publication, {.description = "diff", .chain = {}}));
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    must(store.snapshots->squash(two.snapshot(), *store.writer, {}));
    ImmutableRef child = store.make(two, "child");
    const ScrubReport report = must(store.cache->scrub(whole));
    EXPECT_EQ(report.trees, 6u);
    EXPECT_EQ(report.sealed, 3u);
    EXPECT_EQ(report.damaged_trees, 0u) << driver;
  }
}

TEST(TreeSeals, AFlatCopyIsSealedOnItsOwn) {
  OpenStore store;
  ImmutableRef one = store.make({}, "one", key(1)), two = store.make(one, "two", key(2));
  must(store.cache->scrub(whole));
  must(store.snapshots->squash(two.snapshot(), *store.writer, {}));
  ASSERT_TRUE(must(store.snapshots->stat(two.snapshot())).flattened);
  EXPECT_EQ(must(store.cache->scrub(whole)).sealed, 0u);
  // A name that only the copy has.
  must(base::write_file_atomic(own(store, two, "more", "flat"), "x", base::Durable::no));
  EXPECT_EQ(must(store.cache->scrub(whole)).quarantined_records, 1u);
  EXPECT_EQ(store.results(key(1)).size(), 1u);
  EXPECT_TRUE(store.results(key(2)).empty());
}

// The pages that were made when the bytes came in are a seal of their own, from the first moment on.
TEST(TreeSeals, TheFirstScrubComparesWithWhatCameIn) {
  OpenStore store;
  ImmutableRef base = store.make({}, "base", key(0));
  ImmutableRef top = store.make(base, "top", key(1));
  for (const ImmutableRef& ref : {base, top}) must(ref.content_digest({}));
  must(store.cache->prune({.dry_run = true}));  // the pages are durable
  flip_unseen(own(store, top, "top"));
  const ScrubReport report = must(store.cache->scrub(whole));
  EXPECT_EQ(report.sealed, 1u);
  EXPECT_EQ(report.damaged_trees, 1u);
  EXPECT_EQ(store.results(key(0)).size(), 1u);
  EXPECT_TRUE(store.results(key(1)).empty());
}

TEST(TreeSeals, AScrubThatStopsGoesOnWithTheTreeThatItWasAt) {
  OpenStore store;
  std::vector<ImmutableRef> refs;
  for (int i = 0; i < 4; ++i) refs.push_back(store.make({}, "file" + std::to_string(i), key(i)));
  std::stop_source stop;
  stop.request_stop();
  ScrubReport one = must(store.cache->scrub({}, stop.get_token()));
  EXPECT_EQ(one.trees, 0u);
  EXPECT_FALSE(one.reached_end);
  must(store.cache->prune({.dry_run = true}));  // its place is written
  must(store.env->update([&](WriteTxn& txn) { return txn.put(table::tree_scrub, "trees", TreeScrubRow{refs[2].id()}); }));
  must(store.cache->blobs().put("a blob"));
  const ScrubReport rest = must(store.cache->scrub({}));
  EXPECT_EQ(rest.blobs, 0u) << "it had been through them";
  EXPECT_EQ(rest.trees, 2u);
  EXPECT_TRUE(rest.reached_end);
  must(store.cache->prune({.dry_run = true}));
  const ScrubReport all = must(store.cache->scrub({}));
  EXPECT_EQ(all.blobs, 1u);
  EXPECT_EQ(all.trees, 4u);
  EXPECT_EQ(all.sealed, 2u);
}

// 300 records on one: more than one transaction marks.
TEST(TreeSeals, AQuarantineOfManyRecordsIsWholeWhereverItStops) {
  OpenStore store;
  constexpr int count = 300;
  {
    ImmutableRef base = store.make({}, "base", key(0));
    Publication publication;
    std::vector<ImmutableRef> on;
    for (int i = 1; i <= count; ++i) {
      on.push_back(must(must(store.cache->create(base)).commit(publication, {.description = "on it", .chain = {}})));
      publication.add_result(key(i), on.back());
    }
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    must(store.cache->scrub(whole));
    flip(own(store, base, "base"));
    EXPECT_EQ(must(store.cache->scrub(whole)).quarantined_records, static_cast<std::uint64_t>(count) + 1);
  }
  for (int i = 0; i <= count; ++i) EXPECT_TRUE(store.results(key(i)).empty()) << i;
  EXPECT_EQ(store.findings(), std::vector<std::string>());
  EXPECT_EQ(must(store.cache->prune({})).records.size(), static_cast<std::size_t>(count) + 1);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

TEST(TreeSeals, ARecordOnADamagedOneThatIsNotMarkedIsFound) {
  OpenStore store;
  ImmutableRef base = store.make({}, "base", key(0)), top = store.make(base, "top", key(1));
  must(store.env->update([&](WriteTxn& txn) { return mark_damaged(txn, base.id(), {store.clock.now(), "test"}); }));
  must(store.env->update([&](WriteTxn& txn) {
    return txn.put(table::tree_seals, snapshot::SnapshotId(4242), SealRow{.rules = seal_rules, .changes = {}, .flat = {}});
  }));
  const std::vector<std::string> expected = {
      "I5 seal of snapshot 4242, which no record has",
      fmt::format("I5 record {} is damaged, and record {} on it is not", base.id(), top.id())};
  EXPECT_EQ(store.findings(), expected);
}

// A build with other rules makes its own seals, and takes nothing for damage.
TEST(TreeSeals, ASealByOtherRulesIsMadeAnew) {
  OpenStore store;
  const ImmutableRef ref = store.make({}, "file", key(1));
  must(store.env->update([&](WriteTxn& txn) {
    return txn.put(table::tree_seals, ref.snapshot(), SealRow{.rules = seal_rules + 1, .changes = {}, .flat = {}});
  }));
  const ScrubReport report = must(store.cache->scrub(whole));
  EXPECT_EQ(report.sealed, 1u);
  EXPECT_EQ(report.damaged_trees, 0u);
  must(store.cache->prune({.dry_run = true}));
  const auto row = must(store.env->view([&](ReadTxn& txn) { return txn.get(table::tree_seals, ref.snapshot()); })).value();
  EXPECT_EQ(row.rules, seal_rules);
}

TEST(TreeSeals, SealsGoWithTheirRecords) {
  OpenStore store;
  { store.make({}, "file", key(1)); }
  must(store.cache->scrub(whole));
  must(store.cache->prune({.dry_run = true}));
  EXPECT_EQ(must(store.env->view([](ReadTxn& txn) { return txn.count(table::tree_seals); })), 1u);
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 1u);
  EXPECT_EQ(must(store.env->view([](ReadTxn& txn) { return txn.count(table::tree_seals); })), 0u);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

}  // namespace
}  // namespace cairn::cache
