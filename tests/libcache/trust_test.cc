// SPDX-License-Identifier: Apache-2.0
// Who is shown what whom has put, how an entry is made a trusted one, and what is written down of that.
#include "libcache/entry_store.h"
#include "libcache/promotion.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using Existing = EntryStore::Existing;
using Outcome = EntryStore::Outcome;

EntryName named(Trust trust, const std::string& key = "k") {
  return {.door = "bazel", .instance = "team", .trust = trust, .key = key};
}
const EntryName by_all = named(Trust::untrusted), by_few = named(Trust::trusted);

struct TrustTest : ::testing::Test {
  EntryStore::Put put(const EntryName& name, const std::string& value, std::vector<BlobDigest> closure = {},
                      Existing existing = Existing::replace) {
    const auto bytes = must(store.cache->blobs().put(value)).info.digest;
    return must(EntryStore(*store.cache).put({.name = name, .value = bytes, .closure = std::move(closure), .attributes = "a: b\n"}, existing));
  }
  std::string shown(const EntryName& to) {
    const auto entry = must(EntryStore(*store.cache).find(to));
    return entry ? must(store.cache->blobs().read(entry->value, 1 << 20)) : "nothing";
  }
  base::Result<EntryStore::Put> promote(Existing existing = Existing::keep) {
    return EntryStore(*store.cache).promote(by_all, {.who = "ada", .reason = "looked at it"}, existing);
  }
  std::vector<Promotion> promotions() {
    std::vector<Promotion> all;
    must(list_promotions(*store.env, [&](RecordId, const Promotion& each) -> base::Status {
      all.push_back(each);
      return {};
    }));
    return all;
  }
  OpenStore store;
};

// Who has written it, who asks: what is shown.
TEST_F(TrustTest, WhatAnUntrustedWriterPutsIsShownToUntrustedReadersOnly) {
  put(by_all, "of somebody");
  EXPECT_EQ(shown(by_all), "of somebody");
  EXPECT_EQ(shown(by_few), "nothing");
  EXPECT_FALSE(must(EntryStore(*store.cache).contains(by_few)));
  EXPECT_FALSE(must(EntryStore(*store.cache).peek(by_few)));
  EXPECT_EQ(put(by_few, "of the ci").outcome, Outcome::made) << "as if nobody had put one";
  EXPECT_EQ(shown(by_few), "of the ci");
  EXPECT_EQ(shown(by_all), "of the ci") << "what is trusted is shown first";
  put(by_all, "poison");
  EXPECT_EQ(shown(by_all), "of the ci");
  EXPECT_EQ(shown(by_few), "of the ci");
  store.reopen();
  EXPECT_EQ(shown(by_few), "of the ci");
  EXPECT_TRUE(store.findings().empty());
}

TEST_F(TrustTest, AnUntrustedWriterTakesNothingAway) {
  put(by_few, "of the ci");
  EXPECT_FALSE(must(EntryStore(*store.cache).erase(by_all)));
  EXPECT_EQ(shown(by_few), "of the ci");
  EXPECT_EQ(put(by_all, "another", {}, Existing::keep).outcome, Outcome::kept) << "there is one that it is shown";
  put(by_all, "another");
  EXPECT_TRUE(must(EntryStore(*store.cache).erase(by_all)));
  EXPECT_EQ(shown(by_all), "of the ci");
  EXPECT_EQ(put(by_few, "newer", {}, Existing::keep).outcome, Outcome::kept);
  EXPECT_TRUE(must(EntryStore(*store.cache).erase(by_few)));
  EXPECT_EQ(put(by_few, "newer", {}, Existing::keep).outcome, Outcome::made);
}

TEST_F(TrustTest, PromotingShowsItToAllAndIsWrittenDown) {
  const BlobDigest output = must(store.cache->blobs().put("an output")).info.digest;
  put(by_all, "result", {output});
  const auto promoted = promote();
  ASSERT_OK(promoted);
  EXPECT_EQ(promoted->outcome, Outcome::made);
  const auto expect_promoted = [&] {
    EXPECT_EQ(shown(by_few), "result");
    EXPECT_EQ(shown(by_all), "result");
    EXPECT_EQ(must(EntryStore(*store.cache).find(by_few))->attributes, "a: b\n");
    const auto list = promotions();
    ASSERT_EQ(list.size(), 1u);
    EXPECT_EQ(list[0].who, "ada");
    EXPECT_EQ(list[0].reason, "looked at it");
    EXPECT_EQ(list[0].door + " " + list[0].instance + " " + list[0].key, "bazel team k");
    EXPECT_EQ(list[0].value, base::digest_of<BlobDigest>("result"));
    EXPECT_EQ(list[0].when, store.clock.now());
    EXPECT_FALSE(list[0].replaced);
  };
  expect_promoted();
  store.reopen();
  expect_promoted();
  must(store.cache->prune({}));
  EXPECT_EQ(must(store.cache->blobs().read(output, 100)), "an output") << "its closure goes with it";
  EXPECT_TRUE(store.findings().empty());
  EXPECT_FALSE(must(EntryStore(*store.cache).erase(by_all))) << "it is an untrusted one no more";
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(shown(by_all), "nothing");
  EXPECT_EQ(promotions().size(), 1u) << "the list outlives the entry";
}

TEST_F(TrustTest, PromotingReplacesATrustedOneOnlyIfThatIsSaid) {
  put(by_few, "of the ci");
  put(by_all, "of somebody");
  const auto refused = promote();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::already_exists);
  EXPECT_EQ(shown(by_few), "of the ci");
  EXPECT_TRUE(promotions().empty()) << "nothing has happened";
  ASSERT_OK(promote(Existing::replace));
  EXPECT_EQ(shown(by_few), "of somebody");
  ASSERT_EQ(promotions().size(), 1u);
  EXPECT_EQ(promotions()[0].replaced, base::digest_of<BlobDigest>("of the ci"));
  EXPECT_TRUE(store.findings().empty());
}

TEST_F(TrustTest, OnlyWhatIsThereIsPromoted) {
  put(by_few, "of the ci");
  const auto none = promote();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  const auto long_reason = EntryStore(*store.cache).promote(by_all, {.who = "ada", .reason = std::string(1025, 'x')});
  ASSERT_FALSE(long_reason);
  EXPECT_EQ(long_reason.error().code, ErrorCode::invalid_argument);
  put(by_all, "of the ci");
  EXPECT_EQ(must(promote()).outcome, Outcome::same) << "the same has been trusted before";
  EXPECT_TRUE(promotions().empty());
}

}  // namespace
}  // namespace cairn::cache
