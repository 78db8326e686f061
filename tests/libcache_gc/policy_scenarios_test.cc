// SPDX-License-Identifier: Apache-2.0
// Three ways in which policies of collection have gone wrong for others, played again: what they meant to say is said, and
// what they feared does not happen. (spec/user-pain 2)
#include "tests/libcache_gc/policy_fixture.h"

namespace cairn::cache {
namespace {

using namespace std::chrono_literals;

bool has_note(const Policy& policy, std::string_view text) {
  return std::any_of(policy.notes.begin(), policy.notes.end(),
                     [&](const std::string& note) { return note.find(text) != std::string::npos; });
}

// "27 GB against a 10 GB cap": keepBytes had become a floor, and 73 of 73 expired records were pinned by a younger child.
TEST(PolicyScenario, AFloorThatWasTakenForACapIsNamedAndACeilingHoldsWhateverTheAges) {
  PolicyStore store;
  constexpr int pairs = 73;
  std::vector<RecordId> parents, children;
  for (int i = 0; i < pairs; ++i) {
    const ImmutableRef parent = store.add({}, {.bytes = 20'000, .key = key(i)});
    parents.push_back(parent.id());
    children.push_back(store.add(parent, {.bytes = 20'000, .key = key(1000 + i)}).id());
  }
  store.sync();
  store.clock.advance(72h);
  for (const RecordId child : children) store.use(child);
  const std::int64_t before = store.live();

  const Policy meant = must(parse_policy(
      "[worker.oci]\n[[worker.oci.gcpolicy]]\nkeepBytes = 1000000\nkeepDuration = \"48h\"\nall = true\n", "buildkitd.toml"));
  EXPECT_TRUE(has_note(meant, "is a floor, and what is younger than 2d stays whatever it takes"));
  Policy as_written = meant;
  as_written.rules.resize(1);
  EXPECT_TRUE(store.run(as_written).records.empty());  // as it was for them
  EXPECT_GE(store.live(), before);

  Policy capped = must(parse_policy("[[rule]]\nunused_for = \"48h\"\n[[rule]]\nceiling = \"2MB\"\nfloor = \"500kB\"\n", "gc.toml"));
  const PruneReport report = store.run(capped);
  EXPECT_FALSE(report.records.empty());
  EXPECT_LE(store.live(), 2'300'000);  // the deletion itself writes metadata and their journal
  EXPECT_GE(store.live(), 500'000);

  // And once the children are old, too, they go together with what only they keep.
  store.clock.advance(49h);
  const std::size_t left = 2 * pairs - report.records.size();
  Policy aged = policy_of({PolicyRule{.name = "old", .unused_for = 48h}});
  EXPECT_EQ(store.run(aged).records.size(), left);
}

// "One age rule filled 149.9 of 150 GiB": an explicit policy replaces the whole ladder of defaults, the cap with it.
TEST(PolicyScenario, APolicyOfOneAgeRuleStillHasACeiling) {
  PolicyStore store;
  const Policy policy = must(parse_policy("[[rule]]\nunused_for = \"48h\"\n", "gc.toml"));
  EXPECT_TRUE(has_note(policy, "nothing else bounds the store"));
  for (int i = 0; i < 30; ++i) store.add({}, {.bytes = 100'000, .key = key(i)});
  store.sync();
  const std::int64_t live = store.live();
  const DiskSpace small{.total_bytes = live + live / 10, .free_bytes = live / 10};  // the store fills 10/11 of it
  EXPECT_FALSE(store.run(policy, small).records.empty());
  EXPECT_LE(store.live(), small.total_bytes * 80 / 100 + 100'000);
  const Policy translated = must(parse_policy("[worker.oci]\n[[worker.oci.gcpolicy]]\nkeepDuration = 172800\n", "buildkitd.toml"));
  EXPECT_TRUE(has_note(translated, "nothing else bounds the store"));
}

// "Deletes the entire cache on every command": free space was short because of somebody else.
TEST(PolicyScenario, SpaceThatOthersTakeCostsTheCacheDownToItsFloorAndNotAgain) {
  PolicyStore store;
  for (int i = 0; i < 30; ++i) store.add({}, {.bytes = 100'000, .key = key(i)});
  store.sync();
  const DiskSpace disk{.total_bytes = 100'000'000, .free_bytes = 1'000'000};
  const Policy policy = must(parse_policy("[[rule]]\nfree = \"20%\"\nfloor = \"2MB\"\n", "gc.toml"));
  EXPECT_FALSE(store.run(policy, disk).records.empty());
  const std::int64_t left = store.live();
  EXPECT_GE(left, 2'000'000);
  std::size_t later = 0;
  for (int command = 0; command < 3; ++command) later += store.run(policy, disk).records.size();
  EXPECT_LE(later, 2u);  // metadata grow, and may push a record over
  EXPECT_GE(store.live(), 2'000'000);
  // Nobody wrote a floor: there is one all the same.
  const Policy careless = must(parse_policy("[[rule]]\nfree = \"20%\"\n", "gc.toml"));
  const DiskSpace tight{.total_bytes = 15'000'000, .free_bytes = 0};
  store.run(careless, tight);
  EXPECT_GE(store.live(), 1'500'000);
}

}  // namespace
}  // namespace cairn::cache
