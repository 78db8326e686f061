// SPDX-License-Identifier: Apache-2.0
// Which names a LocalFilter selects, against lists made by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/sources/local_walk.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using testing::ElementsAre;
using Names = std::vector<std::string>;

struct LocalFilterTest : testing::Test {
  // The names that are sent, in their order.
  Names select(const LocalFilter& filter) {
    const auto fd = base::open_host_dir(tree.root());
    const auto walk = walk_local(fd->get(), filter, {});
    EXPECT_TRUE(walk) << walk.error().message;
    Names names;
    if (walk) {
      for (std::uint32_t i = 0; i < walk->entries.size(); ++i) names.push_back(walk->path_of(i));
    }
    return names;
  }
  static LocalFilter include(Names patterns) {
    return {.include_patterns = std::move(patterns), .exclude_patterns = {}, .follow_paths = {}};
  }
  static LocalFilter exclude(Names patterns) {
    return {.include_patterns = {}, .exclude_patterns = std::move(patterns), .follow_paths = {}};
  }
  static LocalFilter follow(Names paths) {
    return {.include_patterns = {}, .exclude_patterns = {}, .follow_paths = std::move(paths)};
  }

  void sample() {
    tree.file("a/one");
    tree.file("a/two.md");
    tree.file("a/b/three");
    tree.file("a/b/four.md");
    tree.file("c/five");
    tree.file("six.md");
    tree.dir("empty");
  }
  test::TempDir temporary;
  test::TreeOnDisk tree{temporary / "context"};
};

TEST_F(LocalFilterTest, WithoutAFilterEverythingComesWithSlashLowest) {
  tree.file("foo/bar");
  tree.dir("foo-subdir");
  tree.file("foo.subdir");
  tree.file("foo/a.b/c");
  tree.file("foo/a/c");
  EXPECT_THAT(select({}),
              ElementsAre("foo", "foo/a", "foo/a/c", "foo/a.b", "foo/a.b/c", "foo/bar", "foo-subdir", "foo.subdir"));
}

TEST_F(LocalFilterTest, AnEmptyDirectoryGivesNothing) { EXPECT_THAT(select({}), ElementsAre()); }

TEST_F(LocalFilterTest, IncludedFilesBringTheDirectoriesAboveThem) {
  sample();
  EXPECT_THAT(select(include({"a/b/three"})), ElementsAre("a", "a/b", "a/b/three"));
  EXPECT_THAT(select(include({"**/*.md"})), ElementsAre("a", "a/b", "a/b/four.md", "a/two.md", "six.md"));
  EXPECT_THAT(select(include({"a/b"})), ElementsAre("a", "a/b", "a/b/four.md", "a/b/three"));
  EXPECT_THAT(select(include({"a", "!a/b"})), ElementsAre("a", "a/one", "a/two.md"));
  EXPECT_THAT(select(include({"nothing"})), ElementsAre());
  EXPECT_THAT(select(include({"empty"})), ElementsAre("empty"));
  EXPECT_THAT(select(include({"a/*"})), ElementsAre("a", "a/b", "a/b/four.md", "a/b/three", "a/one", "a/two.md"));
}

TEST_F(LocalFilterTest, ExcludedDirectoriesAreLeftOutWithAllInThem) {
  sample();
  EXPECT_THAT(select(exclude({"a"})), ElementsAre("c", "c/five", "empty", "six.md"));
  EXPECT_THAT(select(exclude({"**/*.md", "c"})), ElementsAre("a", "a/b", "a/b/three", "a/one", "empty"));
  EXPECT_THAT(select(exclude({"*"})), ElementsAre());
}

TEST_F(LocalFilterTest, ExceptionsBringBackWhatIsExcluded) {
  sample();
  EXPECT_THAT(select(exclude({"*", "!a/b/three"})), ElementsAre("a", "a/b", "a/b/three"));
  EXPECT_THAT(select(exclude({"a", "!a/**/*.md"})),
              ElementsAre("a", "a/b", "a/b/four.md", "a/two.md", "c", "c/five", "empty", "six.md"));
  EXPECT_THAT(select(exclude({"a", "!a/b", "a/b/four.md", "c", "empty", "six.md"})),
              ElementsAre("a", "a/b", "a/b/three"));
}

TEST_F(LocalFilterTest, BothFiltersHold) {
  sample();
  LocalFilter both = include({"a", "six.md"});
  both.exclude_patterns = {"**/b", "*.md"};
  EXPECT_THAT(select(both), ElementsAre("a", "a/one", "a/two.md"));
}

TEST_F(LocalFilterTest, FollowedPathsAreIncludedWithWhatTheyLeadTo) {
  sample();
  tree.symlink("link", "a/b/three");
  EXPECT_THAT(select(follow({"link"})), ElementsAre("a", "a/b", "a/b/three", "link"));
  EXPECT_THAT(select(follow({"Dockerfile", "six.md"})), ElementsAre("six.md"));
  EXPECT_EQ(select(follow({"."})), select({}));
  LocalFilter both = follow({"link"});
  both.include_patterns = {"c"};
  EXPECT_THAT(select(both), ElementsAre("a", "a/b", "a/b/three", "c", "c/five", "link"));
}

TEST_F(LocalFilterTest, PatternsThatCannotBePrunedByStillSelect) {
  sample();
  EXPECT_THAT(select(include({"[a]/b/th?ee"})), ElementsAre("a", "a/b", "a/b/three"));
  EXPECT_THAT(select(include({" ./a//b/../one "})), ElementsAre("a", "a/one"));
  tree.file("a/st*r");
  EXPECT_THAT(select(include({R"(a/st\*r)"})), ElementsAre("a", "a/st*r"));
  EXPECT_THAT(select(include({"a/b/"})), ElementsAre("a", "a/b", "a/b/four.md", "a/b/three"));
}

TEST_F(LocalFilterTest, BadPatternsAreNamed) {
  for (const auto& filter : {include({"a/[b"}), exclude({"!"})}) {
    const auto fd = base::open_host_dir(tree.root());
    const auto walk = walk_local(fd->get(), filter, {});
    ASSERT_FALSE(walk);
    EXPECT_EQ(walk.error().code, base::ErrorCode::invalid_argument);
    EXPECT_THAT(walk.error().message, testing::HasSubstr("clude patterns"));
  }
}

TEST_F(LocalFilterTest, HardLinksAreGroupedAmongTheSelectedOnly) {
  tree.file("a/one", "x");
  tree.hard_link("b/two", "a/one");
  tree.hard_link("c/three", "a/one");
  const auto fd = base::open_host_dir(tree.root());
  const auto walk = walk_local(fd->get(), exclude({"a"}), {});
  ASSERT_TRUE(walk);
  ASSERT_EQ(walk->entries.size(), 4u);
  EXPECT_EQ(walk->path_of(1), "b/two");
  EXPECT_EQ(walk->entries[1].link, LocalEntry::none);
  EXPECT_EQ(walk->entries[3].link, 1u);
  EXPECT_EQ(walk->bytes, 1u);
}

}  // namespace
}  // namespace cairn::solver
