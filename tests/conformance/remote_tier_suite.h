// SPDX-License-Identifier: Apache-2.0
// What every RemoteTier must do (libcache/remote_tier.h). Instantiate `tiers` (RemoteTierSuite) with the ways to make
// one, each on a server that is there and empty.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libcache/remote_tier.h"
#include "tests/conformance/remote_tier_calls.h"
#include "tests/support/random_bytes.h"

namespace cairn::cache {

struct WayToMakeATier {
  std::string name;
  std::function<std::unique_ptr<TierUnderTest>()> make;
};
inline std::ostream& operator<<(std::ostream& out, const WayToMakeATier& way) { return out << way.name; }

class RemoteTierSuite : public ::testing::TestWithParam<WayToMakeATier> {
 protected:
  EntryName entry_name(const std::string& key) const {
    return {.door = tier_->abilities().only_door.empty() ? "ccache" : tier_->abilities().only_door,
            .key = base::to_hex(base::sha256(key))};
  }
  std::vector<bool> has(std::vector<SizedBlob> blobs) {
    auto there = tier_->has_blobs(blobs, patient_call());
    EXPECT_TRUE(there) << there.error().message;
    return there.value_or(std::vector<bool>());
  }
  static void expect_ok(const base::Status& status) { EXPECT_TRUE(status) << status.error().message; }

  std::unique_ptr<TierUnderTest> server_ = GetParam().make();
  std::unique_ptr<RemoteTier> tier_ = server_->open();
};

TEST_P(RemoteTierSuite, ABlobIsThereForOthersWhenItIsPut) {
  const std::string bytes =
      test::random_bytes(1, std::min<std::uint64_t>(3'000'000, tier_->abilities().blob_bytes_max));
  EXPECT_EQ(has({sized(bytes)}), std::vector<bool>{false});
  EXPECT_EQ(get(*tier_, sized(bytes)), "none");
  expect_ok(put(*tier_, bytes));
  expect_ok(tier_->flush(patient_call()));
  const auto other = server_->open();
  const auto got = get(*other, sized(bytes));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(*got == bytes);
  EXPECT_EQ(has({sized("no"), sized(bytes), sized("neither")}), (std::vector<bool>{false, true, false}));
}

TEST_P(RemoteTierSuite, ABlobMayBePutTwiceAndByManyAtOnce) {
  const std::string bytes = test::random_bytes(2, 60'000);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { expect_ok(put(*tier_, bytes)); });
  threads.clear();
  expect_ok(put(*tier_, bytes));
  expect_ok(tier_->flush(patient_call()));
  EXPECT_TRUE(get(*tier_, sized(bytes)).value() == bytes);
}

TEST_P(RemoteTierSuite, TheEmptyBlobIsOne) {
  expect_ok(put(*tier_, ""));
  expect_ok(tier_->flush(patient_call()));
  EXPECT_EQ(has({sized("")}), std::vector<bool>{true});
  EXPECT_EQ(get(*tier_, sized("")), "");
}

TEST_P(RemoteTierSuite, ManyAreLookedForInTheirOrder) {
  std::vector<SizedBlob> blobs;
  std::vector<bool> expected;
  for (int i = 0; i < 40; ++i) {
    const std::string bytes = "blob " + std::to_string(i);
    blobs.push_back(sized(bytes));
    expected.push_back(i % 3 == 0);
    if (i % 3 == 0) expect_ok(put(*tier_, bytes));
  }
  expect_ok(tier_->flush(patient_call()));
  EXPECT_EQ(has(blobs), expected);
  EXPECT_EQ(has({}), std::vector<bool>{});
}

TEST_P(RemoteTierSuite, ABlobThatEndsEarlyIsNotPut) {
  const std::string bytes = test::random_bytes(3, 50'000);
  test::BytesSource half(std::string_view(bytes).substr(0, 25'000));
  const base::Status status = tier_->put_blob(sized(bytes), half, patient_call());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::ErrorCode::corrupt) << status.error().message;
  expect_ok(tier_->flush(patient_call()));
  EXPECT_EQ(get(*tier_, sized(bytes)), "none");
}

TEST_P(RemoteTierSuite, WhatIsBeyondItsAbilitiesIsNotSent) {
  if (tier_->abilities().blob_bytes_max != ~std::uint64_t{0}) {
    test::BytesSource source("");
    const SizedBlob large{base::digest_of<BlobDigest>("large"), tier_->abilities().blob_bytes_max + 1};
    const base::Status status = tier_->put_blob(large, source, patient_call());
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, base::ErrorCode::invalid_argument) << status.error().message;
  }
  const TierEntry large{.value = std::string(tier_->abilities().value_bytes_max + 1, 'v')};
  const base::Status status = tier_->put_entry(entry_name("large"), large, patient_call());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::ErrorCode::invalid_argument) << status.error().message;
}

TEST_P(RemoteTierSuite, AnEntryIsFoundAsItWasPutLast) {
  const EntryName name = entry_name("one");
  auto found = tier_->find_entry(name, patient_call());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_FALSE(*found);
  TierEntry entry{.value = server_->value("first")};
  expect_ok(tier_->put_entry(name, entry, patient_call()));
  const std::string out = "output";
  expect_ok(put(*tier_, out));
  entry = {.value = server_->value(test::random_bytes(4, 5'000)),
           .closure = std::vector<SizedBlob>{sized(out)},
           .attributes = "text/plain",
           .build_time = std::chrono::milliseconds(1500)};
  expect_ok(tier_->put_entry(name, entry, patient_call()));
  expect_ok(tier_->flush(patient_call()));
  found = server_->open()->find_entry(name, patient_call());
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_TRUE(*found);
  EXPECT_TRUE((*found)->value == entry.value);
  if (tier_->abilities().only_door.empty()) {  // others say the value only
    EXPECT_EQ((*found)->attributes, entry.attributes);
    EXPECT_EQ((*found)->build_time, entry.build_time);
    ASSERT_TRUE((*found)->closure);
    ASSERT_EQ((*found)->closure->size(), 1u);
    EXPECT_EQ((*found)->closure->front().digest, sized(out).digest);
    EXPECT_EQ((*found)->closure->front().size, out.size());
  }
  EXPECT_FALSE(tier_->find_entry(entry_name("two"), patient_call()).value());
}

TEST_P(RemoteTierSuite, ACallWhoseTimeIsOverEnds) {
  const TierCall over = call_for(std::chrono::milliseconds(-1));
  const SizedBlob blob = sized("x");
  test::BytesSource source("x");
  EXPECT_EQ(tier_->has_blobs({&blob, 1}, over).error().code, base::ErrorCode::io);
  EXPECT_EQ(tier_->open_blob(blob, over).error().code, base::ErrorCode::io);
  EXPECT_EQ(tier_->put_blob(blob, source, over).error().code, base::ErrorCode::io);
  EXPECT_EQ(tier_->find_entry(entry_name("x"), over).error().code, base::ErrorCode::io);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(tier_->open_blob(blob, call_for(std::chrono::seconds(30), stop.get_token())).error().code,
            base::ErrorCode::cancelled);
}

}  // namespace cairn::cache
