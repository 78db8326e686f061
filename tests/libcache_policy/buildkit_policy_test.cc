// SPDX-License-Identifier: Apache-2.0
// BuildKit's configuration, translated: spec/storage 6.1.
#include <gtest/gtest.h>

#include "libcache/policy.h"

namespace cairn::cache {
namespace {

using namespace std::chrono_literals;

Policy must_parse(std::string_view text) {
  auto policy = parse_policy(text, "buildkitd.toml");
  EXPECT_TRUE(policy) << (policy ? "" : policy.error().message);
  return policy ? std::move(*policy) : Policy();
}

bool has_note(const Policy& policy, std::string_view text) {
  for (const std::string& note : policy.notes)
    if (note.find(text) != std::string::npos) return true;
  return false;
}

TEST(BuildKitPolicy, RulesAreReadAndTheRestOfTheFileIsNot) {
  const Policy policy = must_parse(R"(
debug = true
[grpc]
address = ["tcp://0.0.0.0:1234"]
[worker.oci]
enabled = true
gc = true
[[worker.oci.gcpolicy]]
keepBytes = 512000000
keepDuration = 172800
filters = ["type==source.local", "type==exec.cachemount"]
[[worker.oci.gcpolicy]]
all = true
reservedSpace = "10GB"
maxUsedSpace = "50%"
minFreeSpace = 1000
keepDuration = "48h"
)");
  ASSERT_EQ(policy.rules.size(), 3u);  // what none of them bounds, a last one does
  EXPECT_EQ(policy.rules[0].floor, Space::bytes(512'000'000));
  EXPECT_EQ(policy.rules[0].unused_for, 48h);
  EXPECT_EQ(policy.rules[0].filters.size(), 2u);
  EXPECT_FALSE(policy.rules[0].all);
  EXPECT_EQ(policy.rules[1].floor, Space::bytes(std::uint64_t{10} << 30));
  EXPECT_EQ(policy.rules[1].ceiling, Space::percent(50));
  EXPECT_EQ(policy.rules[1].free, Space::bytes(1000));
  EXPECT_EQ(policy.rules[1].unused_for, 48h);
  EXPECT_TRUE(policy.rules[1].all);
}

TEST(BuildKitPolicy, WithoutRulesItsDefaultsApply) {
  const Policy policy = must_parse("[worker.oci]\ngc = true\n");
  ASSERT_EQ(policy.rules.size(), 4u);
  EXPECT_EQ(policy.rules[0].filters.size(), 3u);
  EXPECT_EQ(policy.rules[0].unused_for, 48h);
  EXPECT_EQ(policy.rules[0].ceiling, Space::bytes(512'000'000));
  EXPECT_EQ(policy.rules[1].unused_for, 60 * 24h);
  const DiskSpace disk{.total_bytes = 1'000'000'000'000, .free_bytes = 500'000'000'000};
  EXPECT_EQ(policy.rules[2].keep_bytes(300'000'000'000, disk), 100'000'000'000);
  EXPECT_TRUE(policy.rules[3].all);
}

TEST(BuildKitPolicy, GcKeepStorageIsAFloorAndSaidToBe) {
  const Policy policy = must_parse("[worker.oci]\ngckeepstorage = \"10gb\"\n");
  EXPECT_EQ(policy.rules[2].floor, Space::bytes(std::uint64_t{10} << 30));
  EXPECT_FALSE(policy.rules[2].ceiling.is_given());
  // In BuildKit such a rule goes down to it, and so it does here.
  EXPECT_EQ(policy.rules[2].keep_bytes(std::int64_t{27} << 30, {}), std::int64_t{10} << 30);
  EXPECT_TRUE(has_note(policy, "is a floor"));
  EXPECT_TRUE(has_note(policy, "is a floor, and what is younger than 60d stays whatever it takes"));
}

TEST(BuildKitPolicy, TheNewNameWinsAndKeysAreReadInAnyCase) {
  const Policy policy = must_parse("[worker.containerd]\n[[worker.containerd.gcpolicy]]\nKeepBytes = 1\nreservedspace = 2\n");
  ASSERT_EQ(policy.rules.size(), 1u);  // it goes down to its floor, so it bounds everything
  EXPECT_EQ(policy.rules[0].floor, Space::bytes(2));
}

TEST(BuildKitPolicy, NoCollectionIsNoRule) {
  const Policy policy = must_parse("[worker.oci]\ngc = false\n[[worker.oci.gcpolicy]]\nall = true\n");
  EXPECT_TRUE(policy.rules.empty());
  EXPECT_TRUE(has_note(policy, "nothing is collected"));
}

TEST(BuildKitPolicy, ErrorsNameLineAndField) {
  const std::pair<const char*, const char*> wrong[] = {
      {"[worker.oci]\n[[worker.oci.gcpolicy]]\nkeepBytes = \"x\"\n", "line 3: worker.oci, gcpolicy 1, keepBytes"},
      {"[worker.oci]\n[[worker.oci.gcpolicy]]\nkeepForever = true\n", "line 3: worker.oci, gcpolicy 1, keepForever: no such field"},
      {"[worker.oci]\n[[worker.oci.gcpolicy]]\nkeepDuration = \"2 moons\"\n", "line 3: worker.oci, gcpolicy 1, keepDuration"},
      {"[worker.oci]\n[[worker.oci.gcpolicy]]\nfilters = [\"type=!x\"]\n", "line 3: worker.oci, gcpolicy 1, filters"},
      {"[worker.oci]\ngc = 1\n", "line 2: worker.oci, gc: want true or false"},
      {"[worker.oci]\nmaxUsedSpace = -4\n", "line 2: worker.oci, maxUsedSpace"},
      {"[worker]\n", "want worker.oci or worker.containerd"}};
  for (const auto& [text, why] : wrong) {
    const auto policy = parse_policy(text, "buildkitd.toml");
    ASSERT_FALSE(policy) << text;
    EXPECT_NE(policy.error().message.find(why), std::string::npos) << policy.error().message;
  }
}

}  // namespace
}  // namespace cairn::cache
