// SPDX-License-Identifier: Apache-2.0
// Each kind of change is named, and nothing is named where the digests are equal.
#include "libcache/tree_difference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libbase/fs/fd.h"
#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> differences(const TestTree& a, const TestTree& b, const Selection& selection = plain("/")) {
  const base::Fd first = base::open_host_dir(a.top()).value(), second = base::open_host_dir(b.top()).value();
  std::vector<std::string> lines;
  const auto status = each_difference({first.get()}, {second.get()}, selection, [&](const TreeDifference& difference) {
    std::string line = std::string(to_string(difference.kind)) + " " + difference.path;
    for (const DifferenceField field : difference.fields) line += " " + std::string(to_string(field));
    lines.push_back(line);
    return base::Status();
  });
  EXPECT_TRUE(status) << status.error().message;
  EXPECT_EQ(lines.empty(), shown(a.digest(selection)) == shown(b.digest(selection)));
  return lines;
}

TEST(TreeDifference, NamesEachKindOfChange) {
  const std::vector<std::string> lines = {"bytes file 1", "dir dir",  "dir/f file x",     "gone file x", "link symlink a",
                                          "mode file x",  "owner file x", "type file x", "x file x"};
  const TestTree a(lines);
  TestTree b(lines);
  EXPECT_THAT(differences(a, b), IsEmpty());
  ASSERT_EQ(::unlink(b.path("bytes").c_str()), 0);
  b.add("bytes file 2");
  ASSERT_EQ(::chmod(b.path("dir").c_str(), 0700), 0);
  ASSERT_EQ(::unlink(b.path("gone").c_str()), 0);
  ASSERT_EQ(::unlink(b.path("link").c_str()), 0);
  b.add("link symlink b");
  ASSERT_EQ(::chmod(b.path("mode").c_str(), 0600), 0);
  ASSERT_EQ(::chown(b.path("owner").c_str(), 1, 0), 0);
  ASSERT_EQ(::unlink(b.path("type").c_str()), 0);
  b.add("type symlink x");
  ASSERT_EQ(::setxattr(b.path("x").c_str(), "user.y", "z", 1, 0), 0);
  ASSERT_EQ(::chmod(b.path("x").c_str(), 0640), 0);
  b.add("dir/new file x");
  EXPECT_THAT(differences(a, b),
              ElementsAre("changed bytes content", "changed dir mode", "added dir/new", "removed gone",
                          "changed link content", "changed mode mode", "changed owner owner", "changed type type mode",
                          "changed x mode xattr"));
}

TEST(TreeDifference, OnlyWhatIsSelectedCounts) {
  const TestTree a({"d dir", "d/a.c file 1", "d/a.h file 1", "e dir", "e/f file 1"});
  const TestTree b({"d dir", "d/a.c file 2", "d/a.h file 2", "e dir", "e/f file 2"});
  EXPECT_THAT(differences(a, b, plain("/e")), ElementsAre("changed f content"));
  EXPECT_THAT(differences(a, b, plain("/e/f")), ElementsAre("changed  content"));
  EXPECT_THAT(differences(a, b, including("/", {"**/*.c"})), ElementsAre("changed d/a.c content"));
  EXPECT_THAT(differences(a, b, excluding("/d", {"*.c"})), ElementsAre("changed a.h content"));
  EXPECT_THAT(differences(a, b, wildcard("/d/*.h")), ElementsAre("changed a.h content"));
  EXPECT_THAT(differences(a, b, including("/", {"nosuch"})), IsEmpty());
}

TEST(TreeDifference, PoliciesLeaveOut) {
  const TestTree a({"f file 1"});
  TestTree b({"f file 1"});
  ASSERT_EQ(::chown(b.path("f").c_str(), 5, 5), 0);
  Selection selection = plain("/");
  EXPECT_THAT(differences(a, b, selection), ElementsAre("changed f owner"));
  selection.normalisation.owner = Normalisation::Owner::ignored;
  EXPECT_THAT(differences(a, b, selection), IsEmpty());
}

TEST(TreeDifference, WhatIsNotThereIsAnError) {
  const TestTree a({"f file 1"}), b({"g file 1"});
  const base::Fd first = base::open_host_dir(a.top()).value(), second = base::open_host_dir(b.top()).value();
  const auto status = each_difference({first.get()}, {second.get()}, plain("/f"),
                                      [](const TreeDifference&) { return base::Status(); });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::ErrorCode::not_found);
}

}  // namespace
}  // namespace cairn::cache
