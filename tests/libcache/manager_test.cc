// SPDX-License-Identifier: Apache-2.0
// BuildKit's tests of its cache manager (spec/storage 1.8), by their names, each asserting the same facts here.
//
// Not here, because what they are about does not exist in this design:
//   missing_materialized_lower_diff_extract  a snapshot with a row has its tree: the two come and go in one transaction
//   nondistributable_blobs                   URLs and media types are the exporter's, who writes the manifest
//   load_half_finalized_ref                  a record and its snapshot are published in one transaction, not two
//   sharable_mount_pool_cleanup              mounts are detached: nothing is left of them when a process dies
//   merge_blob_chain_id                      a record has one chain, that of its own layer; a merge has none
//   indexes, external_data                   there is no index by free text and no bucket for others' bytes
// Elsewhere: calculate_keep_bytes is the collector's (tests/libcache_policy), load_broken_parents is check()'s.
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "tests/libcache/store_fixture.h"
#include "tests/support/string_source.h"

namespace cairn::cache {
namespace {

using base::Compression;
using base::ErrorCode;
using base::Status;

struct Counted {
  std::uint64_t records = 0, in_use = 0;
};
Counted count(OpenStore& store) {
  Counted counted;
  must(store.cache->each_record([&](const RecordInfo&) -> Status {
    ++counted.records;
    return {};
  }));
  counted.in_use = counted.records - must(store.cache->prune({.all = true, .dry_run = true})).records.size();
  return counted;
}

RecordInfo info_of(OpenStore& store, RecordId id) {
  RecordInfo found;
  must(store.cache->each_record([&](const RecordInfo& info) -> Status {
    if (info.id == id) found = info;
    return {};
  }));
  CHECK(found.id, "record {} is not there", id);
  return found;
}

void publish(OpenStore& store, Publication publication) {
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
}
void settle(OpenStore& store) { must(store.cache->prune({.dry_run = true})); }  // nothing is queued any more

void write_into(const MutableRef& tree, const std::string& file, const std::string& bytes) {
  const auto mount = must(tree.mount(snapshot::Access::read_write));
  const auto path = must(base::TreePath::parse(file));
  const auto out = must(base::open_beneath(mount.fd(), path, O_CREAT | O_WRONLY | O_TRUNC, 0644));
  must(base::write_full(out.get(), std::string_view(bytes)));
}

std::vector<std::string> names(const ImmutableRef& ref) {
  const auto mount = must(ref.mount());
  std::vector<std::string> found;
  for (const base::DirEntry& entry : must(base::list_dir(mount.fd()))) found.push_back(entry.name);
  std::sort(found.begin(), found.end());
  return found;
}

class Manager : public testing::TestWithParam<const char*> {
 protected:
  OpenStore store{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Drivers, Manager, testing::Values("overlay", "native"));

TEST_P(Manager, manager) {
  EXPECT_FALSE(must(store.cache->find(RecordId(12345))));
  RecordId id;
  {
    MutableRef active = must(store.cache->create({}));
    write_into(active, "foo", "bar");
    EXPECT_EQ(count(store).records, 0u) << "an active tree is no record";
    EXPECT_EQ(store.snapshots->unpublished().size(), 1u);
    Publication publication;
    const ImmutableRef ref = must(std::move(active).commit(publication, {.description = "foo"}));
    id = ref.id();
    EXPECT_EQ(store.read(ref, "foo"), "bar") << "usable before it is published";
    EXPECT_FALSE(must(store.cache->find(id))) << "not published";
    publish(store, std::move(publication));
    settle(store);
    EXPECT_EQ(count(store).in_use, 1u);
    const ImmutableRef clone = ref;
    EXPECT_EQ(must(store.cache->find(id))->id(), clone.id());
  }
  EXPECT_EQ(count(store).in_use, 0u);
  EXPECT_EQ(count(store).records, 1u);
  { const MutableRef dropped = must(store.cache->create(must(store.cache->find(id)))); }
  EXPECT_TRUE(store.snapshots->unpublished().empty()) << "released means gone";
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 1u);
  EXPECT_EQ(count(store).records, 0u);
  EXPECT_FALSE(must(store.cache->find(id)));
}

std::string layer_bytes(OpenStore& store, const ImmutableRef& ref, Compression compression, LayerBlob* about = nullptr) {
  const LayerBlob layer = must(store.cache->layer_blob(ref, compression));
  must(store.writer->wait_durable(layer.sequence));
  if (about) *about = layer;
  return must(store.cache->blobs().read(layer.blob, 64 << 20));
}

// A chain of lazy layers with the bytes of each, made in another store.
struct Pulled {
  std::vector<LazyLayer> layers;
  std::map<BlobDigest, std::string> bytes;
};
Pulled make_layers(int count, const std::string& driver) {
  OpenStore from(driver);
  Pulled pulled;
  std::optional<ImmutableRef> last;
  for (int i = 0; i < count; ++i) {
    last = from.make(last, "file" + std::to_string(i));
    LayerBlob about;
    const std::string bytes = layer_bytes(from, *last, Compression::gzip, &about);
    pulled.layers.push_back({about.diff, about.blob, about.size, Compression::gzip});
    pulled.bytes.emplace(about.blob, bytes);
  }
  return pulled;
}
BlobProvider provider_of(const Pulled& pulled, std::atomic<int>* asked = nullptr) {
  return [&pulled, asked](const BlobDigest& blob, const std::stop_token&) -> base::Result<std::unique_ptr<base::ByteSource>> {
    if (asked) ++*asked;
    const auto found = pulled.bytes.find(blob);
    if (found == pulled.bytes.end()) return base::fail(ErrorCode::not_found, "no blob {}", blob);
    return std::unique_ptr<base::ByteSource>(std::make_unique<test::StringSource>(found->second));
  };
}
std::vector<ImmutableRef> add_all(OpenStore& store, const Pulled& pulled) {
  std::vector<ImmutableRef> refs;
  Publication publication;
  std::optional<ImmutableRef> last;
  for (const LazyLayer& layer : pulled.layers) {
    last = must(store.cache->add_lazy(layer, last, publication, {.description = "pulled"}));
    refs.push_back(*last);
  }
  publish(store, std::move(publication));
  return refs;
}

TEST_P(Manager, lazy_get_by_blob) {
  const Pulled pulled = make_layers(3, GetParam());
  const std::vector<ImmutableRef> refs = add_all(store, pulled);
  EXPECT_TRUE(refs.back().is_lazy());
  const auto mounted = refs.back().mount();
  ASSERT_FALSE(mounted) << "nobody has the blobs";
  EXPECT_EQ(mounted.error().code, ErrorCode::unavailable);
  EXPECT_NE(mounted.error().message.find(pulled.layers[0].blob.str()), std::string::npos) << mounted.error().message;
  EXPECT_EQ(must(store.cache->missing_blobs(refs.back())).size(), 3u);
  // Many ask for the same chain at once: each layer is fetched and unpacked once.
  std::atomic<int> asked{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 8; ++i)
    threads.emplace_back([&, i] { must(store.cache->unlazy(refs[i % 3], provider_of(pulled, &asked))); });
  for (std::thread& thread : threads) thread.join();
  must(store.cache->unlazy(refs.back(), provider_of(pulled, &asked)));
  EXPECT_EQ(asked.load(), 3);
  EXPECT_EQ(store.cache->counts().layers_unpacked, 3u);
  EXPECT_EQ(names(refs.back()), (std::vector<std::string>{"file0", "file1", "file2"}));
  settle(store);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

// Bytes that begin to come when somebody says so.
class HeldBack final : public base::ByteSource {
 public:
  HeldBack(std::string bytes, std::function<Status()> wait) : bytes_(std::move(bytes)), wait_(std::move(wait)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    TRY(wait_());
    return bytes_.read(out);
  }

 private:
  test::StringSource bytes_;
  std::function<Status()> wait_;
};

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 60'000 && !holds(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return holds();
}

TEST_P(Manager, lazy_layers_are_fetched_beside_each_other) {
  const Pulled pulled = make_layers(7, GetParam());
  const std::vector<ImmutableRef> refs = add_all(store, pulled);
  // The lowest comes only once three more have been asked for; and no more are until one has come.
  std::atomic<int> asked{0}, asked_before_the_first_came{0};
  const auto wait = [&]() -> Status {
    if (!eventually([&] { return asked >= 4; })) return base::fail(ErrorCode::io, "nobody asked for the others");
    asked_before_the_first_came = asked.load();
    return {};
  };
  const auto wait_for_first = [&]() -> Status {
    if (eventually([&] { return asked_before_the_first_came > 0; })) return {};
    return base::fail(ErrorCode::io, "the first never came");
  };
  must(store.cache->unlazy(refs.back(), [&](const BlobDigest& blob, const std::stop_token&) -> base::Result<std::unique_ptr<base::ByteSource>> {
    const bool is_first = blob == pulled.layers[0].blob;
    ++asked;
    return std::make_unique<HeldBack>(pulled.bytes.at(blob), is_first ? std::function<Status()>(wait) : wait_for_first);
  }));
  EXPECT_EQ(asked_before_the_first_came, 4);
  EXPECT_EQ(asked, 7);
  EXPECT_EQ(store.cache->counts().layers_unpacked, 7u);
  EXPECT_EQ(names(refs.back()).size(), 7u);
  settle(store);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, lazy_layers_end_with_the_first_that_fails) {
  const Pulled pulled = make_layers(3, GetParam());
  const std::vector<ImmutableRef> refs = add_all(store, pulled);
  const Status unlazied = store.cache->unlazy(
      refs.back(), [&](const BlobDigest& blob, const std::stop_token& stop) -> base::Result<std::unique_ptr<base::ByteSource>> {
        if (blob == pulled.layers[1].blob) return base::fail(ErrorCode::io, "the wire is cut");
        return std::make_unique<HeldBack>(pulled.bytes.at(blob), [stop]() -> Status {
          if (eventually([&] { return stop.stop_requested(); })) return base::fail(ErrorCode::cancelled, "asked to stop");
          return base::fail(ErrorCode::io, "never asked to stop");
        });
      });
  ASSERT_FALSE(unlazied);
  EXPECT_EQ(unlazied.error().code, ErrorCode::io);
  EXPECT_NE(unlazied.error().message.find("the wire is cut"), std::string::npos) << unlazied.error().message;
  EXPECT_TRUE(refs[0].is_lazy());
  // Nothing is in the way of the next try; one that is told to stop before it begins asks nobody.
  std::stop_source stopped;
  stopped.request_stop();
  std::atomic<int> asked{0};
  EXPECT_EQ(store.cache->unlazy(refs.back(), provider_of(pulled, &asked), stopped.get_token()).error().code, ErrorCode::cancelled);
  EXPECT_EQ(asked, 0);
  must(store.cache->unlazy(refs.back(), provider_of(pulled, &asked)));
  EXPECT_EQ(asked, 3);
}

TEST_P(Manager, snapshot_extract) {
  const Pulled pulled = make_layers(2, GetParam());
  RecordId last;
  {
    const std::vector<ImmutableRef> refs = add_all(store, pulled);
    last = refs.back().id();
    EXPECT_EQ(count(store).records, 2u);
    EXPECT_EQ(must(store.cache->disk_usage()).tree_bytes, 0) << "what is lazy takes nothing";
    must(store.cache->unlazy(refs.back(), provider_of(pulled)));
    settle(store);
    EXPECT_GT(must(store.cache->disk_usage()).tree_bytes, 0);
    EXPECT_EQ(must(store.cache->disk_usage()).blobs, 2u);
    EXPECT_GT(info_of(store, last).space.blob_exclusive_bytes, 0) << "the record names its blob";
    must(store.cache->unlazy(refs.back(), {}));
    EXPECT_EQ(store.cache->counts().layers_unpacked, 2u) << "once";
    EXPECT_EQ(store.findings(), std::vector<std::string>{});
  }
  store.reopen();
  {
    const auto again = must(store.cache->find(last));
    ASSERT_TRUE(again);
    EXPECT_FALSE(again->is_lazy()) << "its tree survives a restart";
    EXPECT_EQ(names(*again), (std::vector<std::string>{"file0", "file1"}));
  }
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 2u);
  EXPECT_EQ(must(store.cache->disk_usage()).blobs, 0u);
  EXPECT_EQ(must(store.cache->disk_usage()).tree_bytes, 0);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

// A lazy record survives a restart as one, and is unpacked from blobs that are here without anybody's help.
TEST_P(Manager, lazy_records_survive_a_restart) {
  const Pulled pulled = make_layers(1, GetParam());
  const RecordId id = add_all(store, pulled).back().id();
  store.reopen();
  must(store.cache->blobs().put(pulled.bytes.begin()->second));
  const auto ref = must(store.cache->find(id));
  ASSERT_TRUE(ref);
  EXPECT_TRUE(ref->is_lazy());
  EXPECT_EQ(store.read(*ref, "file0"), "bytes of file0");
  EXPECT_FALSE(ref->is_lazy());
}

TEST_P(Manager, lazy_layers_with_other_bytes_are_refused) {
  Pulled pulled = make_layers(1, GetParam());
  const LazyLayer good = pulled.layers[0];
  const auto damage = [&] { pulled.bytes[good.blob][20] = static_cast<char>(pulled.bytes[good.blob][20] ^ 1); };
  damage();
  {
    const std::vector<ImmutableRef> refs = add_all(store, pulled);
    EXPECT_EQ(store.cache->unlazy(refs[0], provider_of(pulled)).error().code, ErrorCode::corrupt);
    EXPECT_TRUE(refs[0].is_lazy());
  }
  damage();
  pulled.layers[0].diff = base::digest_of<DiffId>("another");
  const std::vector<ImmutableRef> refs = add_all(store, pulled);
  const Status unlazied = store.cache->unlazy(refs[0], provider_of(pulled));
  ASSERT_FALSE(unlazied) << "it holds another diff than was said";
  EXPECT_EQ(unlazied.error().code, ErrorCode::corrupt);
  EXPECT_TRUE(store.snapshots->unpublished().empty()) << "nothing is left of the attempt";
}

TEST_P(Manager, extract_on_mutable) {
  const Pulled pulled = make_layers(1, GetParam());
  {
    Publication publication;
    const ImmutableRef parent = store.commit(publication, {}, "under", "x");
    const ImmutableRef lazy = must(store.cache->add_lazy(pulled.layers[0], parent, publication, {}));
    publish(store, std::move(publication));
    must(store.cache->unlazy(lazy, provider_of(pulled)));
    EXPECT_EQ(names(lazy), (std::vector<std::string>{"file0", "under"}));
    settle(store);
  }
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 2u);
  EXPECT_EQ(must(store.cache->disk_usage()).tree_bytes, 0);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, set_blob) {
  const ImmutableRef ref = store.make({}, "a");
  EXPECT_TRUE(must(store.cache->layer_blobs(ref)).empty());
  const LayerBlob first = must(store.cache->layer_blob(ref, Compression::gzip));
  const LayerBlob again = must(store.cache->layer_blob(ref, Compression::gzip));
  EXPECT_EQ(again.blob, first.blob);
  EXPECT_EQ(again.diff, first.diff);
  EXPECT_EQ(store.cache->counts().layers_written, 1u) << "made once";
  must(store.writer->wait_durable(first.sequence));
  settle(store);
  EXPECT_EQ(must(store.cache->layer_blobs(ref)).size(), 1u);
  EXPECT_EQ(must(store.cache->layer_blob(ref, Compression::gzip)).sequence, 0u) << "durable";
  EXPECT_GT(info_of(store, ref.id()).space.blob_exclusive_bytes, 0) << "and named";
}

TEST_P(Manager, prune) {
  {
    const ImmutableRef base = store.make({}, "a");
    const ImmutableRef middle = store.make(base, "b");
    store.make(middle, "c");
    store.make(middle, "d");
    EXPECT_EQ(count(store).records, 4u);
    EXPECT_EQ(count(store).in_use, 2u);
    const PruneReport report = must(store.cache->prune({.all = true}));
    ASSERT_EQ(report.records.size(), 2u) << "the leaves; what is held and what it needs stays";
    EXPECT_EQ(report.records[0].parents, std::vector{middle.id()});
  }
  const PruneReport report = must(store.cache->prune({.all = true}));
  ASSERT_EQ(report.records.size(), 2u);
  EXPECT_EQ(report.records[0].parents, std::vector{report.records[1].id}) << "leaves first, parents after";
  EXPECT_EQ(count(store).records, 0u);
}

// Blobs cannot keep one another here: what keeps a blob is a record or a lease.
TEST_P(Manager, loop_lease_content) {
  LeaseId lease;
  {
    const ImmutableRef ref = store.make({}, "a");
    for (const Compression compression : {Compression::none, Compression::gzip, Compression::zstd})
      must(store.writer->wait_durable(must(store.cache->layer_blob(ref, compression)).sequence));
    lease = must(store.cache->create_lease({.owner = "test", .records = {ref}})).id;
    settle(store);
    EXPECT_EQ(must(store.cache->disk_usage()).blobs, 3u);
  }
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(must(store.cache->disk_usage()).blobs, 3u) << "a lease on the record keeps all that it names";
  must(store.writer->wait_durable(must(store.cache->release_lease(lease))));
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(must(store.cache->disk_usage()).blobs, 0u);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, sharing_compression_variant) {
  const Pulled pulled = make_layers(1, GetParam());
  LazyLayer other = pulled.layers[0];
  const std::string tar = must(base::decompress(Compression::gzip, pulled.bytes.begin()->second, 1 << 20));
  const std::string zstd = must(base::compress(Compression::zstd, tar));
  other.blob = base::digest_of<BlobDigest>(zstd);
  other.compression = Compression::zstd;
  other.size = zstd.size();
  std::optional<ImmutableRef> first, second;
  Publication publication;
  first = must(store.cache->add_lazy(pulled.layers[0], {}, publication, {}));
  second = must(store.cache->add_lazy(other, {}, publication, {}));
  publish(store, std::move(publication));
  settle(store);
  EXPECT_EQ(must(store.cache->layer_blobs(*first)).size(), 2u) << "each sees the blobs of the other";
  EXPECT_EQ(must(store.cache->layer_blobs(*second)).size(), 2u);
  must(store.cache->unlazy(*second, provider_of(pulled)));
  EXPECT_EQ(names(*second), std::vector<std::string>{"file0"}) << "the other's blob serves as well";
  settle(store);
  second.reset();
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(must(store.cache->layer_blobs(*first)).size(), 2u);
  first.reset();
  must(store.cache->prune({.all = true}));
  EXPECT_EQ(must(store.cache->disk_usage()).blobs, 0u);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, conversion) {
  const Compression all[] = {Compression::none, Compression::gzip, Compression::zstd};
  int made = 0;
  for (const Compression from : all) {
    for (const Compression to : all) {
      const ImmutableRef ref = store.make({}, "a" + std::to_string(made++));  // no two the same diff
      LayerBlob one, two;
      const std::string first = layer_bytes(store, ref, from, &one);
      const std::string second = layer_bytes(store, ref, to, &two);
      EXPECT_EQ(one.diff, two.diff);
      EXPECT_EQ(base::digest_of<DiffId>(must(base::decompress(to, second, 1 << 20))), one.diff);
      EXPECT_EQ(must(base::decompress(from, first, 1 << 20)), must(base::decompress(to, second, 1 << 20)));
    }
  }
  EXPECT_EQ(store.cache->counts().layers_written, 9u);
  EXPECT_EQ(store.cache->counts().layers_converted, 6u) << "a layer that is here is converted, not made anew";
}

TEST_P(Manager, get_remotes) {
  std::vector<ImmutableRef> chain;
  for (int i = 0; i < 3; ++i)
    chain.push_back(store.make(chain.empty() ? std::nullopt : std::optional(chain.back()), "f" + std::to_string(i)));
  const Compression all[] = {Compression::none, Compression::gzip, Compression::zstd};
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (std::size_t i = 0; i < 18; ++i)
    threads.emplace_back([&, i] {
      const LayerBlob layer = must(store.cache->layer_blob(chain[i % 3], all[i / 3 % 3]));
      const std::string bytes = must(store.cache->blobs().read(layer.blob, 1 << 20));
      if (base::digest_of<BlobDigest>(bytes) != layer.blob || bytes.size() != layer.size) ++wrong;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  const Cache::Counts counts = store.cache->counts();
  EXPECT_EQ(counts.layers_written, 3u) << "one for each record";
  EXPECT_EQ(counts.layers_converted, 6u);
  settle(store);
  for (const ImmutableRef& ref : chain) EXPECT_EQ(must(store.cache->layer_blobs(ref)).size(), 3u);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, merge_op) {
  std::vector<ImmutableRef> refs;
  for (int i = 0; i < 6; ++i) refs.push_back(store.make({}, "file" + std::to_string(i)));
  const auto merge = [&](std::vector<ImmutableRef> inputs) {
    Publication publication;
    auto ref = must(store.cache->merge(std::move(inputs), publication, {.description = "merge"}));
    if (!publication.empty()) publish(store, std::move(publication));
    return ref;
  };
  EXPECT_FALSE(merge({})) << "no input gives nothing";
  EXPECT_EQ(merge({refs[0]})->id(), refs[0].id()) << "one gives itself";
  const auto first = merge({refs[0], refs[1], refs[2]});
  EXPECT_EQ(first->info().kind, RecordKind::merge);
  EXPECT_EQ(first->info().parents, (std::vector{refs[0].id(), refs[1].id(), refs[2].id()}));
  const auto second = merge({refs[3], refs[4], refs[5]});
  const auto both = merge({*first, *second});
  std::vector<RecordId> all;
  for (const ImmutableRef& ref : refs) all.push_back(ref.id());
  EXPECT_EQ(both->info().parents, all) << "merges are replaced by what they merge";
  EXPECT_EQ(names(*both), (std::vector<std::string>{"file0", "file1", "file2", "file3", "file4", "file5"}));
  settle(store);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
  EXPECT_EQ(count(store).records, 9u);
}

TEST_P(Manager, merges_share_what_they_link_and_sums_follow) {
  RecordId merged;
  {
    const ImmutableRef a = store.make({}, "a", key(1)), b = store.make({}, "b", key(2));
    Publication publication;
    const auto ref = must(store.cache->merge({a, b}, publication, {.owner = {.project = "merges", .build = {}, .step = {}}}));
    merged = ref->id();
    publish(store, std::move(publication));
    settle(store);
  }
  const DiskUsage before = must(store.cache->disk_usage());
  const auto live = [](const DiskUsage& usage) {
    return usage.tree_bytes + usage.blob_bytes + usage.pack_bytes - usage.pack_reclaimable_bytes;
  };
  EXPECT_EQ(must(usage_by(*store.env, Dimension::project)).total_bytes, live(before));
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
  const PruneReport report = must(store.cache->prune({}));
  ASSERT_EQ(report.records.size(), 1u);
  EXPECT_EQ(report.records[0].id, merged);
  const DiskUsage after = must(store.cache->disk_usage());
  const Breakdown types = must(usage_by(*store.env, Dimension::type));
  EXPECT_EQ(types.total_bytes, live(after));
  EXPECT_EQ(after.tree_bytes, types.shares.at(0).exclusive_bytes) << "what only one has is its own again";
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, diff_op) {
  const ImmutableRef lower = store.make({}, "a");
  const ImmutableRef upper = store.make(lower, "b");
  const auto diff = [&](const ImmutableRef& from, std::optional<ImmutableRef> to) {
    Publication publication;
    ImmutableRef ref = must(store.cache->diff(from, std::move(to), publication, {.description = "diff"}));
    publish(store, std::move(publication));
    return ref;
  };
  const ImmutableRef one = diff(lower, upper);
  EXPECT_EQ(one.info().kind, RecordKind::diff);
  EXPECT_EQ(one.info().parents, (std::vector{lower.id(), upper.id()}));
  EXPECT_EQ(names(one), std::vector<std::string>{"b"});
  const ImmutableRef nothing = diff(upper, std::nullopt);
  EXPECT_EQ(nothing.info().kind, RecordKind::diff_to_none);
  EXPECT_TRUE(names(nothing).empty());
  // What a diff removes is removed by a merge of it.
  Publication publication;
  const auto merged = must(store.cache->merge({upper, nothing}, publication, {}));
  publish(store, std::move(publication));
  EXPECT_TRUE(names(*merged).empty());
  settle(store);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, diff_op_unmerge) {
  std::vector<ImmutableRef> chain;
  for (int i = 0; i < 5; ++i)
    chain.push_back(store.make(chain.empty() ? std::nullopt : std::optional(chain.back()), "f" + std::to_string(i)));
  {
    Publication publication;
    const ImmutableRef ref = must(store.cache->diff(chain[0], chain[4], publication, {.description = "mine"}));
    publish(store, std::move(publication));
    EXPECT_EQ(ref.info().kind, RecordKind::merge) << "one diff for each layer that upper has more";
    ASSERT_EQ(ref.info().parents.size(), 4u);
    const std::string described = fmt::format("diff \"{}\" -> \"{}\"", chain[0].id(), chain[4].id());
    EXPECT_EQ(ref.info().facts.description, described);
    EXPECT_EQ(info_of(store, ref.info().parents[0]).facts.description, described);
    EXPECT_EQ(info_of(store, ref.info().parents[2]).parents, (std::vector{chain[2].id(), chain[3].id()}));
    EXPECT_EQ(names(ref), (std::vector<std::string>{"f1", "f2", "f3", "f4"}));
    EXPECT_EQ(count(store).records, 10u);
  }
  settle(store);
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 5u) << "the merge and its parts; the chain is held";
  chain.clear();
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 5u);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

TEST_P(Manager, mount_read_only) {
  const MutableRef active = must(store.cache->create(store.make({}, "a")));
  const base::TreePath path = must(base::TreePath::parse("b"));
  {
    const auto view = must(active.mount(snapshot::Access::read_only));
    EXPECT_FALSE(base::open_beneath(view.fd(), path, O_CREAT | O_WRONLY, 0644));
  }
  const ImmutableRef ref = store.make({}, "c");
  const auto mount = must(ref.mount());
  EXPECT_FALSE(base::open_beneath(mount.fd(), path, O_CREAT | O_WRONLY, 0644));
  EXPECT_FALSE(base::open_beneath(mount.fd(), must(base::TreePath::parse("c")), O_WRONLY, 0));
  write_into(active, "b", "x");  // it can still be written to
}

// metadata_test.go: typed facts are set, read back and found after a restart; changing one changes nothing else.
TEST_P(Manager, get_set_search) {
  RecordId id;
  {
    const ImmutableRef ref = store.make({}, "a", {}, {.description = "old", .owner = {.project = "one", .build = {}, .step = {}}});
    id = ref.id();
    RecordChanges first;
    first.description = "new";
    first.type = RecordType::frontend;
    first.owner = Owner{"two", "", "s"};
    must(store.writer->wait_durable(must(store.cache->change_record(ref, first))));
    RecordChanges second;
    second.build_time = std::chrono::seconds(7);
    second.created = base::from_unix_ns(5);
    must(store.writer->wait_durable(must(store.cache->change_record(ref, second))));
    RecordChanges bad;
    bad.owner = Owner{"", std::string(owner_label_bytes_max + 1, 'x'), ""};
    EXPECT_EQ(store.cache->change_record(ref, bad).error().code, ErrorCode::invalid_argument);
    settle(store);
  }
  store.reopen();
  const RecordInfo info = info_of(store, id);
  EXPECT_EQ(info.facts.description, "new");
  EXPECT_EQ(info.facts.type, RecordType::frontend);
  EXPECT_EQ(info.facts.owner, (Owner{"two", "", "s"}));
  EXPECT_EQ(info.facts.build_time, std::chrono::seconds(7));
  EXPECT_EQ(info.created, base::from_unix_ns(5));
  const Breakdown projects = must(usage_by(*store.env, Dimension::project));
  ASSERT_EQ(projects.shares.size(), 1u) << "sums move with the label";
  EXPECT_EQ(projects.shares[0].name, "two");
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

}  // namespace
}  // namespace cairn::cache
