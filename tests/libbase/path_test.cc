// SPDX-License-Identifier: Apache-2.0
#include "libbase/path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "tests/support/temp_dir.h"

namespace cairn::base {
namespace {

using Texts = std::vector<std::pair<std::string, std::string>>;

TEST(TreePathTest, parse_folds_what_archives_write) {
  for (const auto& [text, expected] : Texts{{"", ""},
                                            {"/", ""},
                                            {".", ""},
                                            {"./", ""},
                                            {"a", "a"},
                                            {"/a", "a"},
                                            {"./a/", "a"},
                                            {"//a//b///", "a/b"},
                                            {"a/./b/.", "a/b"},
                                            {"...", "..."},
                                            {"a/..b/.c", "a/..b/.c"},
                                            {"a b/\n", "a b/\n"},
                                            {"\xff\xfe", "\xff\xfe"}}) {
    const auto path = TreePath::parse(text);
    ASSERT_TRUE(path) << text;
    EXPECT_EQ(path->str(), expected) << text;
  }
}

TEST(TreePathTest, parse_refuses_what_could_lead_out) {
  const std::string nul("a\0b", 3);
  for (const std::string& text : {std::string(".."), std::string("../a"), std::string("a/.."), std::string("/a/../b"),
                                  nul, std::string(256, 'x'), "a/" + std::string(256, 'x') + "/b"}) {
    const auto path = TreePath::parse(text);
    ASSERT_FALSE(path) << text;
    EXPECT_EQ(path.error().code, ErrorCode::invalid_argument) << text;
  }
}

TEST(TreePathTest, components_may_have_255_bytes_and_paths_any_number) {
  const std::string longest(255, 'x');
  std::string text = longest;
  for (int i = 0; i < 99; ++i) text += "/" + longest;
  EXPECT_EQ(TreePath::parse(text).value().str(), text);
  EXPECT_EQ(TreePath::parse(text).value().name(), longest);
}

TEST(TreePathTest, clean_steps_up_but_never_out) {
  for (const auto& [text, expected] : Texts{{"", ""},
                                            {"..", ""},
                                            {"../../etc/passwd", "etc/passwd"},
                                            {"a/../../b", "b"},
                                            {"a/b/../c", "a/c"},
                                            {"/a/b/../../..", ""},
                                            {"a/./../b//", "b"},
                                            {"a/...", "a/..."},
                                            {std::string(300, 'x') + "/../y", "y"}}) {
    const auto path = TreePath::clean(text);
    ASSERT_TRUE(path) << text;
    EXPECT_EQ(path->str(), expected) << text;
  }
  EXPECT_EQ(TreePath::clean(std::string_view("a\0b/..", 6)).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(TreePath::clean(std::string(256, 'x')).error().code, ErrorCode::invalid_argument);
}

TEST(TreePathTest, parent_name_and_child_fit_together) {
  const TreePath root;
  EXPECT_TRUE(root.is_root());
  EXPECT_EQ(root.parent(), root);
  EXPECT_EQ(root.name(), "");
  const TreePath path = root.child("a").child("b");
  EXPECT_EQ(path.str(), "a/b");
  EXPECT_EQ(path.name(), "b");
  EXPECT_EQ(path.parent().str(), "a");
  EXPECT_EQ(path.parent().name(), "a");
  EXPECT_EQ(path.parent().parent(), root);
}

TEST(TreePathDeathTest, child_is_one_component) {
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string("a/b"),
                                  std::string("/"), std::string("a\0b", 3), std::string(256, 'x')}) {
    EXPECT_DEATH(TreePath().child(name), "not one path component") << name;
  }
}

TEST(HostPathTest, parse_normalises) {
  for (const auto& [text, expected] : Texts{{"/", "/"},
                                            {"//", "/"},
                                            {"/a//b/../c/", "/a/c"},
                                            {"/../a/.", "/a"},
                                            {"/a/" + std::string(300, 'x'), "/a/" + std::string(300, 'x')}}) {
    const auto path = HostPath::parse(text);
    ASSERT_TRUE(path) << text;
    EXPECT_EQ(path->str(), expected);
    EXPECT_STREQ(path->c_str(), expected.c_str());
  }
}

TEST(HostPathTest, parse_refuses_relative_texts_and_nul) {
  for (const std::string& text : {std::string(), std::string("a"), std::string("./a"), std::string("/a\0b", 4)}) {
    EXPECT_EQ(HostPath::parse(text).error().code, ErrorCode::invalid_argument) << text;
  }
}

TEST(HostPathTest, joins_relative_texts) {
  const HostPath root = HostPath::parse("/").value();
  EXPECT_EQ((root / "a").str(), "/a");
  EXPECT_EQ((root / "a" / "b//c/./d/").str(), "/a/b/c/d");
  EXPECT_EQ(root / "a" / "", root / "a");
  EXPECT_EQ(root / "", root);
}

TEST(HostPathDeathTest, joins_nothing_that_could_lead_elsewhere) {
  const HostPath path = HostPath::parse("/a").value();
  EXPECT_DEATH(path / "/b", "is not relative");
  EXPECT_DEATH(path / "b/../..", "\\.\\.");
  EXPECT_DEATH(path / std::string_view("b\0c", 3), "NUL");
}

TEST(HostPathTest, from_user_starts_at_the_current_directory) {
  const test::TempDir temp;
  ASSERT_EQ(::chdir(temp.path().c_str()), 0);
  EXPECT_EQ(HostPath::from_user("x/../y").value(), temp / "y");
  EXPECT_EQ(HostPath::from_user(".").value(), temp.path());
  EXPECT_EQ(HostPath::from_user("/abs/").value().str(), "/abs");
  EXPECT_EQ(HostPath::from_user("").error().code, ErrorCode::invalid_argument);
  ASSERT_EQ(::mkdir((temp / "gone").c_str(), 0700), 0);
  ASSERT_EQ(::chdir((temp / "gone").c_str()), 0);
  ASSERT_EQ(::rmdir((temp / "gone").c_str()), 0);
  EXPECT_EQ(HostPath::from_user("x").error().code, ErrorCode::not_found);
  ASSERT_EQ(::chdir("/"), 0);
}

}  // namespace
}  // namespace cairn::base
