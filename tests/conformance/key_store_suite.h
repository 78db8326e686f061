// SPDX-License-Identifier: Apache-2.0
// What every KeyStore must do (libcache/key_store.h): the cases that BuildKit has for its key storage and for its cache
// managers. Instantiate `solver` (KeyStoreSuite) with the ways to make one; results are records that the store is told are gone.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libcache/key_store.h"

namespace cairn::cache {

// A key store that can be written to.
class KeyStoreUnderTest {
 public:
  virtual ~KeyStoreUnderTest() = default;
  virtual KeyStore& keys() = 0;
  virtual RecordId new_record() = 0;
  virtual void put_result(const KeyDigest& key, RecordId record) = 0;
  virtual void put_link(const KeyLink& link, const KeyDigest& target) = 0;
  virtual void forget(RecordId record) = 0;  // it is collected
};

struct WayToMakeKeys {
  std::string name;
  std::function<std::unique_ptr<KeyStoreUnderTest>()> make;
};
inline std::ostream& operator<<(std::ostream& out, const WayToMakeKeys& way) { return out << way.name; }

class KeyStoreSuite : public ::testing::TestWithParam<WayToMakeKeys> {
 protected:
  static KeyDigest key(const std::string& name) { return base::digest_of<KeyDigest>(name); }
  static KeyLink link(const KeyDigest& from, const std::string& operation, std::uint32_t input = 0, std::uint32_t output = 0,
                      const std::string& selector = "") {
    KeyLink made{from, input, base::sha256(operation), output, {}};
    if (!selector.empty()) made.selector = base::sha256(selector);
    return made;
  }
  template <class T, class F>
  T ask(F&& question) {
    T answer{};
    const base::Status read = store_->keys().read([&](KeyStore::Reader& reader) -> base::Status {
      answer = TRY(question(reader));
      return {};
    });
    EXPECT_TRUE(read);
    return answer;
  }
  std::vector<RecordId> results(const KeyDigest& of) {
    std::vector<RecordId> records;
    for (const KeyResult& r : ask<std::vector<KeyResult>>([&](auto& reader) { return reader.results(of); })) records.push_back(r.record);
    return records;
  }
  std::vector<KeyDigest> follow(const KeyLink& way) {
    return ask<std::vector<KeyDigest>>([&](auto& reader) { return reader.follow(way); });
  }
  std::set<KeyLink> links_to(const KeyDigest& of) {
    const auto all = ask<std::vector<KeyLink>>([&](auto& reader) { return reader.links_to(of); });
    return {all.begin(), all.end()};
  }
  std::set<KeyDigest> keys_of(RecordId record) {
    const auto all = ask<std::vector<KeyDigest>>([&](auto& reader) { return reader.keys_of(record); });
    return {all.begin(), all.end()};
  }
  bool exists(const KeyDigest& of) {
    return ask<bool>([&](auto& reader) { return reader.exists(of); });
  }
  // The keys that some key of each input leads to: what a solver asks.
  std::set<KeyDigest> matches(const std::vector<std::vector<KeyDigest>>& inputs, const std::string& operation,
                              const std::string& selector = "") {
    std::set<KeyDigest> common;
    for (std::uint32_t i = 0; i < inputs.size(); ++i) {
      std::set<KeyDigest> reached;
      for (const KeyDigest& from : inputs[i]) {
        for (const KeyDigest& target : follow(link(from, operation, i, 0, selector))) reached.insert(target);
      }
      if (i == 0) common = reached;
      std::erase_if(common, [&](const KeyDigest& target) { return !reached.contains(target); });
    }
    return common;
  }

  std::unique_ptr<KeyStoreUnderTest> store_ = GetParam().make();
};

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// The suite's name is that under which the list of BuildKit's tests names them.
using solver = KeyStoreSuite;

// BuildKit's storage suite.
TEST_P(solver, results) {
  EXPECT_FALSE(exists(key("foo")));
  const RecordId one = store_->new_record(), two = store_->new_record();
  store_->put_result(key("foo"), one);
  store_->put_result(key("foo"), two);
  store_->put_result(key("bar"), one);
  EXPECT_TRUE(exists(key("foo")));
  EXPECT_TRUE(exists(key("bar")));
  EXPECT_THAT(results(key("foo")), UnorderedElementsAre(one, two));
  EXPECT_THAT(results(key("bar")), ElementsAre(one));
  EXPECT_THAT(results(key("baz")), IsEmpty());
  store_->put_result(key("foo"), one);
  EXPECT_EQ(results(key("foo")).size(), 2u) << "the same result again is one result";
}

TEST_P(solver, links) {
  const KeyLink way = link(key("foo"), "operation", 1, 2, "selector");
  store_->put_link(way, key("target"));
  EXPECT_TRUE(exists(key("foo"))) << "it leads somewhere";
  EXPECT_THAT(follow(way), ElementsAre(key("target")));
  store_->put_link(way, key("other"));
  store_->put_link(way, key("other"));
  EXPECT_THAT(follow(way), UnorderedElementsAre(key("target"), key("other")));
  for (const KeyLink& near : {link(key("foo"), "operation", 0, 2, "selector"), link(key("foo"), "operation", 1, 1, "selector"),
                              link(key("foo"), "operation", 1, 2), link(key("foo"), "another", 1, 2, "selector"),
                              link(key("bar"), "operation", 1, 2, "selector")}) {
    EXPECT_THAT(follow(near), IsEmpty());
  }
}

TEST_P(solver, result_release_single_level) {
  const RecordId one = store_->new_record(), two = store_->new_record();
  store_->put_result(key("foo"), one);
  store_->put_result(key("foo"), two);
  store_->forget(one);
  EXPECT_THAT(results(key("foo")), ElementsAre(two));
  store_->forget(two);
  EXPECT_FALSE(exists(key("foo")));
}

TEST_P(solver, result_release_multi_level) {
  const RecordId one = store_->new_record(), two = store_->new_record(), three = store_->new_record();
  store_->put_result(key("foo"), one);
  store_->put_link(link(key("foo"), "operation"), key("sub"));
  store_->put_result(key("sub"), two);
  store_->put_link(link(key("foo"), "operation", 1), key("sub2"));
  store_->put_result(key("sub2"), three);
  store_->forget(one);
  EXPECT_TRUE(exists(key("foo"))) << "it still leads somewhere";
  store_->forget(two);
  EXPECT_FALSE(exists(key("sub")));
  EXPECT_THAT(follow(link(key("foo"), "operation")), IsEmpty());
  EXPECT_TRUE(exists(key("foo")));
  store_->forget(three);
  EXPECT_FALSE(exists(key("sub2")));
  EXPECT_FALSE(exists(key("foo"))) << "nothing is left of the branch";
}

TEST_P(solver, backlinks) {
  const KeyLink one = link(key("foo"), "operation", 0, 0, "selector"), two = link(key("bar"), "operation", 1);
  store_->put_link(one, key("sub"));
  store_->put_link(two, key("sub"));
  store_->put_link(link(key("foo"), "other"), key("elsewhere"));
  EXPECT_EQ(links_to(key("sub")), (std::set<KeyLink>{one, two}));
  EXPECT_THAT(links_to(key("foo")), IsEmpty());
}

TEST_P(solver, walk_ids_by_result) {
  const RecordId one = store_->new_record(), two = store_->new_record();
  store_->put_result(key("foo"), one);
  store_->put_result(key("foo2"), one);
  store_->put_result(key("bar"), two);
  EXPECT_THAT(keys_of(one), UnorderedElementsAre(key("foo"), key("foo2")));
  EXPECT_THAT(keys_of(two), UnorderedElementsAre(key("bar")));
  store_->forget(one);
  EXPECT_THAT(keys_of(one), IsEmpty());
}

// BuildKit's tests of its cache manager.
TEST_P(solver, in_memory_cache) {
  const RecordId one = store_->new_record(), two = store_->new_record(), three = store_->new_record();
  store_->put_result(key("foo"), one);
  store_->put_result(key("bar"), two);
  EXPECT_THAT(results(key("foo")), ElementsAre(one));
  // A step on both, found only by both.
  store_->put_link(link(key("foo"), "baz", 0), key("foo bar baz"));
  store_->put_link(link(key("bar"), "baz", 1), key("foo bar baz"));
  store_->put_result(key("foo bar baz"), three);
  EXPECT_THAT(matches({{key("foo")}, {key("bar")}}, "baz"), ElementsAre(key("foo bar baz")));
  EXPECT_THAT(matches({{key("bar")}, {key("foo")}}, "baz"), IsEmpty());
  EXPECT_THAT(matches({{key("foo")}, {key("foo")}}, "baz"), IsEmpty());
  // A further key of an input is an alias as soon as it is linked, and any one is enough.
  store_->put_link(link(key("alias"), "baz", 1), key("foo bar baz"));
  EXPECT_THAT(matches({{key("foo")}, {key("alias")}}, "baz"), ElementsAre(key("foo bar baz")));
  EXPECT_THAT(matches({{key("foo")}, {key("unknown"), key("alias")}}, "baz"), ElementsAre(key("foo bar baz")));
}

TEST_P(solver, in_memory_cache_selector) {
  store_->put_link(link(key("foo"), "bar", 0, 0, "sel0"), key("foo bar"));
  store_->put_result(key("foo bar"), store_->new_record());
  EXPECT_THAT(matches({{key("foo")}}, "bar"), IsEmpty());
  EXPECT_THAT(matches({{key("foo")}}, "bar", "sel-invalid"), IsEmpty());
  EXPECT_THAT(matches({{key("foo")}}, "bar", "sel0"), ElementsAre(key("foo bar")));
}

TEST_P(solver, in_memory_cache_selector_nested) {
  store_->put_link(link(key("foo"), "bar", 0, 0, "sel0"), key("foo bar"));
  store_->put_link(link(key("second"), "bar"), key("foo bar"));
  EXPECT_THAT(matches({{key("foo")}}, "bar", "sel0"), ElementsAre(key("foo bar")));
  EXPECT_THAT(matches({{key("foo")}}, "bar"), IsEmpty());
  EXPECT_THAT(matches({{key("second")}}, "bar"), ElementsAre(key("foo bar")));
  EXPECT_THAT(matches({{key("second")}}, "bar", "sel0"), IsEmpty());
}

TEST_P(solver, in_memory_cache_release_parent) {
  const RecordId parent = store_->new_record(), child = store_->new_record();
  store_->put_result(key("foo"), parent);
  store_->put_link(link(key("foo"), "bar"), key("foo bar"));
  store_->put_result(key("foo bar"), child);
  store_->forget(parent);
  EXPECT_THAT(results(key("foo")), IsEmpty());
  EXPECT_THAT(matches({{key("foo")}}, "bar"), ElementsAre(key("foo bar"))) << "the child is still found by it";
  EXPECT_THAT(results(key("foo bar")), ElementsAre(child));
  store_->forget(child);
  EXPECT_FALSE(exists(key("foo")));
}

TEST_P(solver, in_memory_cache_restore_offline_deletion) {
  const RecordId parent = store_->new_record(), child = store_->new_record();
  store_->put_result(key("foo"), parent);
  store_->put_link(link(key("foo"), "bar"), key("foo bar"));
  store_->put_result(key("foo bar"), child);
  store_->forget(parent);
  const RecordId again = store_->new_record();
  store_->put_result(key("foo"), again);
  EXPECT_THAT(results(key("foo")), ElementsAre(again));
  EXPECT_THAT(matches({{key("foo")}}, "bar"), ElementsAre(key("foo bar")));
}

TEST_P(solver, carry_over_from_sublink) {
  const RecordId child = store_->new_record();
  store_->put_link(link(key("foo"), "bar", 0, 0, "sel0"), key("foo bar"));
  store_->put_link(link(key("content"), "bar"), key("foo bar"));
  store_->put_result(key("foo bar"), child);
  // Another input with the same content: one link makes it an alias.
  store_->put_link(link(key("foo3"), "bar", 0, 0, "sel0"), key("foo bar"));
  EXPECT_THAT(matches({{key("foo3")}}, "bar", "sel0"), ElementsAre(key("foo bar")));
  EXPECT_EQ(links_to(key("foo bar")).size(), 3u);
}

}  // namespace cairn::cache
