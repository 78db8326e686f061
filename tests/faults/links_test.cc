// SPDX-License-Identifier: Apache-2.0
// ext4 gives a file at most 65,000 names. A layer with more of them fails with an error that names the entry, and what
// can be done about a tree that is full of links is done: a copy of it has them all.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "tests/faults/fault_fixture.h"
#include "tests/libsnapshot/tar_builder.h"
#include "tests/support/string_source.h"

namespace cairn::test {
namespace {

using snapshot::Access;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int links_max = 65'000;

TEST(TooManyLinks, FailALayerAndNothingElse) {
  FaultyStore faulty;
  snapshot::TarBuilder tar;
  tar.file("f", "linked");
  for (int i = 1; i < links_max + 5; ++i) tar.hard_link("l" + std::to_string(i), "f");
  const auto applied =
      snapshot::apply_layer(faulty.target_tree, std::make_unique<StringSource>(tar.finish()), {});
  ASSERT_FALSE(applied) << "the file system takes more than " << links_max << " links";
  EXPECT_EQ(applied.error().code, base::ErrorCode::io);
  EXPECT_THAT(applied.error().message, HasSubstr("Too many links"));
  EXPECT_THAT(applied.error().message, HasSubstr("l" + std::to_string(links_max)));
  // What has been applied up to there can go, like any other unfinished tree.
  faulty.target_tree = {};
  const auto abandoned = faulty.snapshots().abandon(faulty.target);
  EXPECT_TRUE(abandoned) << abandoned.error().message;
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

}  // namespace
}  // namespace cairn::test
