// SPDX-License-Identifier: Apache-2.0
// The disk fails, or the file system turns read-only, at each step: the caller gets an error that says so, or what it
// asked for; and on a disk that works again the store is valid and has everything that was acknowledged.
#include <algorithm>
#include <cerrno>

#include "tests/faults/fault_fixture.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using testing::AnyOf;
using testing::Eq;
using testing::IsEmpty;

// What a failing disk looks like from above: EIO, EROFS, EUCLEAN; a name that could not be read.
void expect_disk_error_or_success(const base::Status& outcome) {
  if (outcome) return;
  EXPECT_THAT(outcome.error().code, AnyOf(Eq(ErrorCode::io), Eq(ErrorCode::corrupt))) << outcome.error().message;
}

class FailingWrites : public testing::TestWithParam<Step> {};

TEST_P(FailingWrites, KeepWhatWasAcknowledged) {
  FaultyStore faulty;
  faulty.disk().switches().write_errno = EIO;
  faulty.disk().switches().flush_errno = EIO;
  const auto outcome = GetParam().run(faulty);
  expect_disk_error_or_success(outcome);
  if (GetParam().name == "publish" || GetParam().name == "retire" || GetParam().name == "label") {
    ASSERT_FALSE(outcome) << "nothing could become durable, but it was acknowledged";
    const auto refused = faulty.store().publish(faulty.frozen);
    EXPECT_TRUE(refused || refused.error().code == ErrorCode::io) << refused.error().message;
  }
  faulty.lose_memory();
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Steps, FailingWrites, testing::ValuesIn(all_steps()),
                         [](const auto& about) { return about.param.test_name(); });

class FailingReads : public testing::TestWithParam<Step> {};

TEST_P(FailingReads, FailTheStepAndNothingElse) {
  FaultyStore faulty;
  faulty.remount();  // nothing is in memory; what was not committed is gone, and made again
  faulty.make_unpublished();
  faulty.load_metadata();
  faulty.disk().switches().read_errno = EIO;
  const auto outcome = GetParam().run(faulty);
  expect_disk_error_or_success(outcome);
  faulty.disk().switches().read_errno = 0;
  faulty.lose_memory();
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Steps, FailingReads, testing::ValuesIn(all_steps()),
                         [](const auto& about) { return about.param.test_name(); });

class ReadOnlyInTheMiddle : public testing::TestWithParam<Step> {};

TEST_P(ReadOnlyInTheMiddle, FailsWhatWritesAndKeepsWhatWasAcknowledged) {
  FaultyStore faulty;
  faulty.fail_file_system();
  const auto outcome = GetParam().run(faulty);
  expect_disk_error_or_success(outcome);
  faulty.lose_memory();
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Steps, ReadOnlyInTheMiddle, testing::ValuesIn(all_steps()),
                         [](const auto& about) { return about.param.test_name(); });

TEST(DiskErrors, UnreadableStoreIsNotOpened) {
  FaultyStore faulty;
  faulty.close();
  faulty.disk().switches().read_errno = EIO;
  const auto opened = PowerStore::open(faulty.root(), {});
  ASSERT_FALSE(opened);
  expect_disk_error_or_success(tl::unexpected(opened.error()));
  faulty.disk().switches().read_errno = 0;
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

// The tests above let a step pass that did not meet the fault. These must meet it.
TEST(DiskErrors, AreMetByWhatUsesTheDisk) {
  const auto fails = [](const std::string& name, const std::function<void(FaultyStore&)>& inject) {
    FaultyStore faulty;
    inject(faulty);
    const auto step = std::ranges::find(all_steps(), name, &Step::name);
    CHECK(step != all_steps().end(), "there is no step \"{}\"", name);
    const bool failed = !step->run(faulty);
    faulty.lose_memory();
    return failed;
  };
  for (const char* name : {"prepare", "prepare on a deep chain", "prepare an empty tree", "mount for writing", "write",
                           "publish", "retire", "label", "abandon", "apply a layer", "prepare a stack", "merge by stacking",
                           "merge by linking", "merge by copying", "apply a difference", "squash"}) {
    EXPECT_TRUE(fails(name, [](FaultyStore& faulty) { faulty.fail_file_system(); })) << name << " on a read-only disk";
  }
  for (const char* name : {"read a tree", "write a layer", "prepare on a deep chain", "diff", "apply a difference", "squash",
                           "merge by stacking", "merge by linking", "merge by copying"}) {
    EXPECT_TRUE(fails(name, [](FaultyStore& faulty) {
      faulty.remount();
      faulty.load_metadata();
      faulty.disk().switches().read_errno = EIO;
    })) << name << " while reads fail";
  }
}

}  // namespace
}  // namespace cairn::test
