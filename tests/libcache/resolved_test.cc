// SPDX-License-Identifier: Apache-2.0
// What remote sides have said of sources.
#include "libcache/resolved_source.h"

#include "libcache/records/resolved_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

TEST(ResolvedSources, AreFoundAtOnceAndAfterARestart) {
  OpenStore store;
  EXPECT_FALSE(must(store.cache->find_resolved(key(1))));
  store.cache->remember_resolved(key(1), "one", "said first");
  EXPECT_EQ(must(store.cache->find_resolved(key(1)))->facts, "said first");
  store.clock.advance(std::chrono::seconds(5));
  store.cache->remember_resolved(key(1), "one", std::string("said \0 later", 12));
  store.clock.advance(std::chrono::seconds(2));
  store.reopen();
  const auto found = must(store.cache->find_resolved(key(1)));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "one");
  EXPECT_EQ(found->facts, std::string("said \0 later", 12));
  EXPECT_EQ(found->age, std::chrono::seconds(2));
  EXPECT_FALSE(must(store.cache->find_resolved(key(2))));
}

TEST(ResolvedSources, TooMuchIsNotKept) {
  OpenStore store;
  store.cache->remember_resolved(key(1), "one", std::string(resolved_bytes_max, 'x'));
  EXPECT_FALSE(must(store.cache->find_resolved(key(1))));
}

TEST(ResolvedSources, TheOlderHalfMakesRoom) {
  OpenStore store;
  const int most = static_cast<int>(resolved_sources_max);
  for (int i = 0; i <= most; ++i) {
    store.clock.advance(std::chrono::seconds(1));
    store.cache->remember_resolved(key(i), "n", "f");
  }
  store.reopen();
  EXPECT_FALSE(must(store.cache->find_resolved(key(most / 2 - 1))));
  EXPECT_TRUE(must(store.cache->find_resolved(key(most / 2))));
  EXPECT_TRUE(must(store.cache->find_resolved(key(most))));
}

}  // namespace
}  // namespace cairn::cache
