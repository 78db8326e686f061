// SPDX-License-Identifier: Apache-2.0
// A blob of one namespace is not there for another: whatever is asked, and whatever is measured.
#include "libcache/blob_namespace.h"

#include "libcache/blob_writer.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/entry_store.h"
#include "libcache/records/store.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/random_bytes.h"
#include "tests/support/string_source.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;

const NamespaceId ours = namespace_id("ours"), theirs = namespace_id("theirs");

struct NamespacesTest : ::testing::Test {
  BlobView view(NamespaceId space) { return {*store.cache, space}; }
  BlobDigest put(NamespaceId space, const std::string& bytes) {
    const auto made = must(view(space).put(bytes));
    must(store.writer->wait_durable(made.sequence));
    return made.info.digest;
  }
  BlobDigest put_as_stream(NamespaceId space, const std::string& bytes) {
    BlobWriter writer(*store.cache, space);
    must(writer.write(bytes));
    const auto made = must(writer.finish({}));
    must(store.writer->wait_durable(made.sequence));
    return made.info.digest;
  }
  void expect_hidden(NamespaceId from, const BlobDigest& blob) {
    const BlobDigest none = base::digest_of<BlobDigest>("nobody has put this");
    BlobView blobs = view(from);
    EXPECT_FALSE(must(blobs.find(blob)));
    const auto said = [&](const base::Error& of_blob, const base::Error& of_none) {
      EXPECT_EQ(of_blob.code, ErrorCode::not_found);
      std::string text = of_blob.message;
      if (const auto at = text.find(blob.str()); at != std::string::npos) text.replace(at, blob.str().size(), none.str());
      EXPECT_EQ(text, of_none.message) << "in the words that are said of one that does not exist";
    };
    said(blobs.read(blob, 1 << 24).error(), blobs.read(none, 1 << 24).error());
    said(blobs.open(blob).error(), blobs.open(none).error());
    said(blobs.open_range(blob, {0, 1}).error(), blobs.open_range(none, {0, 1}).error());
  }
  std::string read(NamespaceId space, const BlobDigest& blob) { return must(view(space).read(blob, 1 << 24)); }
  // What a put costs that somebody can see or measure. Of the pack in units of 512 bytes: what the journal says of a row that
  // moves is a hundred bytes shorter.
  struct Cost {
    std::uint64_t changes = 0, groups = 0, data_syncs = 0, pack_units = 0;
    bool operator==(const Cost&) const = default;
  };
  template <class Put>
  Cost cost_of(Put put) {
    must(store.cache->prune({.dry_run = true}));  // every change has its outcome
    const auto before = store.writer->counts();
    const auto live = must(store.env->view([](base::lmdb::ReadTxn& txn) { return txn.get(table::packs, PackId(1)); }));
    put();
    const auto after = store.writer->counts();
    const auto now = must(store.env->view([](base::lmdb::ReadTxn& txn) { return txn.get(table::packs, PackId(1)); }));
    return {after.changes - before.changes, after.groups - before.groups, after.data_syncs - before.data_syncs,
            ((now ? now->end : 0) - (live ? live->end : 0)) / 512};
  }
  OpenStore store;
};

TEST_F(NamespacesTest, ABlobIsThereForWhoeverHasPutIt) {
  const std::string small = "small", large = test::random_bytes(1, 300'000);
  for (const std::string& bytes : {small, large}) {
    const BlobDigest blob = put(ours, bytes);
    EXPECT_EQ(read(ours, blob), bytes);
    expect_hidden(theirs, blob);
    EXPECT_TRUE(must(store.cache->blobs().find(blob))) << "for the owner of the store";
    EXPECT_EQ(put(theirs, bytes), blob);
    EXPECT_EQ(read(theirs, blob), bytes);
    EXPECT_EQ(read(ours, blob), bytes);
  }
  EXPECT_EQ(must(store.cache->disk_usage()).blobs, 2u) << "each is there once";
  store.reopen();
  EXPECT_EQ(read(ours, base::digest_of<BlobDigest>(small)), small);
  EXPECT_EQ(read(theirs, base::digest_of<BlobDigest>(large)), large);
  expect_hidden(namespace_id("others"), base::digest_of<BlobDigest>(small));
  EXPECT_TRUE(store.findings().empty());
}

TEST_F(NamespacesTest, EverybodyBesideNamespacesSeesAll) {
  const BlobDigest blob = put(ours, "bytes");
  BlobView all(*store.cache, std::nullopt);
  EXPECT_EQ(must(all.read(blob, 100)), "bytes");
  const auto open = must(all.put("bytes of nobody")).info.digest;
  expect_hidden(ours, open);
}

// What exists for others costs what does not exist at all: changes, groups, syncs and bytes in the pack.
TEST_F(NamespacesTest, PuttingWhatOthersHaveCostsWhatANewOneCosts) {
  put(ours, "to begin with");
  for (const std::size_t size : {std::size_t{5000}, std::size_t{300'000}}) {
    const std::string known = test::random_bytes(2, size), fresh = test::random_bytes(3, size);
    const std::string known_stream = test::random_bytes(4, size), fresh_stream = test::random_bytes(5, size);
    put(theirs, known);
    put(theirs, known_stream);
    EXPECT_EQ(cost_of([&] { put(ours, known); }), cost_of([&] { put(ours, fresh); })) << size;
    EXPECT_EQ(cost_of([&] { put_as_stream(ours, known_stream); }), cost_of([&] { put_as_stream(ours, fresh_stream); })) << size;
    const Cost again = cost_of([&] { put(ours, known); });
    EXPECT_EQ(again, Cost()) << "one's own costs nothing";
    EXPECT_EQ(read(theirs, base::digest_of<BlobDigest>(known)), known) << "and nothing has happened to theirs";
  }
  EXPECT_TRUE(store.findings().empty());
  must(store.cache->prune({}));
  EXPECT_TRUE(store.findings().empty());
}

TEST_F(NamespacesTest, ChunksAreHiddenAsWell) {
  store.cache_options.chunk_bytes = 64 * 1024;
  store.reopen();
  const std::string bytes = test::random_bytes(6, 3'000'000);
  const BlobDigest blob = put_as_stream(ours, bytes);
  expect_hidden(theirs, blob);
  test::StringSource source(bytes);
  const auto again = must(view(theirs).put(source, blob));
  must(store.writer->wait_durable(again.sequence));
  EXPECT_EQ(read(theirs, blob), bytes);
  EXPECT_TRUE(store.findings().empty());
}

// The file has taken the place of its equal when the pack cannot take its checksums.
TEST_F(NamespacesTest, APutThatFailsLeavesOthersWhatTheyHave) {
  for (int i = 0; i < 64; ++i) put(theirs, test::random_bytes(100 + i, 40'000));
  const std::string bytes = test::random_bytes(7, 300'000);
  const BlobDigest blob = put(theirs, bytes);
  must(store.cache->prune({.dry_run = true}));  // it is on its way to disk no more
  {
    const test::FileSizeLimit limit(1u << 20);
    EXPECT_FALSE(view(ours).put(bytes));
  }
  EXPECT_EQ(read(theirs, blob), bytes);
  store.reopen();
  EXPECT_EQ(read(theirs, blob), bytes);
  expect_hidden(ours, blob);
  EXPECT_TRUE(store.findings().empty());
}

// A store that is opened without chunks, and with them again.
TEST_F(NamespacesTest, APlaceOfAnotherKindStays) {
  const std::string bytes = test::random_bytes(8, 3'000'000), later = test::random_bytes(9, 3'000'000);
  store.cache_options.chunk_bytes = 64 * 1024;
  store.reopen();
  const BlobDigest in_chunks = put_as_stream(theirs, bytes);
  store.cache_options.chunk_bytes = 0;
  store.reopen();
  EXPECT_EQ(put_as_stream(ours, bytes), in_chunks);
  EXPECT_EQ(read(ours, in_chunks), bytes);
  const BlobDigest as_file = put_as_stream(theirs, later);
  EXPECT_TRUE(store.findings().empty());
  store.cache_options.chunk_bytes = 64 * 1024;
  store.reopen();
  EXPECT_EQ(put_as_stream(ours, later), as_file);
  EXPECT_EQ(read(ours, as_file), later);
  EXPECT_TRUE(store.findings().empty());
}

TEST_F(NamespacesTest, AnEntryNamesOnlyWhatItsNamespaceHas) {
  const BlobDigest secret = put(theirs, "secret"), value = put(ours, "value");
  EntryStore entries(*store.cache, ours);
  const EntryName name{.door = "bazel", .instance = "ours", .key = "k"};
  const auto none = entries.put({.name = name, .value = value, .closure = {base::digest_of<BlobDigest>("none")}});
  const auto refused = entries.put({.name = name, .value = value, .closure = {secret}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, none.error().code);
  EXPECT_EQ(refused.error().message, fmt::format("put entry k: its blob {} is not there", secret));
  EXPECT_FALSE(entries.put({.name = name, .value = secret})) << "nor is it a value";
  ASSERT_OK(entries.put({.name = name, .value = value, .closure = {put(ours, "secret")}}));  // who has the bytes may
  EXPECT_TRUE(must(entries.find(name))->in_namespace);
  EXPECT_TRUE(store.findings().empty());
}

// A store of before, and what a tier has brought.
TEST_F(NamespacesTest, WhatAnEntryNeedsIsGivenToWhoeverIsShownIt) {
  const BlobDigest value = must(store.cache->blobs().put("value")).info.digest;
  const BlobDigest output = must(store.cache->blobs().put("output")).info.digest;
  const EntryName name{.door = "bazel", .instance = "ours", .key = "k"};
  ASSERT_OK(EntryStore(*store.cache).put({.name = name, .value = value, .closure = {output}}));
  expect_hidden(ours, output);
  ASSERT_TRUE(must(EntryStore(*store.cache, ours).find(name)));
  EXPECT_EQ(read(ours, value), "value");
  EXPECT_EQ(read(ours, output), "output");
  expect_hidden(theirs, output);
  store.reopen();
  EXPECT_EQ(read(ours, output), "output");
}

TEST_F(NamespacesTest, ARowGoesWithItsBlob) {
  const BlobDigest blob = put(ours, "bytes");
  put(theirs, "bytes");
  store.reopen();  // nobody is going to name it
  must(store.cache->prune({}));
  EXPECT_FALSE(must(store.cache->blobs().find(blob)));
  must(store.cache->blobs().put("bytes"));
  expect_hidden(ours, blob);
  expect_hidden(theirs, blob);
  EXPECT_TRUE(store.findings().empty());
}

}  // namespace
}  // namespace cairn::cache
