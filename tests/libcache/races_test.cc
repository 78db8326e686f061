// SPDX-License-Identifier: Apache-2.0
// Lookups against deletion: a hold that was given is never on a record that goes, whatever the order (I4).
#include <thread>

#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

TEST(Races, AHoldFromALookupIsNeverOnARecordThatGoes) {
  OpenStore store("native");
  constexpr int records = 48;
  std::atomic<int> hits{0}, misses{0};
  std::atomic<bool> pruned{false};
  for (int i = 0; i < records; ++i) store.make({}, "file", key(i));
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        for (int round = 0; !pruned || round < 200; ++round) {
          std::optional<ImmutableRef> hit;
          const KeyDigest wanted = key((round * 7 + t * 13) % records);
          must(store.cache->keys().read([&](KeyStore::Reader& reader) -> base::Status {
            for (const KeyResult& result : TRY(reader.results(wanted)))
              if (!hit) hit = TRY(store.cache->find(result.record));
            return {};
          }));
          ++(hit ? hits : misses);
          if (hit) {
            EXPECT_EQ(store.read(*hit, "file"), "bytes of file");
          }
        }
      });
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) must(store.cache->prune({.all = true}));
      pruned = true;
    });
  }
  EXPECT_GT(hits + misses, 0);
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(must(store.cache->disk_usage()).records, 0u);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Races, PublishingAndPruningAtOnceKeepsEveryInvariant) {
  OpenStore store("native");
  std::atomic<int> next{0};
  std::atomic<bool> stop{false};
  {
    std::vector<std::jthread> makers;
    std::jthread pruner([&] {
      while (!stop) must(store.cache->prune({.all = true}));
    });
    for (int t = 0; t < 2; ++t)
      makers.emplace_back([&] {
        for (int i = 0; i < 12; ++i) {
          const int n = ++next;
          Publication first, second;
          const ImmutableRef parent = store.commit(first, {}, "a", "alpha");
          first.add_result(key(n), parent);
          must(store.cache->publish(std::move(first)));
          const ImmutableRef child = store.commit(second, parent, "b", "beta");
          second.add_result(key(1000 + n), child);
          second.add_link(link_of(n, 0), key(1000 + n));
          must(store.writer->wait_durable(must(store.cache->publish(std::move(second)))));
          EXPECT_EQ(store.results(key(1000 + n)), std::vector{child.id()});
          EXPECT_EQ(store.read(child, "a"), "alpha");
        }
      });
    makers.clear();
    stop = true;
  }
  EXPECT_TRUE(store.findings().empty());
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(must(store.cache->disk_usage()).records, 0u);
  EXPECT_TRUE(store.findings().empty());
}

TEST(Races, PuttingAndPruningOneBlobNeverLosesItsFile) {
  OpenStore store("native");
  std::atomic<bool> stop{false};
  {
    std::jthread pruner([&] {
      while (!stop) must(store.cache->prune({}));
    });
    for (int i = 0; i < 60; ++i) {
      Publication publication;
      const auto put = must(store.cache->blobs().put("the same blob"));
      EXPECT_EQ(must(store.cache->blobs().read(put.info.digest, 100)), "the same blob");
      const ImmutableRef ref = store.commit(publication, {}, "a", "alpha");
      publication.add_blob(ref, put.info.digest);
      must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
      EXPECT_EQ(must(store.cache->blobs().read(put.info.digest, 100)), "the same blob");
    }
    stop = true;
  }
  EXPECT_TRUE(store.findings().empty());
}

}  // namespace
}  // namespace cairn::cache
