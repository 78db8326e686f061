// SPDX-License-Identifier: Apache-2.0
// Trees under names that somebody else chooses: what is kept, by what, and that names, trees and records agree after a
// restart. What containerd's cases say of the calls themselves is tested over the socket (tests/libserve_containerd).
#include "libcache/tree_names.h"

#include <gmock/gmock.h>

#include <thread>

#include "libcache/names/tree_name_rows.h"
#include "libcache/records/lease_rows.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/outside_mount.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

TreeName in_default(const std::string& name) { return {"containerd/default", name}; }

class TreeNamesTest : public testing::Test {
 protected:
  TreeNamesTest() { names_ = must(TreeNames::open(*store_.cache)); }
  ~TreeNamesTest() override { names_.reset(); }
  void restart() {
    names_.reset();
    store_.reopen();
    names_ = must(TreeNames::open(*store_.cache));
  }
  snapshot::MountedTree mounted(const snapshot::MountSpec& spec) { return must(test::mount_as_told(spec, store_.root())); }
  void write(const snapshot::MountSpec& spec, const std::string& file, const std::string& bytes) {
    const auto tree = mounted(spec);
    const auto out = must(base::open_beneath(tree.fd(), must(base::TreePath::parse(file)), O_CREAT | O_WRONLY | O_TRUNC, 0644));
    must(base::write_full(out.get(), std::string_view(bytes)));
  }
  std::string read(const snapshot::MountSpec& spec, const std::string& file) {
    return must(base::read_beneath(mounted(spec).fd(), must(base::TreePath::parse(file)), 1 << 20));
  }
  void commit(const std::string& name, const std::string& parent, const std::string& file) {
    write(must(names_->prepare(in_default("key of " + name), parent, {})), file, "bytes of " + file);
    must(names_->commit(in_default("key of " + name), name, {}));
  }
  void erase_lease_of(const std::string& name) {
    must(store_.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
      const auto row = TRY(txn.get(table::tree_names, key_of(in_default(name))));
      return erase_lease(txn, row->lease, 16).map([](Erased) {});
    }));
  }
  std::vector<std::string> names_of(const std::optional<std::string>& space = {}) {
    std::vector<std::string> all;
    for (const NamedTree& tree : names_->list(space)) all.push_back(tree.name.name);
    return all;
  }
  void expect_sound() {
    for (const Finding& finding : must(store_.cache->check())) ADD_FAILURE() << finding.invariant << ": " << finding.text;
  }
  std::size_t trees_on_disk() { return must(base::list_dir(must(base::open_host_dir(store_.root() / "trees")).get())).size(); }

  OpenStore store_;
  std::unique_ptr<TreeNames> names_;
};

TEST_F(TreeNamesTest, AnActiveTreeOutlivesItsProcessWithWhatWasWrittenToIt) {
  commit("base", "", "file");
  const auto spec = must(names_->prepare(in_default("key"), "base", {{"l", "v"}}));
  write(spec, "file", "changed");
  const auto before = must(names_->stat(in_default("key")));
  restart();
  expect_sound();
  const auto after = must(names_->stat(in_default("key")));
  EXPECT_EQ(after.kind, NameKind::active);
  EXPECT_EQ(after.parent, "base");
  EXPECT_EQ(after.labels, before.labels);
  EXPECT_EQ(after.created, before.created);
  EXPECT_EQ(must(names_->mounts(in_default("key"))), spec);
  EXPECT_EQ(read(spec, "file"), "changed");
  write(spec, "more", "written after");
  must(names_->commit(in_default("key"), "top", {}));
  restart();
  expect_sound();
  EXPECT_THAT(names_of(), ElementsAre("base", "top"));
  const auto seen = must(names_->view(in_default("look"), "top", {}));
  EXPECT_EQ(read(seen, "file"), "changed");
  EXPECT_EQ(read(seen, "more"), "written after");
}

TEST_F(TreeNamesTest, WhatIsNamedIsLeasedToItsSpaceAndNoPruneTakesIt) {
  commit("base", "", "file");
  commit("top", "base", "more");
  const auto leases = must(store_.cache->leases());
  ASSERT_THAT(leases, SizeIs(2));
  EXPECT_EQ(leases[0].owner, "containerd/default");
  restart();
  names_.reset();  // the leases alone keep them
  EXPECT_THAT(must(store_.cache->prune({.all = true})).records, IsEmpty());
  names_ = must(TreeNames::open(*store_.cache));
  EXPECT_EQ(read(must(names_->view(in_default("look"), "top", {})), "more"), "bytes of more");
  std::vector<RecordInfo> records;
  must(store_.cache->each_record([&](const RecordInfo& info) -> base::Status {
    records.push_back(info);
    return {};
  }));
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].facts.owner.project, "containerd/default");
  EXPECT_EQ(records[0].facts.description, "containerd/default base");
  EXPECT_EQ(must(names_->stat(in_default("top"))).record, records[1].id);
  EXPECT_EQ(records[1].parents, std::vector<RecordId>{records[0].id});
}

TEST_F(TreeNamesTest, CleanupTakesWhatWasRemovedAndNothingElse) {
  commit("base", "", "file");
  commit("one", "base", "one");
  commit("other", "base", "other");
  store_.make({}, "of somebody else");  // no key leads to it, so a prune would take it
  must(names_->remove(in_default("one")));
  EXPECT_THAT(must(store_.cache->leases()), SizeIs(2));
  EXPECT_GT(must(names_->cleanup("containerd/")), 0);
  EXPECT_EQ(trees_on_disk(), 3u);
  expect_sound();
  must(names_->remove(in_default("other")));
  must(names_->remove(in_default("base")));
  EXPECT_GT(must(names_->cleanup("containerd/")), 0);
  EXPECT_EQ(trees_on_disk(), 1u);
  EXPECT_EQ(must(names_->cleanup("containerd/")), 0);
  expect_sound();
}

TEST_F(TreeNamesTest, NobodyElseEndsTheLeaseOfAName) {
  commit("base", "", "file");
  const LeaseId lease = must(store_.cache->leases()).at(0).id;
  const auto end = [&](base::Result<base::lmdb::SequenceNumber> number) { return store_.writer->wait_durable(must(number)); };
  EXPECT_EQ(end(store_.cache->release_lease(lease)).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(end(store_.cache->extend_lease(lease, store_.clock.now())).error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(must(store_.cache->leases()), SizeIs(1));
  expect_sound();
}

TEST_F(TreeNamesTest, ALeaseThatIsLostIsMadeAnewByTheNextOpen) {
  commit("base", "", "file");
  erase_lease_of("base");
  EXPECT_FALSE(must(store_.cache->check()).empty());
  restart();
  ASSERT_THAT(must(store_.cache->leases()), SizeIs(1));
  expect_sound();
}

TEST_F(TreeNamesTest, WhatLostItsTreeLosesItsName) {
  commit("base", "", "file");
  must(names_->prepare(in_default("key"), "base", {}));
  must(names_->view(in_default("look"), "base", {}));
  names_.reset();
  erase_lease_of("base");
  must(store_.env->update([](base::lmdb::WriteTxn& txn) -> base::Status {
    const auto row = TRY(txn.get(table::tree_names, key_of(in_default("key"))));
    return snapshot::end_loan(txn, row->tree);
  }));
  store_.reopen();
  EXPECT_THAT(must(store_.cache->prune({.all = true})).records, SizeIs(1));
  EXPECT_FALSE(must(store_.cache->check()).empty());
  names_ = must(TreeNames::open(*store_.cache));
  EXPECT_THAT(names_of(), IsEmpty());
  expect_sound();
  EXPECT_EQ(trees_on_disk(), 0u);
}

TEST_F(TreeNamesTest, ALoanThatNoNameHasEnds) {
  must(names_->prepare(in_default("key"), "", {}));
  names_.reset();
  must(store_.env->update([](base::lmdb::WriteTxn& txn) { return txn.erase(table::tree_names, key_of(in_default("key"))); }));
  EXPECT_FALSE(must(store_.cache->check()).empty());
  names_ = must(TreeNames::open(*store_.cache));
  EXPECT_EQ(trees_on_disk(), 0u);
  expect_sound();
}

TEST_F(TreeNamesTest, ACommitThatFailsLosesNothingThatARestartDoesNotBringBack) {
  const auto spec = must(names_->prepare(in_default("key"), "", {}));
  write(spec, "file", "bytes");
  store_.fail_data_sync = true;
  EXPECT_FALSE(names_->commit(in_default("key"), "top", {}));
  EXPECT_EQ(names_->mounts(in_default("key")).error().code, ErrorCode::busy);
  EXPECT_EQ(names_->commit(in_default("key"), "top", {}).error().code, ErrorCode::busy);
  EXPECT_EQ(names_->stat(in_default("top")).error().code, ErrorCode::not_found);
  store_.fail_data_sync = false;
  restart();
  expect_sound();
  EXPECT_THAT(names_of(), ElementsAre("key"));
  EXPECT_EQ(read(must(names_->mounts(in_default("key"))), "file"), "bytes");
  must(names_->commit(in_default("key"), "top", {}));
}

TEST_F(TreeNamesTest, SpacesHaveNothingToDoWithEachOther) {
  commit("base", "", "file");
  const TreeName other{"containerd/other", "base"};
  EXPECT_EQ(names_->stat(other).error().code, ErrorCode::not_found);
  EXPECT_EQ(names_->prepare({"containerd/other", "key"}, "base", {}).error().code, ErrorCode::not_found);
  must(names_->prepare(other, "", {}));
  EXPECT_THAT(names_of("containerd/other"), ElementsAre("base"));
  EXPECT_THAT(names_of(), ElementsAre("base", "base"));
}

TEST_F(TreeNamesTest, RepairRemovesNamesWhoseRecordIsGone) {
  commit("base", "", "file");
  const TreeNameRow ghost{.name = in_default("ghost"), .kind = NameKind::committed, .parent = {},
                          .tree = snapshot::SnapshotId(4711), .lease = LeaseId(4712), .created = {}, .updated = {}, .labels = {}};
  must(store_.env->update([&](base::lmdb::WriteTxn& txn) { return put_name(txn, ghost); }));
  EXPECT_FALSE(must(store_.cache->check()).empty());
  EXPECT_EQ(must(store_.cache->repair_rows()), 1u);
  expect_sound();
}

// Whoever commits, removes and lists at the same time finds names that are there or are not.
TEST_F(TreeNamesTest, ManyThreadsMakeCommitAndRemove) {
  commit("base", "", "file");
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 5; ++i) {
        const std::string name = std::to_string(thread) + "." + std::to_string(i);
        must(names_->prepare(in_default("key " + name), "base", {}));
        must(names_->commit(in_default("key " + name), name, {}));
        // One name for all of them: one gets it.
        const auto shared = names_->prepare(in_default("shared"), name, {});
        if (shared) must(names_->remove(in_default("shared")));
        else EXPECT_EQ(shared.error().code, ErrorCode::already_exists);
        (void)names_->list(std::nullopt);
        if (i % 2 == 0) must(names_->remove(in_default(name)));
      }
    });
  threads.clear();
  EXPECT_THAT(names_of(), SizeIs(1 + 4 * 2));
  expect_sound();
  restart();
  EXPECT_THAT(names_of(), SizeIs(1 + 4 * 2));
  expect_sound();
}

}  // namespace
}  // namespace cairn::cache
