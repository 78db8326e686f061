// SPDX-License-Identifier: Apache-2.0
// Retained records, opened for writing again (spec/storage 1.4): what they hold goes on in what takes their place, they
// survive whoever drops it, one has it at a time, and what was replaced does not pile up.
#include <fcntl.h>

#include "libcache/gc/candidates.h"
#include "libcache/records/record_rows.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

const RecordFacts retained = {.type = RecordType::exec_cache_mount, .description = "cache mount", .retain = Retain::yes};

base::ErrorCode code_of(const base::Result<MutableRef>& result) {
  return result ? base::ErrorCode::already_exists : result.error().code;
}

void put_file(OpenStore&, const MutableRef& tree, const std::string& name, const std::string& bytes) {
  const auto mount = must(tree.mount(snapshot::Access::read_write));
  const auto out =
      must(base::open_beneath(mount.fd(), must(base::TreePath::parse(name)), O_CREAT | O_TRUNC | O_WRONLY, 0644));
  must(base::write_full(out.get(), std::string_view(bytes)));
}

// Adds a file and publishes under the same key.
RecordId add_file(OpenStore& store, RecordId id, const std::string& name, const KeyDigest& under,
                  const std::string& bytes = "more") {
  MutableRef tree = must(store.cache->get_mutable(id));
  put_file(store, tree, name, bytes);
  Publication publication;
  const ImmutableRef ref = must(std::move(tree).commit(publication, retained));
  publication.add_result(under, ref);
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  return ref.id();
}

std::vector<RecordInfo> records(OpenStore& store) {
  std::vector<RecordInfo> all;
  must(store.cache->each_record([&](const RecordInfo& info) -> base::Status {
    all.push_back(info);
    return {};
  }));
  return all;
}

class Reopen : public ::testing::TestWithParam<const char*> {
 protected:
  Reopen() : store_(GetParam()) {}
  OpenStore store_;
};

TEST_P(Reopen, WhatIsPublishedTakesThePlaceOfWhatWasThere) {
  const RecordId first = store_.make({}, "a", key(1), retained).id();
  const RecordId second = add_file(store_, first, "b", key(1));
  EXPECT_EQ(store_.results(key(1)), std::vector<RecordId>{second});
  auto ref = must(store_.cache->find(second));
  ASSERT_TRUE(ref);
  EXPECT_EQ(store_.read(*ref, "a"), "bytes of a");
  EXPECT_EQ(store_.read(*ref, "b"), "more");
  ref.reset();
  store_.reopen();
  const RecordId third = add_file(store_, second, "c", key(1));
  ref = must(store_.cache->find(third));
  EXPECT_EQ(store_.read(*ref, "a") + store_.read(*ref, "b") + store_.read(*ref, "c"), "bytes of amoremore");
  ref.reset();
  EXPECT_EQ(code_of(store_.cache->get_mutable(first)), base::ErrorCode::invalid_argument) << "it was replaced";
  EXPECT_EQ(store_.findings(), std::vector<std::string>{});
  // It is the only one that a key leads to; with it all of them go.
  EXPECT_EQ(must(store_.cache->prune({})).records.size(), 0u);
  EXPECT_EQ(must(store_.cache->prune({.all = true})).records.size(), 3u);
}

TEST_P(Reopen, IsBusyWhileAnybodyHasIt) {
  auto held = std::make_optional(store_.make({}, "a", key(1), retained));
  const RecordId id = held->id();
  EXPECT_EQ(code_of(store_.cache->get_mutable(id)), base::ErrorCode::busy) << "somebody reads it";
  held.reset();
  auto open = std::make_optional(must(store_.cache->get_mutable(id)));
  EXPECT_EQ(code_of(store_.cache->get_mutable(id)), base::ErrorCode::busy) << "somebody writes to it";
  EXPECT_FALSE(must(store_.cache->find(id))) << "nobody finds what is being changed";
  EXPECT_TRUE(must(store_.cache->prune({.all = true})).records.empty()) << "nor is it collected";
  open.reset();
  EXPECT_TRUE(must(store_.cache->find(id)));
  Publication publication;
  store_.commit(publication, must(store_.cache->find(id)), "child", "x");
  must(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication)))));
  EXPECT_EQ(code_of(store_.cache->get_mutable(id)), base::ErrorCode::busy) << "something is built on it";
}

TEST_P(Reopen, DroppedOrNeverPublishedTheRecordIsAsItWas) {
  const RecordId id = store_.make({}, "a", key(1), retained).id();
  {
    const MutableRef tree = must(store_.cache->get_mutable(id));
    put_file(store_, tree, "a", "other bytes");
  }
  EXPECT_EQ(store_.read(*must(store_.cache->find(id)), "a"), "bytes of a");
  {
    MutableRef tree = must(store_.cache->get_mutable(id));
    put_file(store_, tree, "a", "other bytes");
    Publication publication;
    must(std::move(tree).commit(publication, retained));
  }
  EXPECT_EQ(store_.results(key(1)), std::vector<RecordId>{id});
  EXPECT_EQ(store_.read(*must(store_.cache->find(id)), "a"), "bytes of a");
  {
    const MutableRef open = must(store_.cache->get_mutable(id));
    MutableRef moved = must(store_.cache->create({}));
    moved = must(store_.cache->create({}));
  }
  EXPECT_EQ(store_.findings(), std::vector<std::string>{});
}

TEST_P(Reopen, AFailedGroupLeavesTheRecordAndFreesIt) {
  const RecordId id = store_.make({}, "a", key(1), retained).id();
  store_.fail_data_sync = true;
  {
    MutableRef tree = must(store_.cache->get_mutable(id));
    put_file(store_, tree, "b", "never durable");
    Publication publication;
    const ImmutableRef ref = must(std::move(tree).commit(publication, retained));
    publication.add_result(key(1), ref);
    EXPECT_FALSE(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication)))));
  }
  store_.fail_data_sync = false;
  store_.reopen();
  EXPECT_EQ(store_.results(key(1)), std::vector<RecordId>{id});
  EXPECT_EQ(store_.read(*must(store_.cache->find(id)), "a"), "bytes of a");
  EXPECT_TRUE(store_.cache->get_mutable(id));
}

TEST_P(Reopen, OfWhatIsNotRetainedOrNotThereIsRefused) {
  const RecordId id = store_.make({}, "a", key(1)).id();
  EXPECT_EQ(code_of(store_.cache->get_mutable(id)), base::ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(store_.cache->get_mutable(RecordId(999'999))), base::ErrorCode::not_found);
}

TEST_P(Reopen, WaitsForARecordThatIsNotDurableYet) {
  Publication publication;
  auto ref = std::make_optional(store_.commit(publication, {}, "a", "bytes of a", retained));
  const RecordId id = ref->id();
  must(store_.cache->publish(std::move(publication)));
  ref.reset();
  EXPECT_TRUE(store_.cache->get_mutable(id));
}

// On a base that stays: 40 times the same file is written anew, and what was replaced goes.
TEST_P(Reopen, ReplacedRecordsDoNotPileUp) {
  const ImmutableRef base = store_.make({}, "base", key(9));
  RecordId id = store_.make(base, "state", key(1), retained).id();
  for (int i = 0; i < 40; ++i) id = add_file(store_, id, "state", key(1), std::to_string(i) + std::string(100'000, 'x'));
  must(store_.cache->prune({}));  // what no key leads to
  const std::vector<RecordInfo> left = records(store_);
  EXPECT_LE(left.size(), 2u + 40 - 33) << "those from before the copy are gone";
  const auto ref = must(store_.cache->find(id));
  EXPECT_EQ(store_.read(*ref, "base"), "bytes of base");
  EXPECT_EQ(store_.read(*ref, "state").substr(0, 2), "39");
  RecordInfo info = ref->info();
  while (info.parents.front() != base.id()) {
    const auto parent = std::find_if(left.begin(), left.end(), [&](const auto& each) { return each.id == info.parents.front(); });
    ASSERT_NE(parent, left.end());
    EXPECT_EQ(parent->facts.retain, Retain::replaced);
    info = *parent;
  }
  EXPECT_EQ(store_.findings(), std::vector<std::string>{});
}

// A lineage: several are open at a time, and each that is published takes the place of what it was made of.
TEST_P(Reopen, SeveralMayReopenOneRecordThatOthersStillFind) {
  const RecordId id = store_.make({}, "a", key(1)).id();
  MutableRef one = must(store_.cache->reopen(must(store_.cache->find(id)).value()));
  MutableRef two = must(store_.cache->reopen(must(store_.cache->find(id)).value()));
  EXPECT_TRUE(must(store_.cache->find(id))) << "others find it";
  put_file(store_, one, "one", "1");
  put_file(store_, two, "two", "2");
  std::vector<RecordId> made;
  for (MutableRef* tree : {&one, &two}) {
    Publication publication;
    const ImmutableRef ref = must(std::move(*tree).commit(publication, {}));
    publication.add_result(key(1), ref);
    must(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication)))));
    made.push_back(ref.id());
  }
  EXPECT_EQ(store_.results(key(1)), (std::vector<RecordId>{made[1], made[0]})) << "newest first, and no more what was replaced";
  EXPECT_EQ(store_.read(*must(store_.cache->find(made[1])), "a"), "bytes of a");
  for (const RecordInfo& record : records(store_)) EXPECT_EQ(record.facts.retain, record.id == id ? Retain::replaced : Retain::no);
  EXPECT_EQ(store_.findings(), std::vector<std::string>{});
}

TEST_P(Reopen, OneThatIsReopenedAndDroppedIsAsItWas) {
  const RecordId id = store_.make({}, "a", key(1)).id();
  { const MutableRef tree = must(store_.cache->reopen(must(store_.cache->find(id)).value())); }
  EXPECT_EQ(store_.results(key(1)), std::vector<RecordId>{id});
  EXPECT_EQ(must(store_.cache->find(id))->info().facts.retain, Retain::no);
}

INSTANTIATE_TEST_SUITE_P(Drivers, Reopen, ::testing::Values("overlay", "native"));

}  // namespace
}  // namespace cairn::cache
