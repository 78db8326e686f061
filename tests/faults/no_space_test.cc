// SPDX-License-Identifier: Apache-2.0
// The disk is full at each step: the caller gets no_space or, where the step needs no room, what it asked for; nothing of
// what failed is left, and when there is room again the step works.
#include <algorithm>

#include "libbase/fs/beneath.h"
#include "tests/faults/fault_fixture.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using testing::IsEmpty;

class FullDisk : public testing::TestWithParam<Step> {};

TEST_P(FullDisk, FailsTheStepAndNothingElse) {
  FaultyStore faulty;
  const auto trees = faulty.trees_on_disk();
  faulty.fill();
  const auto outcome = GetParam().run(faulty);
  if (!outcome) {
    EXPECT_EQ(outcome.error().code, ErrorCode::no_space) << outcome.error().message;
    EXPECT_EQ(faulty.trees_on_disk(), trees) << "what failed left a tree";
  }
  faulty.drain();
  if (!outcome) {
    const auto again = GetParam().run(faulty);
    EXPECT_TRUE(again) << again.error().message;
  }
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Steps, FullDisk, testing::ValuesIn(all_steps()),
                         [](const auto& about) { return about.param.test_name(); });

// The steps that cannot do without room must be seen to meet the fault.
TEST(FullDisk, IsMetByWhatNeedsRoom) {
  std::vector<std::string> met;
  for (const Step& step : all_steps()) {
    FaultyStore faulty;
    faulty.fill();
    if (!step.run(faulty)) met.push_back(step.name);
  }
  for (const char* name : {"prepare", "prepare on a deep chain", "prepare an empty tree", "write", "apply a layer", "prepare a stack", "merge by stacking",
                           "merge by linking", "merge by copying", "apply a difference", "squash"}) {
    EXPECT_THAT(met, testing::Contains(name));
  }
}

// Without a fault each way of merging is the one that its name says.
TEST(Steps, MergeAsTheirNamesSay) {
  const auto counts = [](const std::string& name) {
    FaultyStore faulty;
    const auto step = std::ranges::find(all_steps(), name, &Step::name);
    CHECK(step != all_steps().end(), "there is no step \"{}\"", name);
    const auto done = step->run(faulty);
    EXPECT_TRUE(done) << name << ": " << (done ? "" : done.error().message);
    return faulty.merge_counts;
  };
  EXPECT_TRUE(counts("merge by stacking").stacked);
  const auto linking = counts("merge by linking"), copying = counts("merge by copying");
  EXPECT_FALSE(linking.stacked);
  EXPECT_GT(linking.linked, 0u);
  EXPECT_EQ(copying.linked, 0u);
  EXPECT_GT(copying.bytes_copied, 0u);
}

}  // namespace
}  // namespace cairn::test
