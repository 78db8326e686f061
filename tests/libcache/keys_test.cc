// SPDX-License-Identifier: Apache-2.0
// The key graph: questions, order, aliases, and what one read costs.
#include <algorithm>
#include <thread>

#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

void publish(OpenStore& store, Publication publication) {
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
}

TEST(Keys, ALinkIsFoundOnlyByAllOfItsParts) {
  OpenStore store;
  Publication publication;
  publication.add_link(link_of(1, 0), key(10));
  publish(store, std::move(publication));
  EXPECT_EQ(store.follow(link_of(1, 0)), std::vector{key(10)});
  EXPECT_TRUE(store.follow(link_of(2, 0)).empty());
  EXPECT_TRUE(store.follow(link_of(1, 1)).empty());
  EXPECT_TRUE(store.follow(link_of(1, 0, 7)).empty());
  KeyLink other = link_of(1, 0);
  other.output = 1;
  EXPECT_TRUE(store.follow(other).empty());
  other = link_of(1, 0);
  other.selector = base::sha256("selector");
  EXPECT_TRUE(store.follow(other).empty());
}

TEST(Keys, AliasesLeadToOneKeyAndTheWayBackNamesThemAll) {
  OpenStore store;
  Publication publication;
  publication.add_link(link_of(1, 0), key(10));
  publication.add_link(link_of(2, 0), key(10));
  publication.add_link(link_of(2, 0), key(11));
  publish(store, std::move(publication));
  EXPECT_EQ(store.follow(link_of(2, 0)).size(), 2u);
  std::vector<KeyLink> back;
  must(store.cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
    back = TRY(reader.links_to(key(10)));
    return {};
  }));
  std::sort(back.begin(), back.end());
  std::vector<KeyLink> expected = {link_of(1, 0), link_of(2, 0)};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(back, expected);
}

TEST(Keys, ResultsComeNewestFirstAndOnce) {
  OpenStore store;
  const ImmutableRef older = store.make({}, "a", key(1));
  store.clock.advance(std::chrono::seconds(1));
  const ImmutableRef newer = store.make({}, "b", key(1));
  EXPECT_EQ(store.results(key(1)), (std::vector{newer.id(), older.id()}));
  store.clock.advance(std::chrono::seconds(1));
  Publication again;
  again.add_result(key(1), older);
  must(store.cache->publish(std::move(again)));
  EXPECT_EQ(store.results(key(1)), (std::vector{older.id(), newer.id()})) << "queued";
}

TEST(Keys, KeysOfARecordAreKnown) {
  OpenStore store;
  const ImmutableRef ref = store.make({}, "a", key(1));
  Publication more;
  more.add_result(key(2), ref);
  must(store.cache->publish(std::move(more)));
  std::vector<KeyDigest> keys;
  must(store.cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
    keys = TRY(reader.keys_of(ref.id()));
    return {};
  }));
  std::sort(keys.begin(), keys.end());
  std::vector<KeyDigest> expected = {key(1), key(2)};
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(keys, expected);
}

TEST(Keys, ManyLookupsAndTheirHoldsCostOneReadTransaction) {
  OpenStore store;
  Publication publication;
  for (int i = 0; i < 20; ++i) {
    const ImmutableRef ref = store.commit(publication, {}, "file", std::to_string(i));
    publication.add_result(key(i), ref);
    publication.add_link(link_of(i, 0), key(i + 1));
  }
  publish(store, std::move(publication));
  store.reopen();
  const auto reads = store.env->counts().reads;
  std::vector<ImmutableRef> hits;
  must(store.cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(TRY(reader.follow(link_of(i, 0))), std::vector{key(i + 1)});
      for (const KeyResult& result : TRY(reader.results(key(i)))) hits.push_back(*TRY(store.cache->find(result.record)));
    }
    return {};
  }));
  EXPECT_EQ(hits.size(), 20u);
  EXPECT_EQ(store.env->counts().reads, reads + 1);
}

TEST(Keys, AReaderThatBeganBeforeAGroupWasCommittedStillFindsWhatWasQueued) {
  OpenStore store;
  store.group_age_max = std::chrono::hours(1);
  store.reopen();
  Publication publication;
  const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
  publication.add_result(key(1), ref);
  const auto number = must(store.cache->publish(std::move(publication)));
  must(store.cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
    std::thread([&] { must(store.writer->wait_durable(number)); }).join();
    EXPECT_EQ(TRY(reader.results(key(1))).size(), 1u);
    return {};
  }));
  EXPECT_EQ(store.results(key(1)), std::vector{ref.id()});
}

}  // namespace
}  // namespace cairn::cache
