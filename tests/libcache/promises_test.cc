// SPDX-License-Identifier: Apache-2.0
// What is promised stays as long as was said, and no longer than half as long again.
#include "libcache/records/promises.h"

#include <random>

#include "libcache/entry_store.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using std::chrono::seconds;

const Promises::Time start = Promises::Time() + std::chrono::hours(1);

TEST(Promises, HoldForTheirTimeAndEndAHalfLater) {
  Promises promises;
  promises.note(1, start);
  EXPECT_FALSE(promises.holds(1, start)) << "there are none yet";
  promises.set_time(seconds(100));
  for (int at = 0; at < 200; at += 7) {
    const auto when = start + seconds(at);
    const auto what = static_cast<std::uint64_t>(at) + 1000;
    promises.note(what, when);
    for (int before = 0; before <= at; before += 7) {
      const bool holds = promises.holds(static_cast<std::uint64_t>(before) + 1000, when);
      EXPECT_TRUE(holds || at - before > 100) << before << " at " << at;
      EXPECT_FALSE(holds && at - before > 150) << before << " at " << at;
    }
  }
  EXPECT_FALSE(promises.holds(1000 + 196, start + seconds(10'000)));
}

TEST(Promises, AHundredThousandKeepNextToNothingElse) {
  Promises promises;
  promises.set_time(seconds(100));
  for (std::uint64_t i = 0; i < 100'000; ++i) promises.note(i, start);
  int wrong = 0;
  for (std::uint64_t i = 0; i < 100'000; ++i) {
    EXPECT_TRUE(promises.holds(i, start));
    wrong += promises.holds(1'000'000 + i, start) ? 1 : 0;
  }
  EXPECT_LT(wrong, 20);
}

PruneReport prune_all(OpenStore& store) { return must(store.cache->prune({.all = true})); }

TEST(Promises, AnEntryThatWasGivenAndABlobThatWasSaidToBeThereAreNotCollected) {
  OpenStore store;
  EntryStore entries(*store.cache);
  const auto put_entry = [&](const std::string& key) {
    const auto blob = must(store.cache->blobs().put("value of " + key)).info.digest;
    must(store.writer->wait_durable(must(entries.put({.name = {.door = "bazel", .key = key}, .value = blob})).sequence));
    return blob;
  };
  set_promise_time(*store.cache, seconds(3600));
  const BlobDigest given = put_entry("given"), said = put_entry("said");
  put_entry("other");
  entries.promise(*must(entries.find({.door = "bazel", .key = "given"})));
  entries.promise(said);
  EXPECT_EQ(prune_all(store).records.size(), 2u);
  EXPECT_TRUE(must(entries.find({.door = "bazel", .key = "given"})));
  EXPECT_TRUE(must(store.cache->blobs().find(given)));
  EXPECT_FALSE(must(entries.find({.door = "bazel", .key = "said"})));
  EXPECT_TRUE(must(store.cache->blobs().find(said))) << "its record went, and it did not";
  EXPECT_TRUE(must(store.cache->check()).empty());

  set_promise_time(*store.cache, seconds(0));
  EXPECT_EQ(prune_all(store).records.size(), 1u);
  EXPECT_FALSE(must(store.cache->blobs().find(given)));
  EXPECT_FALSE(must(store.cache->blobs().find(said)));
  EXPECT_TRUE(store.findings().empty());
}

TEST(Promises, AnUploadThatNobodyNamesGoesWhenItsTimeIsOver) {
  OpenStore store;
  EntryStore entries(*store.cache);
  const auto upload = [&](const std::string& bytes) {
    const auto put = must(store.cache->blobs().put(bytes));
    must(store.writer->wait_durable(put.sequence));
    entries.uploaded(put.info.digest);
    must(store.cache->prune({.dry_run = true}));  // no row is on its way any more
    return put.info.digest;
  };
  const BlobDigest before = upload("before there were promises");
  set_promise_time(*store.cache, seconds(3600));
  const BlobDigest blob = upload("uploaded");
  prune_all(store);
  EXPECT_TRUE(must(store.cache->blobs().find(blob)));
  set_promise_time(*store.cache, seconds(0));
  prune_all(store);
  EXPECT_FALSE(must(store.cache->blobs().find(blob)));
  EXPECT_TRUE(must(store.cache->blobs().find(before))) << "whoever promises nothing claims it, as any put does";
  EXPECT_TRUE(must(store.cache->check()).empty());
}

}  // namespace
}  // namespace cairn::cache
