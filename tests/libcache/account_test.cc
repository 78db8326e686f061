// SPDX-License-Identifier: Apache-2.0
// I9: what du says is what the file system gave. Compared with a walk of everything, on both drivers.
#include "libcache/blobs/blob_rows.h"
#include "libcache/records/record_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

class DiskUsageTest : public testing::TestWithParam<const char*> {};

std::int64_t walk(const base::HostPath& root) {
  const base::Fd dir = must(base::open_host_dir(root));
  return must(base::measure_tree(dir.get())).bytes;
}

void expect_close(const DiskUsage& usage, std::int64_t walked) {
  const std::int64_t slack = std::max<std::int64_t>(walked / 100, 256 << 10);  // tighter than the contract's 16 MiB
  EXPECT_NEAR(static_cast<double>(usage.total_bytes), static_cast<double>(walked), static_cast<double>(slack));
  EXPECT_EQ(usage.total_bytes, usage.tree_bytes + usage.active_bytes + usage.trash_bytes + usage.blob_bytes +
                                   usage.pack_bytes + usage.metadata_bytes + usage.temp_bytes + usage.reserve_bytes +
                                   usage.other_bytes);
  EXPECT_EQ(usage.live_bytes(), usage.total_bytes - usage.active_bytes - usage.trash_bytes - usage.pack_reclaimable_bytes -
                                    usage.temp_bytes - usage.reserve_bytes - usage.other_bytes);
}

TEST_P(DiskUsageTest, EqualsAWalkWithTreesBlobsAndActives) {
  OpenStore store(GetParam());
  Publication publication;
  std::optional<ImmutableRef> last;
  for (int i = 0; i < 8; ++i)
    last = store.commit(publication, i % 3 == 0 ? std::nullopt : last, "file" + std::to_string(i), std::string(700'000, 'x'));
  must(store.cache->blobs().put(std::string(3'000'000, 'b')));
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  const MutableRef active = must(store.cache->create(last));
  {
    const auto mount = must(active.mount(snapshot::Access::read_write));
    const auto out = must(base::open_beneath(mount.fd(), must(base::TreePath::parse("big")), O_CREAT | O_WRONLY, 0644));
    must(base::write_full(out.get(), std::string_view(std::string(2'000'000, 'z'))));
    must(base::sync_file(out.get()));  // so that it has its blocks
  }
  const DiskUsage usage = must(store.cache->disk_usage());
  expect_close(usage, walk(store.root()));
  EXPECT_EQ(usage.records, 8u);
  EXPECT_GE(usage.tree_bytes, 8 * 700'000);
  EXPECT_GE(usage.active_bytes, 2'000'000);
  EXPECT_GE(usage.blob_bytes, 3'000'000);
  EXPECT_GT(usage.metadata_bytes, 0);
  expect_close(must(disk_usage(*store.env, store.root())), walk(store.root()));
  EXPECT_EQ(must(disk_usage(*store.env, store.root())).active_bytes, usage.active_bytes);
}

TEST_P(DiskUsageTest, EqualsAWalkAfterPruning) {
  OpenStore store(GetParam());
  for (int i = 0; i < 5; ++i) store.make({}, "file" + std::to_string(i));
  const DiskUsage before = must(store.cache->disk_usage());
  const PruneReport report = must(store.cache->prune({.all = true}));
  const DiskUsage after = must(store.cache->disk_usage());
  EXPECT_EQ(before.tree_bytes, report.freed_bytes);
  EXPECT_EQ(after.tree_bytes, 0);
  EXPECT_EQ(after.trash_bytes, 0);
  expect_close(after, walk(store.root()));
}

// O(answer): where no row of a record or of a blob can be read, du says the same all the same.
TEST_P(DiskUsageTest, ReadsSumsAndNoRecord) {
  OpenStore store(GetParam());
  for (int i = 0; i < 5; ++i) store.make({}, "file" + std::to_string(i), {}, {.owner = {.project = i < 2 ? "one" : "two"}});
  must(store.writer->wait_durable(must(store.cache->blobs().put("a small blob")).sequence));
  must(store.cache->prune({.dry_run = true}));  // nothing is queued any more
  const DiskUsage before = must(store.cache->disk_usage());
  const Breakdown by_project = must(usage_by(*store.env, Dimension::project));
  const auto spoil = [](base::lmdb::WriteTxn& txn, const base::lmdb::RawTableSpec& table) -> base::Status {
    std::vector<std::string> keys;
    const auto note = [&](std::string_view key, std::string_view) -> base::Result<base::lmdb::Scan> {
      keys.emplace_back(key);
      return base::lmdb::Scan::next;
    };
    TRY(txn.scan_all(table, {}, note, [](std::string_view) {}));
    for (const std::string& key : keys) TRY(txn.put_raw(table, key, "\x7f not a row"));
    return {};
  };
  must(store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    TRY(spoil(txn, table::records));
    return spoil(txn, table::blobs);
  }));
  EXPECT_FALSE(store.cache->each_record([](const RecordInfo&) { return base::Status(); })) << "which a list does";
  const DiskUsage after = must(store.cache->disk_usage());
  EXPECT_EQ(after.records, before.records);
  EXPECT_EQ(after.tree_bytes, before.tree_bytes);
  EXPECT_EQ(after.blob_bytes + after.pack_bytes, before.blob_bytes + before.pack_bytes);
  EXPECT_EQ(must(usage_by(*store.env, Dimension::project)).shares.size(), 2u);
  EXPECT_EQ(must(usage_by(*store.env, Dimension::project)).total_bytes, by_project.total_bytes);
}

TEST_P(DiskUsageTest, ActivesAreMeasuredAtMostOnceASecond) {
  OpenStore store(GetParam());
  const auto before = must(store.cache->disk_usage()).active_bytes;
  EXPECT_EQ(before, 0);
  const MutableRef active = must(store.cache->create({}));
  EXPECT_EQ(must(store.cache->disk_usage()).active_bytes, 0);
  store.clock.advance(std::chrono::seconds(2));
  EXPECT_GT(must(store.cache->disk_usage()).active_bytes, 0);
}

TEST_P(DiskUsageTest, TreeCountsOnceWhenItIsPublishedAfterItWasMeasured) {
  OpenStore store(GetParam());
  Publication publication;
  const ImmutableRef ref = store.commit(publication, {}, "file", std::string(700'000, 'x'));
  EXPECT_GE(must(store.cache->disk_usage()).active_bytes, 700'000);
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  const DiskUsage usage = must(store.cache->disk_usage());  // with the measure of before
  EXPECT_EQ(usage.active_bytes, 0);
  EXPECT_GE(usage.tree_bytes, 700'000);
}

INSTANTIATE_TEST_SUITE_P(Drivers, DiskUsageTest, testing::Values("overlay", "native"));

}  // namespace
}  // namespace cairn::cache
