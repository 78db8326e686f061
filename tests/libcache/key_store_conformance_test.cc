// SPDX-License-Identifier: Apache-2.0
// The suite of key stores on both that there are.
#include "tests/conformance/key_store_suite.h"

#include <map>

#include "libcache/memory_key_store.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

class LocalUnderTest final : public KeyStoreUnderTest {
 public:
  KeyStore& keys() override { return store_.cache->keys(); }
  RecordId new_record() override {
    const ImmutableRef ref = store_.make({}, "file" + std::to_string(refs_.size()));
    refs_.emplace(ref.id(), ref);
    return ref.id();
  }
  void put_result(const KeyDigest& key, RecordId record) override {
    Publication publication;
    publication.add_result(key, refs_.at(record));
    publish(std::move(publication));
  }
  void put_link(const KeyLink& link, const KeyDigest& target) override {
    Publication publication;
    publication.add_link(link, target);
    publish(std::move(publication));
  }
  // Nothing holds it any more, and all that is not held goes: so the others are held.
  void forget(RecordId record) override {
    refs_.erase(record);
    must(store_.cache->prune({.all = true}));
  }

 private:
  void publish(Publication publication) { must(store_.writer->wait_durable(must(store_.cache->publish(std::move(publication))))); }
  OpenStore store_{"native"};
  std::map<RecordId, ImmutableRef> refs_;
};

class MemoryUnderTest final : public KeyStoreUnderTest {
 public:
  KeyStore& keys() override { return keys_; }
  RecordId new_record() override { return RecordId(++last_); }
  void put_result(const KeyDigest& key, RecordId record) override {
    keys_.put_result(key, {record, base::from_unix_ns(static_cast<std::int64_t>(++time_))});
  }
  void put_link(const KeyLink& link, const KeyDigest& target) override { keys_.put_link(link, target); }
  void forget(RecordId record) override { keys_.forget(record); }

 private:
  MemoryKeyStore keys_;
  std::uint64_t last_ = 0, time_ = 0;
};

INSTANTIATE_TEST_SUITE_P(, solver,
                         ::testing::Values(WayToMakeKeys{"local", [] { return std::make_unique<LocalUnderTest>(); }},
                                           WayToMakeKeys{"memory", [] { return std::make_unique<MemoryUnderTest>(); }}),
                         [](const auto& way) { return way.param.name; });

TEST(MemoryKeyStore, counts_its_keys) {
  MemoryKeyStore keys;
  EXPECT_EQ(keys.keys(), 0u);
  keys.put_result(key(1), {RecordId(1), {}});
  keys.put_link(link_of(1, 0), key(2));
  keys.put_result(key(2), {RecordId(2), {}});
  EXPECT_EQ(keys.keys(), 2u);
  keys.forget(RecordId(2));
  EXPECT_EQ(keys.keys(), 1u);
  keys.forget(RecordId(1));
  EXPECT_EQ(keys.keys(), 0u) << "no residue";
}

}  // namespace
}  // namespace cairn::cache
