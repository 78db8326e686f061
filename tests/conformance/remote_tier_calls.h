// SPDX-License-Identifier: Apache-2.0
// Calls of a RemoteTier as tests make them, what is expected of their errors, and a server to make tiers on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libcache/remote_tier.h"
#include "tests/support/random_bytes.h"
#include "tests/support/string_source.h"

namespace cairn::cache {

// A server, and as many tiers on it as are asked for: what one puts, all of them have.
class TierUnderTest {
 public:
  virtual ~TierUnderTest() = default;
  virtual std::unique_ptr<RemoteTier> open() = 0;
  // A value of an entry that it takes, with this in it.
  virtual std::string value(std::string text) { return text; }
};

inline TierCall call_for(std::chrono::milliseconds time, std::stop_token stop = {}) {
  return {std::chrono::steady_clock::now() + time, std::move(stop)};
}
inline TierCall patient_call() { return call_for(std::chrono::seconds(30)); }
inline SizedBlob sized(std::string_view bytes) { return {base::digest_of<BlobDigest>(bytes), bytes.size()}; }

inline base::Status put(RemoteTier& tier, const std::string& bytes) {
  test::BytesSource source(bytes, 10'000);
  return tier.put_blob(sized(bytes), source, patient_call());
}
// The bytes, or "none".
inline base::Result<std::string> get(RemoteTier& tier, const SizedBlob& blob, TierCall call = patient_call()) {
  const auto source = TRY(tier.open_blob(blob, call));
  if (source == nullptr) return "none";
  std::string out;
  std::vector<std::byte> buffer(7'000);
  while (const std::size_t count = TRY(source->read(buffer)))
    out.append(reinterpret_cast<const char*>(buffer.data()), count);
  return out;
}

// As errors of tiers are: they name the tier, and no secret, which all are called so in tests.
template <class T>
void expect_error(const base::Result<T>& result, base::ErrorCode code, const std::string& part) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_THAT(result.error().message, ::testing::HasSubstr(part));
  EXPECT_THAT(result.error().message, ::testing::HasSubstr("://"));
  EXPECT_THAT(result.error().message, ::testing::Not(::testing::HasSubstr("secret")));
}

// Each kind of call ends so. `look`: what a message says where a server cannot say more than a status.
inline void expect_all(RemoteTier& tier, const EntryName& name, base::ErrorCode code, const std::string& part,
                       const std::string& look, std::chrono::milliseconds time = std::chrono::seconds(30),
                       const std::string& value = "value") {
  const SizedBlob blob = sized("bytes");
  test::BytesSource source("bytes");
  expect_error(tier.has_blobs({&blob, 1}, call_for(time)), code, look);
  expect_error(get(tier, blob, call_for(time)), code, part);
  expect_error(tier.put_blob(blob, source, call_for(time)), code, part);
  expect_error(tier.find_entry(name, call_for(time)), code, part);
  expect_error(tier.put_entry(name, {.value = value}, call_for(time)), code, part);
}

}  // namespace cairn::cache
