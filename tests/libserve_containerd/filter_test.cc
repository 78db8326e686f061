// SPDX-License-Identifier: Apache-2.0
#include "libserve/containerd/filter.h"

#include <gtest/gtest.h>

namespace cairn::serve {
namespace {

bool matches(const std::vector<std::string>& filters) {
  cache::NamedTree tree;
  tree.name = {"containerd/default", "default/3/sha256:abc"};
  tree.kind = cache::NameKind::committed;
  tree.parent = "default/1/sha256:def";
  tree.labels = {{"l", "v"}, {"containerd.io/gc.root", "now"}, {"empty", ""}, {"a.b", "dots"}};
  const auto parsed = SnapshotFilters::parse(filters);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed && parsed->match(tree);
}

TEST(SnapshotFilters, MeansWhatContainerdMeans) {
  for (const char* yes :
       {"kind==committed", "kind!=active", "name==default/3/sha256:abc", "name~=sha256", "name~=/^default\\/3/",
        "parent!=\"\"", "parent==default/1/sha256:def", "labels.l", "labels.l==v", "labels.empty", "labels.none!=v",
        "labels.\"containerd.io/gc.root\"", "labels.\"containerd.io/gc.root\"==now", "labels.a.b==dots",
        "labels.\"a.b\"==dots", "kind==committed,labels.l==v", "labels.l~=|^v$|", "nothing!=x", ""})
    EXPECT_TRUE(matches({yes})) << yes;
  for (const char* no : {"kind==active", "kind", "name==x,kind==committed", "parent==\"\"", "labels.none", "labels.l==w",
                         "labels.empty==x", "labels", "nothing", "nothing==\"\"", "name~=^sha256"})
    EXPECT_EQ(matches({no}), std::string(no) == "kind") << no;
}

TEST(SnapshotFilters, OneOfSeveralIsEnough) {
  EXPECT_TRUE(matches({}));
  EXPECT_TRUE(matches({"kind==active", "labels.l==v"}));
  EXPECT_FALSE(matches({"kind==active", "labels.l==w"}));
}

TEST(SnapshotFilters, RefusesWhatIsNoFilterAndSaysWhere) {
  for (const char* wrong : {"kind=!active", "==x", "kind==", "kind==a b", "labels.==x", "name~=(", "kind==active,", "\"kind"}) {
    const std::vector<std::string> filters = {wrong};
    const auto parsed = SnapshotFilters::parse(filters);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().code, base::ErrorCode::invalid_argument);
    EXPECT_NE(parsed.error().message.find(", at "), std::string::npos) << parsed.error().message;
  }
}

}  // namespace
}  // namespace cairn::serve
