// SPDX-License-Identifier: Apache-2.0
// Records from their making to the next process: what is found when, and what happens if publishing fails.
#include <thread>

#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;

TEST(Lifecycle, ACommittedTreeIsMountedBeforeItIsPublishedAndAfterReopening) {
  OpenStore store;
  RecordId id;
  {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "a", "alpha", {.description = "first", .chain = {}});
    id = ref.id();
    EXPECT_EQ(store.read(ref, "a"), "alpha");
    EXPECT_FALSE(must(store.cache->find(id))) << "nobody has published it";
    ASSERT_OK(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    EXPECT_TRUE(must(store.cache->find(id)));
  }
  store.reopen();
  const auto found = must(store.cache->find(id));
  ASSERT_TRUE(found);
  EXPECT_EQ(store.read(*found, "a"), "alpha");
  EXPECT_EQ(found->info().facts.description, "first");
  EXPECT_EQ(found->info().snapshot.value(), id.value());
  EXPECT_GT(found->info().usage.bytes, 0);
  EXPECT_EQ(store.cache->sequence_of(*found), 0u);
}

TEST(Lifecycle, AnUnpublishedRecordGoesWithItsLastRef) {
  OpenStore store;
  {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
    EXPECT_EQ(store.snapshots->unpublished().size(), 1u);
  }
  EXPECT_TRUE(store.snapshots->unpublished().empty());
  EXPECT_TRUE(store.findings().empty());
}

TEST(Lifecycle, AnActiveTreeGoesWithItsHandleButNotWhenMoved) {
  OpenStore store;
  {
    MutableRef tree = must(store.cache->create({}));
    MutableRef moved(std::move(tree));
    MutableRef other = must(store.cache->create({}));
    EXPECT_EQ(store.snapshots->unpublished().size(), 2u);
    other = std::move(moved);
    EXPECT_EQ(store.snapshots->unpublished().size(), 1u);
    EXPECT_OK(other.mount(snapshot::Access::read_write));
  }
  EXPECT_TRUE(store.snapshots->unpublished().empty());
}

TEST(Lifecycle, QueuedFactsAreFoundAtOnceAndCostNoCommit) {
  OpenStore store;
  store.group_age_max = std::chrono::hours(1);
  store.reopen();
  const auto commits = store.env->counts().commits;
  Publication publication;
  const ChainId chain = base::digest_of<ChainId>("chain");
  const ImmutableRef ref = store.commit(publication, {}, "a", "alpha", {.description = "a", .chain = chain});
  publication.add_result(key(1), ref);
  publication.add_result(key(3), std::nullopt);
  publication.add_link(link_of(1, 0), key(2));
  const auto number = must(store.cache->publish(std::move(publication)));
  EXPECT_GT(number, 0u);
  EXPECT_EQ(store.results(key(1)), std::vector{ref.id()});
  EXPECT_EQ(store.results(key(3)), std::vector{RecordId()});
  EXPECT_EQ(store.follow(link_of(1, 0)), std::vector{key(2)});
  EXPECT_TRUE(store.exists(key(1)));
  EXPECT_FALSE(store.exists(key(2)));
  const auto found = must(store.cache->find(ref.id()));
  ASSERT_TRUE(found);
  EXPECT_EQ(store.cache->sequence_of(*found), number);
  EXPECT_EQ(must(store.cache->find_chain(chain))->id(), ref.id());
  EXPECT_LE(store.env->counts().commits, commits + 1) << "the block of ids, and nothing else";
  ASSERT_OK(store.writer->wait_durable(number));
  EXPECT_EQ(store.results(key(1)), std::vector{ref.id()});
  EXPECT_EQ(must(store.cache->find_chain(chain))->id(), ref.id());
}

TEST(Lifecycle, AChildIsBuiltOnAParentThatIsOnlyQueued) {
  OpenStore store;
  RecordId child_id;
  {
    Publication first, second;
    ImmutableRef parent = store.commit(first, {}, "a", "alpha");
    must(store.cache->publish(std::move(first)));
    const ImmutableRef child = store.commit(second, std::move(parent), "b", "beta");
    child_id = child.id();
    ASSERT_OK(store.writer->wait_durable(must(store.cache->publish(std::move(second)))));
  }
  store.reopen();
  const auto child = must(store.cache->find(child_id));
  ASSERT_TRUE(child);
  EXPECT_EQ(store.read(*child, "a"), "alpha");
  EXPECT_EQ(store.read(*child, "b"), "beta");
  EXPECT_EQ(child->info().parents.size(), 1u);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Lifecycle, AChildOfAnUnpublishedParentIsNotCachedButStaysUsable) {
  OpenStore store;
  Publication never, publication;
  const ImmutableRef parent = store.commit(never, {}, "a", "alpha");
  const ImmutableRef child = store.commit(publication, parent, "b", "beta");
  publication.add_result(key(1), child);
  publication.add_link(link_of(5, 0), key(1));
  const auto number = must(store.cache->publish(std::move(publication)));
  const auto waited = store.writer->wait_durable(number);
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().code, ErrorCode::not_found);
  EXPECT_EQ(must(store.cache->prune({.dry_run = true})).records.size(), 0u);  // every callback has run
  EXPECT_TRUE(store.results(key(1)).empty());
  EXPECT_TRUE(store.follow(link_of(5, 0)).empty());
  EXPECT_FALSE(must(store.cache->find(child.id())));
  EXPECT_EQ(store.cache->sequence_of(child), number);
  EXPECT_EQ(store.read(child, "b"), "beta");
  EXPECT_EQ(store.read(child, "a"), "alpha");
}

TEST(Lifecycle, AFailedGroupTakesKeysOfDescendantsToo) {
  OpenStore store;
  const ImmutableRef before = store.make({}, "before", key(9));
  store.fail_data_sync = true;
  Publication first, second;
  ImmutableRef parent = store.commit(first, {}, "a", "alpha");
  first.add_result(key(1), parent);
  must(store.cache->publish(std::move(first)));
  ImmutableRef child = store.commit(second, parent, "b", "beta");
  second.add_result(key(2), child);
  const auto queued = store.cache->publish(std::move(second));
  ASSERT_FALSE(store.writer->wait_durable(queued ? *queued : 1));
  EXPECT_FALSE(store.cache->publish([&] {
    Publication third;
    third.add_result(key(4), child);
    return third;
  }()));
  while (!store.results(key(2)).empty()) std::this_thread::yield();  // the callbacks follow the waiters
  EXPECT_TRUE(store.results(key(1)).empty());
  EXPECT_TRUE(store.results(key(2)).empty());
  EXPECT_TRUE(store.results(key(4)).empty());
  EXPECT_EQ(store.results(key(9)), std::vector{before.id()});
  EXPECT_EQ(store.read(child, "a"), "alpha");
}

TEST(Lifecycle, ContentDigestReadsTheTreeOnceEvenAcrossProcesses) {
  OpenStore store;
  RecordId id;
  TreeDigest whole;
  {
    const ImmutableRef ref = store.make({}, "a");
    id = ref.id();
    whole = must(ref.content_digest({}));
    const auto bytes = store.cache->counts().tree_bytes_read;
    EXPECT_GT(bytes, 0u);
    EXPECT_EQ(must(ref.content_digest({})), whole);
    EXPECT_EQ(store.cache->counts().tree_bytes_read, bytes);
    Selection none;
    none.path = "/missing";
    EXPECT_EQ(ref.content_digest({none}).error().code, ErrorCode::not_found);
  }
  store.reopen();
  const auto ref = must(store.cache->find(id));
  ASSERT_TRUE(ref);
  EXPECT_EQ(must(ref->content_digest({})), whole);
  EXPECT_EQ(store.cache->counts().tree_bytes_read, 0u);
  EXPECT_EQ(store.cache->counts().trees_mounted, 0u);
}

TEST(Lifecycle, ADigestTakenBeforePublishingIsPublishedWithItsRecord) {
  OpenStore store;
  RecordId id;
  {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
    id = ref.id();
    must(ref.content_digest({}));
    ASSERT_OK(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  }
  store.reopen();
  must(must(store.cache->find(id))->content_digest({}));
  EXPECT_EQ(store.cache->counts().tree_bytes_read, 0u);
}

TEST(Lifecycle, AnEmptyPublicationIsNothing) {
  OpenStore store;
  Publication publication;
  EXPECT_TRUE(publication.empty());
  EXPECT_EQ(must(store.cache->publish(std::move(publication))), 0u);
}

TEST(Lifecycle, FindOfNothingIsNothing) {
  OpenStore store;
  EXPECT_FALSE(must(store.cache->find(RecordId())));
  EXPECT_FALSE(must(store.cache->find(RecordId(123456))));
  EXPECT_FALSE(must(store.cache->find_chain(base::digest_of<ChainId>("no such chain"))));
}

TEST(Lifecycle, LeftoversInTmpAreGoneAfterOpening) {
  OpenStore store;
  ASSERT_OK(base::write_file_atomic(store.root() / "tmp/junk", "junk", base::Durable::no));
  EXPECT_EQ(store.findings(), std::vector<std::string>{"I6 tmp/junk: left behind"});
  store.reopen();
  EXPECT_TRUE(store.findings().empty());
}

}  // namespace
}  // namespace cairn::cache
