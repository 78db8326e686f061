// SPDX-License-Identifier: Apache-2.0
// Entries of doors: found while all that they need is there, and not otherwise.
#include <unistd.h>

#include <map>
#include <random>
#include <thread>

#include "libcache/blob_writer.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/entry_store.h"
#include "libcache/records/store.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/test_seed.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using Existing = EntryStore::Existing;
using Outcome = EntryStore::Outcome;

EntryName named(const std::string& key, const std::string& door = "bazel") { return {.door = door, .key = key}; }

BlobDigest put_blob(OpenStore& store, const std::string& bytes) {
  return must(store.cache->blobs().put(bytes)).info.digest;
}

EntryStore::Put put(OpenStore& store, const EntryName& name, const std::string& value,
                    std::vector<BlobDigest> closure = {}, Existing existing = Existing::replace) {
  return must(EntryStore(*store.cache)
                  .put({.name = name, .value = put_blob(store, value), .closure = std::move(closure)}, existing));
}

std::optional<std::string> value_of(OpenStore& store, const EntryName& name) {
  const auto entry = must(EntryStore(*store.cache).find(name));
  if (!entry) return std::nullopt;
  return must(store.cache->blobs().read(entry->value, 1 << 20));
}

void settle(OpenStore& store, const EntryStore::Put& put) { must(store.writer->wait_durable(put.sequence)); }

TEST(Entries, KeysAreThoseOfTheFormat) {
  const EntryName name{.door = "bazel", .instance = "team", .trust = Trust::untrusted, .key = "k"};
  EXPECT_EQ(key_of(name), base::digest_of<KeyDigest>(std::string("\x0b"
                                                                 "cairn.entry"
                                                                 "\x01"
                                                                 "\x00"
                                                                 "\x05"
                                                                 "bazel"
                                                                 "\x04"
                                                                 "team"
                                                                 "\x01"
                                                                 "k",
                                                                 27)));
  std::set<KeyDigest> keys;
  for (const char* door : {"a", "ab"})
    for (const char* instance : {"", "b", "bc"})
      for (const Trust trust : {Trust::untrusted, Trust::trusted})
        for (const char* key : {"b", "c", "bc"}) keys.insert(key_of({door, instance, trust, key}));
  EXPECT_EQ(keys.size(), 2u * 3 * 2 * 3) << "no two names share a key";
}

TEST(Entries, AreFoundAtOnceAndAfterReopening) {
  OpenStore store;
  const BlobDigest needed = put_blob(store, "an output");
  const auto made = must(EntryStore(*store.cache)
                             .put({.name = named("k"),
                                   .value = put_blob(store, "result"),
                                   .closure = {needed},
                                   .attributes = "tag",
                                   .build_time = std::chrono::seconds(3)}));
  EXPECT_EQ(made.outcome, Outcome::made);
  EXPECT_GT(made.sequence, 0u);
  EXPECT_EQ(value_of(store, named("k")), "result");
  settle(store, made);
  store.reopen();
  {
    const auto entry = must(EntryStore(*store.cache).find(named("k")));
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->attributes, "tag");
    EXPECT_EQ(entry->value_bytes, 6u);
    EXPECT_TRUE(entry->hold.is_lazy());
    EXPECT_EQ(entry->hold.info().facts.owner.project, "bazel");
    EXPECT_EQ(entry->hold.info().facts.build_time, std::chrono::seconds(3));
    EXPECT_TRUE(must(store.cache->blobs().find(needed)));
  }
  EXPECT_TRUE(must(EntryStore(*store.cache).contains(named("k"))));
  EXPECT_FALSE(must(EntryStore(*store.cache).contains(named("k", "nx")))) << "another door, another name";
  EXPECT_TRUE(store.findings().empty());
}

TEST(Entries, AClosureWithAMissingBlobIsRefusedAndNamed) {
  OpenStore store;
  const auto missing = base::digest_of<BlobDigest>("nobody has put this");
  const auto refused =
      EntryStore(*store.cache).put({.name = named("k"), .value = put_blob(store, "v"), .closure = {missing}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
  EXPECT_NE(refused.error().message.find(missing.str()), std::string::npos) << refused.error().message;
  EXPECT_FALSE(must(EntryStore(*store.cache).find(named("k"))));
  const auto without_value = EntryStore(*store.cache).put({.name = named("k"), .value = missing});
  ASSERT_FALSE(without_value);
  EXPECT_EQ(without_value.error().code, ErrorCode::not_found);
}

TEST(Entries, WhatIsReplacedLeadsNowhereAndGoesFirst) {
  OpenStore store;
  settle(store, put(store, named("k"), "old"));
  const auto held = must(EntryStore(*store.cache).find(named("k")));
  const auto second = put(store, named("k"), "new");
  EXPECT_EQ(second.outcome, Outcome::replaced);
  EXPECT_EQ(value_of(store, named("k")), "new") << "before it is durable, too";
  settle(store, second);
  EXPECT_EQ(value_of(store, named("k")), "new");
  EXPECT_EQ(must(store.cache->blobs().read(held->value, 100)), "old") << "whoever holds it keeps it";
  EXPECT_EQ(must(store.cache->prune({})).records.size(), 0u) << "held";
  EXPECT_TRUE(store.findings().empty());
}

TEST(Entries, AReplacedOneIsPrunedWithItsBlobs) {
  OpenStore store;
  settle(store, put(store, named("k"), "old"));
  settle(store, put(store, named("k"), "new"));
  const auto report = must(store.cache->prune({}));
  EXPECT_EQ(report.records.size(), 1u);
  EXPECT_EQ(report.blobs, 1u);
  EXPECT_EQ(value_of(store, named("k")), "new");
  EXPECT_FALSE(must(store.cache->blobs().find(base::digest_of<BlobDigest>("old"))));
  EXPECT_TRUE(store.findings().empty());
}

TEST(Entries, TheSameAgainWritesNothing) {
  OpenStore store;
  settle(store, put(store, named("k"), "v"));
  must(store.cache->prune({.dry_run = true}));  // its outcome is known
  const auto changes = store.writer->counts().changes;
  const auto again = put(store, named("k"), "v");
  EXPECT_EQ(again.outcome, Outcome::same);
  EXPECT_EQ(again.sequence, 0u);
  EXPECT_EQ(put(store, named("k"), "other", {}, Existing::keep).outcome, Outcome::kept);
  EXPECT_EQ(value_of(store, named("k")), "v");
  must(store.cache->prune({}));
  EXPECT_FALSE(must(store.cache->blobs().find(base::digest_of<BlobDigest>("other"))))
      << "nobody keeps what came to nothing";
  EXPECT_LE(store.writer->counts().changes, changes + 3)
      << "the value that was not taken, what was looked up, and its end";
}

TEST(Entries, AHitIsAHoldOnAllOfIt) {
  OpenStore store;
  const BlobDigest needed = put_blob(store, "an output");
  settle(store, put(store, named("k"), "result", {needed}));
  {
    const auto hit = must(EntryStore(*store.cache).find(named("k")));
    must(store.cache->prune({.all = true}));
    EXPECT_EQ(must(store.cache->blobs().read(hit->value, 100)), "result");
    EXPECT_EQ(must(store.cache->blobs().read(needed, 100)), "an output");
  }
  must(store.cache->prune({.all = true}));
  EXPECT_FALSE(must(EntryStore(*store.cache).find(named("k"))));
  EXPECT_FALSE(must(store.cache->blobs().find(needed)));
  const auto statistics = must(store.cache->statistics());
  ASSERT_EQ(statistics.size(), 1u);
  EXPECT_EQ(statistics[0].project, "bazel");
  EXPECT_EQ(statistics[0].counters.hits, 1u);
  EXPECT_EQ(statistics[0].counters.misses[static_cast<std::size_t>(MissCause::evicted)], 1u);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Entries, WhatIsErasedIsNotFoundAndThatIsDurable) {
  OpenStore store;
  put(store, named("k"), "v");  // maybe only queued
  EXPECT_TRUE(must(EntryStore(*store.cache).erase(named("k"))));
  EXPECT_FALSE(must(EntryStore(*store.cache).find(named("k"))));
  EXPECT_FALSE(must(EntryStore(*store.cache).erase(named("k"))));
  store.reopen();
  EXPECT_FALSE(must(EntryStore(*store.cache).find(named("k"))));
  EXPECT_TRUE(store.findings().empty());
}

void find_damaged(OpenStore& store, const BlobDigest& blob) {
  const auto row = must(store.env->view([&](base::lmdb::ReadTxn& txn) { return txn.get(table::blobs, blob); }));
  static_cast<LocalBlobStore&>(store.cache->blobs()).found_damaged(blob, *row, "a test says so");
}

TEST(Entries, ADamagedValueIsAMiss) {
  OpenStore store;
  settle(store, put(store, named("k"), "v"));
  find_damaged(store, base::digest_of<BlobDigest>("v"));
  must(store.cache->prune({.dry_run = true}));  // every change has its outcome
  EXPECT_FALSE(must(EntryStore(*store.cache).find(named("k"))));
  EXPECT_TRUE(must(store.cache->check()).empty()) << "that is no damage to the rows";
  settle(store, put(store, named("k"), "v"));
  EXPECT_EQ(value_of(store, named("k")), "v");
  EXPECT_TRUE(must(store.cache->check()).empty());
}

// The row of what is damaged is taken away with the next group; whoever puts it again does not have to know.
TEST(Entries, ADamagedValueMayBePutAgainAtOnce) {
  OpenStore store;
  const std::string file(100'000, 'f');  // too large for a pack
  for (const std::string& value : {std::string("v"), file}) {
    const auto digest = base::digest_of<BlobDigest>(value);
    settle(store, put(store, named("k"), value));
    must(store.cache->prune({.dry_run = true}));  // no row is on its way any more
    find_damaged(store, digest);
    EXPECT_FALSE(must(store.cache->blobs().find(digest)));
    settle(store, put(store, named("k"), value));
    EXPECT_EQ(value_of(store, named("k")), value);
    EXPECT_EQ(must(store.cache->scrub({})).damaged, 0u);
  }
  EXPECT_EQ(::access((store.root() / "quarantine" / base::digest_of<BlobDigest>(file).hex()).c_str(), F_OK), 0);
  store.reopen();
  EXPECT_EQ(value_of(store, named("k")), file);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Entries, AFailedGroupLeavesNoEntry) {
  OpenStore store;
  settle(store, put(store, named("before"), "v"));
  store.fail_data_sync = true;
  const auto lost = EntryStore(*store.cache).put({.name = named("k"), .value = base::digest_of<BlobDigest>("v")});
  ASSERT_OK(lost);
  const auto waited = store.writer->wait_durable(lost->sequence);
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::io);
  for (int look = 0; look < 500 && must(EntryStore(*store.cache).contains(named("k"))); ++look)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // its outcome comes a moment later
  EXPECT_FALSE(must(EntryStore(*store.cache).contains(named("k"))));
  EXPECT_TRUE(must(EntryStore(*store.cache).contains(named("before"))));
}

TEST(Entries, RowsComeBackWholeAndDamageIsCorrupt) {
  const EntryRow row{base::digest_of<BlobDigest>("v"), 12345, "tag"};
  const std::string bytes = base::Codec<EntryRow>::encode(row);
  EXPECT_EQ(must(base::Codec<EntryRow>::decode(bytes)), row);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const auto decoded = base::Codec<EntryRow>::decode(std::string_view(bytes).substr(0, cut));
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().code, ErrorCode::corrupt);
  }
  EXPECT_FALSE(base::Codec<EntryRow>::decode(bytes + "x"));
}

TEST(Entries, LongNamesAndAttributesAreRefused) {
  OpenStore store;
  const auto code = [&](NewEntry entry) {
    entry.value = put_blob(store, "v");
    const auto refused = EntryStore(*store.cache).put(std::move(entry));
    return refused ? ErrorCode::io : refused.error().code;
  };
  EXPECT_EQ(code({.name = named(""), .value = {}}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.name = named(std::string(entry_key_bytes_max + 1, 'k')), .value = {}}), ErrorCode::invalid_argument);
  EXPECT_EQ(code({.name = named("k", std::string(owner_label_bytes_max + 1, 'd')), .value = {}}),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code({.name = named("k"), .value = {}, .attributes = std::string(entry_attributes_bytes_max + 1, 'a')}),
            ErrorCode::invalid_argument);
}

TEST(BlobWriter, TakesWhatAPutTakesAndLeavesNothingWhenItIsDropped) {
  for (const std::uint32_t chunk_bytes : {0u, 16u << 10}) {
    OpenStore store;
    store.cache_options.chunk_bytes = chunk_bytes;
    store.reopen();
    std::mt19937_64 random(test::test_seed());
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, packed_blob_max, packed_blob_max + 1, std::size_t{3'000'000}, std::size_t{11'000'000}}) {
      std::string bytes(size, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      const auto digest = base::digest_of<BlobDigest>(bytes);
      for (const auto& expected :
           {std::optional(base::digest_of<BlobDigest>("other")), std::optional(digest), std::optional<BlobDigest>()}) {
        BlobWriter writer(*store.cache);
        for (std::size_t at = 0; at < size;) {
          const std::size_t count = std::min<std::size_t>(size - at, 1 + random() % 100'000);
          must(writer.write(std::string_view(bytes).substr(at, count)));
          at += count;
        }
        EXPECT_EQ(writer.size(), size);
        const auto put = writer.finish(expected);
        if (expected && *expected != digest) {
          ASSERT_FALSE(put);
          EXPECT_EQ(put.error().code, ErrorCode::corrupt);
          EXPECT_FALSE(must(store.cache->blobs().find(digest)));
          continue;
        }
        EXPECT_EQ(must(put).info.digest, digest);
        EXPECT_EQ(must(store.cache->blobs().read(digest, size)), bytes);
      }
    }
    must(BlobWriter(*store.cache).write(std::string(1'000'000, 'x')));
    EXPECT_FALSE(must(store.cache->blobs().find(base::digest_of<BlobDigest>(std::string(1'000'000, 'x')))));
    EXPECT_TRUE(store.findings().empty());
  }
}

// More at once than have a thread of their own; some are dropped half way.
TEST(BlobWriter, ManyLargeOnesAtOnceAllArriveWhole) {
  OpenStore store;
  std::vector<std::string> all;
  for (int i = 0; i < 6; ++i) all.emplace_back(9'000'000 + i, static_cast<char>('a' + i));
  std::vector<BlobWriter> writers;
  for (std::size_t i = 0; i < 2 * all.size(); ++i) writers.emplace_back(*store.cache);
  for (std::size_t at = 0; at < all.front().size() + 10; at += 200'000) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string_view piece = std::string_view(all[i]).substr(std::min(at, all[i].size()), 200'000);
      must(writers[i].write(piece));
      if (at < 6'000'000) must(writers[all.size() + i].write(piece));
    }
  }
  writers.erase(writers.begin() + static_cast<std::ptrdiff_t>(all.size()), writers.end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto put = must(writers[i].finish(base::digest_of<BlobDigest>(all[i])));
    EXPECT_EQ(put.info.size, all[i].size());
    must(store.writer->wait_durable(put.sequence));
  }
  EXPECT_EQ(must(store.cache->scrub({})).damaged, 0u);
  EXPECT_TRUE(store.findings().empty());
}

TEST(BlobWriter, ALargeOneThatCannotBeWrittenSaysSoBeforeItIsAllThere) {
  OpenStore store;
  const test::FileSizeLimit limit(6u << 20);
  BlobWriter writer(*store.cache);
  const std::string piece(100'000, 'z');
  std::size_t written = 0;
  base::Status status;
  while (status && written < (64u << 20)) {
    status = writer.write(piece);
    written += piece.size();
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_LT(written, 20u << 20) << "the limit and what was on the way";
  EXPECT_FALSE(writer.finish({}));
}

// What a store of entries is, without any of what makes it hard.
struct Model {
  struct Value {
    std::string bytes;
    std::vector<std::string> closure;
  };
  std::map<std::string, Value> entries;
};

TEST(RandomEntries, AreWhatAMapSaysThroughPutsErasuresPrunesAndReopenings) {
  OpenStore store;
  Model model;
  std::mt19937_64 random(test::test_seed());
  const auto text = [&](const char* what, unsigned many) { return fmt::format("{} {}", what, random() % many); };
  for (int step = 0; step < 600; ++step) {
    const std::string key = text("key", 12);
    switch (random() % 10) {
      case 0:
      case 1:
      case 2:
      case 3: {
        Model::Value value{text("value", 8), {}};
        std::vector<BlobDigest> closure;
        for (unsigned i = random() % 4; i > 0; --i) {
          value.closure.push_back(text("output", 20));
          closure.push_back(put_blob(store, value.closure.back()));
        }
        const bool keep = random() % 4 == 0;
        const auto before = model.entries.find(key);
        const auto done = put(store, named(key), value.bytes, closure, keep ? Existing::keep : Existing::replace);
        if (before == model.entries.end()) {
          ASSERT_EQ(done.outcome, Outcome::made);
          model.entries[key] = value;
        } else if (before->second.bytes == value.bytes) {
          ASSERT_EQ(done.outcome, Outcome::same);
        } else {
          ASSERT_EQ(done.outcome, keep ? Outcome::kept : Outcome::replaced);
          if (!keep) before->second = value;
        }
        break;
      }
      case 4: ASSERT_EQ(must(EntryStore(*store.cache).erase(named(key))), model.entries.erase(key) > 0); break;
      case 5: must(store.cache->prune({})); break;
      case 6:
        if (random() % 4 == 0) store.reopen();
        break;
      default: {
        const auto entry = must(EntryStore(*store.cache).find(named(key)));
        const auto wanted = model.entries.find(key);
        ASSERT_EQ(entry.has_value(), wanted != model.entries.end()) << key;
        if (!entry) break;
        ASSERT_EQ(must(store.cache->blobs().read(entry->value, 100)), wanted->second.bytes);
        for (const std::string& output : wanted->second.closure)
          ASSERT_EQ(must(store.cache->blobs().read(base::digest_of<BlobDigest>(output), 100)), output);
      }
    }
    if (step % 100 == 99) {
      must(store.cache->prune({.dry_run = true}));
      ASSERT_EQ(store.findings(), std::vector<std::string>());
    }
  }
}

TEST(EntryRaces, AHitIsCompleteWhileOthersReplaceEraseAndPrune) {
  OpenStore store;
  std::atomic<bool> end{false};
  std::atomic<std::uint64_t> hits{0}, incomplete{0};
  const auto output = [](int n) { return fmt::format("output {}", n % 7); };
  std::vector<std::jthread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      for (int n = t; !end; ++n) {
        auto& blobs = store.cache->blobs();
        const auto value = must(blobs.put(fmt::format("value {}", n % 11), {})).info.digest;
        const auto needed = must(blobs.put(output(n), {})).info.digest;
        const auto put = EntryStore(*store.cache)
                             .put({.name = named("k" + std::to_string(n % 3)),
                                   .value = value,
                                   .closure = {needed},
                                   .attributes = output(n)});
        // Another thread's prune may have come between the two, if another entry of these blobs took our claims over.
        if (!put) CHECK(put.error().code == ErrorCode::not_found, "{}", put.error().message);
        if (n % 5 == 0) must(EntryStore(*store.cache).erase(named("k" + std::to_string(n % 3))));
      }
    });
  threads.emplace_back([&] {
    while (!end) must(store.cache->prune({.all = true}));
  });
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      for (int n = 0; !end; ++n) {
        const auto entry = must(EntryStore(*store.cache).find(named("k" + std::to_string(n % 3))));
        if (!entry) continue;
        ++hits;
        const bool whole = store.cache->blobs().read(entry->value, 100).has_value() &&
                           store.cache->blobs().read(base::digest_of<BlobDigest>(entry->attributes), 100).has_value();
        if (!whole) ++incomplete;
      }
    });
  std::this_thread::sleep_for(std::chrono::seconds(2));
  end = true;
  threads.clear();
  EXPECT_GT(hits.load(), 0u);
  EXPECT_EQ(incomplete.load(), 0u);
  must(store.cache->prune({.dry_run = true}));
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

}  // namespace
}  // namespace cairn::cache
