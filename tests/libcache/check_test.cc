// SPDX-License-Identifier: Apache-2.0
// check() finds each defect that is planted, and nothing in a sound store.
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "libcache/account/totals.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/history/history_rows.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/record_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::Status;
using base::lmdb::WriteTxn;

struct Ids {
  RecordId parent, child;
};

const std::string large(100'000, 'b');  // a file
const BlobDigest blob = base::digest_of<BlobDigest>(large);
const BlobDigest small = base::digest_of<BlobDigest>("small");  // in a pack

Ids fill(OpenStore& store) {
  const ImmutableRef parent =
      store.make({}, "a", key(1), {.description = "layer", .chain = base::digest_of<ChainId>("chain")});
  Publication publication;
  const ImmutableRef child = store.commit(publication, parent, "b", "beta");
  publication.add_result(key(2), child);
  publication.add_link(link_of(1, 0), key(2));
  must(store.cache->blobs().put(large));
  must(store.cache->blobs().put("small"));
  publication.add_blob(child, blob);
  publication.add_blob(child, small);
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  must(child.content_digest({}));
  must(store.cache->prune({.dry_run = true}));  // nothing is queued any more
  return {parent.id(), child.id()};
}

struct Defect {
  const char* what;
  int invariant;
  std::function<Status(WriteTxn&, const Ids&)> plant;
};

const ChainId chain = base::digest_of<ChainId>("chain");

std::vector<Defect> row_defects() {
  return {
      {"record erased", 5, [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::records, ids.child); }},
      {"parent erased", 3, [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::records, ids.parent); }},
      {"child row erased", 3,
       [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::children, {ids.parent, ids.child}); }},
      {"child row too many", 3,
       [](WriteTxn& txn, const Ids& ids) { return txn.put(table::children, {ids.child, ids.parent}, Present{}); }},
      {"chain erased", 5, [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::chains, {chain, ids.parent}); }},
      {"chain too many", 5,
       [](WriteTxn& txn, const Ids& ids) { return txn.put(table::chains, {chain, ids.child}, Present{}); }},
      {"digest of nothing", 5,
       [](WriteTxn& txn, const Ids&) {
         return txn.put(table::tree_digests, {RecordId(9999), SelectionsDigest()}, TreeDigestRow{});
       }},
      {"result of nothing", 5,
       [](WriteTxn& txn, const Ids&) { return put_result(txn, key(7), RecordId(9999), {}); }},
      {"result erased", 5,
       [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::key_results, {key(1), ids.parent}); }},
      {"record key erased", 5,
       [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::record_keys, {ids.parent, key(1)}); }},
      {"link erased", 5,
       [](WriteTxn& txn, const Ids&) { return txn.erase(table::key_links, {key(1), way_of(link_of(1, 0)), key(2)}); }},
      {"way back erased", 5,
       [](WriteTxn& txn, const Ids&) {
         return txn.erase(table::key_backlinks, {key(2), key(1), way_of(link_of(1, 0))});
       }},
      {"link misfiled", 2,
       [](WriteTxn& txn, const Ids&) {
         return txn.put(table::key_links, {key(1), way_of(link_of(1, 0)), key(2)}, KeyLinkRow{});
       }},
      {"blob row erased", 5, [](WriteTxn& txn, const Ids&) { return txn.erase(table::blobs, blob); }},
      {"blob of another size", 2, [](WriteTxn& txn, const Ids&) { return txn.put(table::blobs, blob, BlobRow{.size = 5, .at = {}}); }},
      {"blob without a file", 1,
       [](WriteTxn& txn, const Ids&) {
         return txn.put(table::blobs, base::digest_of<BlobDigest>("nowhere"), BlobRow{.size = 5, .at = {}});
       }},
      {"blob at another place in its pack", 1,
       [](WriteTxn& txn, const Ids&) -> Status {
         auto row = TRY(txn.get(table::blobs, small));
         row->at.offset += 8;
         return txn.put(table::blobs, small, *row);
       }},
      {"blob in a pack that is not there", 1,
       [](WriteTxn& txn, const Ids&) -> Status {
         auto row = TRY(txn.get(table::blobs, small));
         row->at.pack = 77;
         return txn.put(table::blobs, small, *row);
       }},
      {"space of a pack", 9,
       [](WriteTxn& txn, const Ids&) { return txn.put(table::packs, PackId(1), PackRow{.end = 4096, .live = 8}); }},
      {"blob name erased", 5,
       [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::record_blobs, {ids.child, blob}); }},
      {"blob's record erased", 5,
       [](WriteTxn& txn, const Ids& ids) { return txn.erase(table::blob_records, {blob, ids.child}); }},
      {"line off by a byte", 9,
       [](WriteTxn& txn, const Ids&) { return change_total(txn, line_total(line::blobs), {.exclusive_bytes = 1}); }},
      {"owner that has nothing", 9,
       [](WriteTxn& txn, const Ids&) { return change_total(txn, {TotalKind::project, "none"}, {.count = 1}); }},
      {"space of a record off by a byte", 9,
       [](WriteTxn& txn, const Ids& ids) { return change_space(txn, ids.child, {.shared_bytes = 1}); }},
      {"solve filed under another time", 9,
       [](WriteTxn& txn, const Ids&) {
         SolveRow row;
         row.id = SolveId(8);
         return txn.put(table::history, SolveId(7), row);
       }},
      {"solve that took less than nothing", 9,
       [](WriteTxn& txn, const Ids&) {
         SolveRow row;
         row.id = SolveId(7);
         row.duration = std::chrono::nanoseconds(-1);
         return txn.put(table::history, SolveId(7), row);
       }},
      {"solve that cannot be read", 2,
       [](WriteTxn& txn, const Ids&) { return txn.put_raw(table::history, base::Codec<SolveId>::encode(SolveId(7)), "\x01\x02"); }},
      {"row of another version", 2,
       [](WriteTxn& txn, const Ids&) { return txn.put_raw(table::blobs, blob.raw(), "\x7f"); }},
  };
}

bool has(const std::vector<Finding>& findings, int invariant) {
  for (const Finding& finding : findings)
    if (finding.invariant == invariant) return true;
  return false;
}

TEST(Check, FindsEveryPlantedRowDefectAndNothingElsewhere) {
  for (const Defect& defect : row_defects()) {
    OpenStore store;
    const Ids ids = fill(store);
    ASSERT_EQ(store.findings(), std::vector<std::string>{});
    ASSERT_OK(store.env->update([&](WriteTxn& txn) { return defect.plant(txn, ids); }));
    EXPECT_TRUE(has(must(check(*store.env, store.root())), defect.invariant)) << defect.what;
  }
}

TEST(Check, ActiveTreesAreFindingsOnlyWithoutTheirOwner) {
  OpenStore store;
  const MutableRef active = must(store.cache->create({}));
  EXPECT_TRUE(must(store.cache->check()).empty());
  EXPECT_EQ(store.findings().size(), 1u);
}

TEST(Check, FindsMissingAndUnknownFiles) {
  OpenStore store;
  const Ids ids = fill(store);
  ASSERT_OK(base::write_file_atomic(store.root() / "tmp/left", "x", base::Durable::no));
  ::mkdir((store.root() / "trees/424242").c_str(), 0700);
  ASSERT_EQ(::rename((store.root() / fmt::format("trees/{}", ids.child)).c_str(), (store.root() / "gone").c_str()), 0);
  ::unlink(blob_path(store.root(), blob).c_str());
  const auto findings = store.findings();
  const std::vector<std::string> expected = {
      fmt::format("I1 snapshot {}: trees/{} is missing", ids.child, ids.child),
      "I9 trees/424242: no row names it",
      fmt::format("I1 blob {}: its file is missing", blob),
      "I6 tmp/left: left behind",
  };
  EXPECT_EQ(findings, expected);
}

}  // namespace
}  // namespace cairn::cache
