// SPDX-License-Identifier: Apache-2.0
// The store that benches and tests of scale are filled with is one that publications could have made.
#include "tests/support/big_store.h"

#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

// A store that was filled before anybody opened it.
class FilledStore : public OpenStore {
 public:
  explicit FilledStore(const test::BigStoreOptions& options) {
    close();
    {
      std::vector<const base::lmdb::RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
      all.insert(all.end(), tables().begin(), tables().end());
      const auto filling = must(base::lmdb::Env::open(root() / "meta", all, {}));
      test::fill_big_store(*filling, root(), options);
    }
    open();
  }
};

TEST(BigStore, IsSoundAndItsRecordsAreFoundListedCountedAndPruned) {
  FilledStore store({.records = 400, .chain = 4, .projects = 7, .builds = 8, .steps = 5, .files = 1});
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
  for (std::uint64_t n = 0; n < 400; n += 27) {
    EXPECT_EQ(store.results(test::big_store_key(n)), std::vector{test::big_store_record(n)});
    const auto ref = must(store.cache->find(test::big_store_record(n)));
    ASSERT_TRUE(ref);
    EXPECT_EQ(store.read(*ref, "file0").size(), 100u);
    EXPECT_EQ(ref->info().parents.size(), n % 4 == 0 ? 0u : 1u);
  }
  const KeyLink link{.from = test::big_store_key(4), .operation = test::big_store_operation()};
  EXPECT_EQ(store.follow(link), std::vector{test::big_store_key(5)});
  const DiskUsage usage = must(store.cache->disk_usage());
  EXPECT_EQ(usage.records, 400u);
  for (const Dimension dimension : {Dimension::type, Dimension::project, Dimension::build, Dimension::step})
    EXPECT_EQ(must(usage_by(*store.env, dimension)).total_bytes,
              usage.tree_bytes + usage.blob_bytes + usage.pack_bytes - usage.pack_reclaimable_bytes)
        << to_string(dimension);
  const RecordId before = test::big_store_record(400);
  EXPECT_GT(store.make({}, "new").id(), before) << "ids go on behind it";
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 401u);
  EXPECT_EQ(must(store.cache->disk_usage()).tree_bytes, 0);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

}  // namespace
}  // namespace cairn::cache
