// SPDX-License-Identifier: Apache-2.0
// Merges on every driver: BuildKit's own cases by their names (TestMerge, TestHardlinks, TestMergeFileCapabilities), how a
// merge is made, what it costs, and that every way of making one shows the same tree.
#include "libsnapshot/merge.h"

#include "libsnapshot/diff.h"
#include "tests/conformance/snapshotter_places.h"
#include "tests/libsnapshot_changes/random_ops.h"
#include "tests/libsnapshot_changes/trees.h"

namespace cairn::snapshot {
namespace {

using testing::ElementsAre;

class MergeTest : public SnapshotterSuite {
 protected:
  SnapshotId make(std::optional<SnapshotId> parent, const std::function<void(const TreeAt&)>& change) {
    return freeze_with(parent, [&](Tree& tree) { change(TreeAt::of(tree.fd())); });
  }
  SnapshotId merged(const std::vector<Delta>& deltas, Copying copying = Copying::avoid) {
    counts = {};
    return must(merge(snapshots(), deltas, {.copying = copying, .counts = &counts}));
  }
  std::map<std::string, std::string> dump_of(SnapshotId id) { return dump(view(id).fd()); }
  bool stacks() const { return GetParam() == "overlay"; }
  bool links() const { return GetParam() == "overlay" || GetParam() == "native"; }

  MergeCounts counts;
};

// The whole chains of A, B and C, in several orders, with removals.
TEST_P(MergeTest, TestMerge) {
  const auto a1 = make(std::nullopt, [](const TreeAt& tree) {
    tree.dir("foo", 0755);
    tree.file("foo/A", "A", 0644);
    tree.file("a", "a");
    tree.dir("bar", 0700);
    tree.file("bar/A", "A");
    tree.symlink("bar/link", "A");
    tree.time("foo", 1000000002);
    tree.time("bar", 1000000003);
  });
  const auto a2 = make(a1, [](const TreeAt& tree) {
    tree.remove("bar/A");
    tree.time("bar", 1000000013);
  });
  const auto b1 = make(std::nullopt, [](const TreeAt& tree) {
    tree.dir("foo", 0750);
    tree.file("foo/B", "B", 0600);
    tree.file("b", "b");
    tree.dir("bar", 0755);
    tree.file("bar/A", "from B");
    tree.time("foo", 1000000004);
    tree.time("bar", 1000000005);
  });
  const auto c1 = make(std::nullopt, [](const TreeAt& tree) {
    tree.file("foo", "a file");
    tree.file("c", "c");
  });
  const auto text = [&](SnapshotId id, const char* path) { return view(id).read(path); };

  const auto ab = merged({{std::nullopt, a1}, {a1, a2}, {std::nullopt, b1}});
  EXPECT_THAT(view(ab).names(), ElementsAre("a", "b", "bar", "foo"));
  EXPECT_THAT(view(ab).names("foo"), ElementsAre("A", "B"));
  EXPECT_EQ(text(ab, "bar/A"), "from B");
  EXPECT_EQ(view(ab).mode("foo"), 0750u);  // of the later one
  EXPECT_EQ(view(ab).mode("foo/B"), 0600u);
  EXPECT_EQ(view(ab).stat("foo").st_mtim.tv_sec, 1000000004);
  EXPECT_EQ(view(ab).stat("bar").st_mtim.tv_sec, 1000000005);

  const auto ba = merged({{std::nullopt, b1}, {std::nullopt, a1}, {a1, a2}});
  EXPECT_THAT(view(ba).names("foo"), ElementsAre("A", "B"));
  EXPECT_THAT(view(ba).names("bar"), ElementsAre("link"));  // a2 removes A, whoever made it
  EXPECT_EQ(view(ba).mode("foo"), 0755u);
  EXPECT_EQ(view(ba).mode("bar"), 0700u);
  EXPECT_EQ(view(ba).stat("bar").st_mtim.tv_sec, 1000000013);

  const auto abc = merged({{std::nullopt, a1}, {std::nullopt, b1}, {std::nullopt, c1}});
  EXPECT_THAT(view(abc).names(), ElementsAre("a", "b", "bar", "c", "foo"));
  EXPECT_EQ(text(abc, "foo"), "a file");
  const auto cab = merged({{std::nullopt, c1}, {std::nullopt, a1}, {std::nullopt, b1}});
  EXPECT_THAT(view(cab).names("foo"), ElementsAre("A", "B"));

  // A difference alone, on nothing: only what changed, in the directories that hold it.
  const auto only = merged({{a1, a2}});
  EXPECT_THAT(view(only).names(), ElementsAre("bar"));
  EXPECT_THAT(view(only).names("bar"), ElementsAre());
}

TEST_P(MergeTest, TestHardlinks) {
  const auto base = make(std::nullopt, [](const TreeAt& tree) { tree.file("1", "1"); });
  const auto one = make(base, [](const TreeAt& tree) { tree.file("2", "2"); });
  const auto other = make(std::nullopt, [](const TreeAt& tree) { tree.file("3", "3"); });
  const auto merge = merged({{std::nullopt, base}, {base, one}, {std::nullopt, other}});
  EXPECT_EQ(view(merge).stat("1").st_nlink, GetParam() == "native" ? 2u : 1u);
  EXPECT_EQ(view(merge).stat("3").st_nlink, links() && !stacks() ? 2u : 1u);

  // What is written to a fork of the merge reaches neither the merge nor what it was made of.
  const auto fork = make(merge, [](const TreeAt& tree) {
    for (const char* name : {"1", "2", "3"}) {
      tree.file(name, "changed");
      tree.mode(name, 0600);
    }
  });
  EXPECT_EQ(view(fork).read("1"), "changed");
  for (const auto id : {base, one, merge}) EXPECT_EQ(view(id).read("1"), "1");
  for (const auto id : {one, merge}) EXPECT_EQ(view(id).read("2"), "2");
  for (const auto id : {other, merge}) {
    EXPECT_EQ(view(id).read("3"), "3");
    EXPECT_EQ(view(id).mode("3"), 0644u);
  }
}

TEST_P(MergeTest, TestMergeFileCapabilities) {
  const std::string capability("\1\0\0\2\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  const auto tool = make(std::nullopt, [&](const TreeAt& tree) {
    tree.file("tool", "x", 0755);
    tree.owner("tool", 1, 2);
    tree.xattr("tool", "security.capability", capability);
  });
  const auto other = make(std::nullopt, [](const TreeAt& tree) { tree.file("other", "x"); });
  for (const Copying copying : {Copying::avoid, Copying::always}) {
    const auto merge = merged({{std::nullopt, other}, {std::nullopt, tool}}, copying);
    EXPECT_EQ(must(base::list_xattrs_at(view(merge).fd(), "tool"))["security.capability"], capability);
    EXPECT_EQ(view(merge).stat("tool").st_uid, 1u);
  }
}

TEST_P(MergeTest, WritesLittleOfWhatItIsMadeOf) {
  const std::string big(1 << 20, 'x');
  const auto with_files = [&](const std::string& name) {
    return make(std::nullopt, [&](const TreeAt& tree) {
      tree.dir(name);
      for (int file = 0; file < 8; ++file) tree.file(fmt::format("{}/{}", name, file), big);
    });
  };
  const auto a = with_files("a");
  const auto b = with_files("b");
  const auto merge = merged({{std::nullopt, a}, {std::nullopt, b}});
  EXPECT_EQ(view(merge).read("b/7"), big);
  EXPECT_EQ(counts.stacked, stacks());
  EXPECT_EQ(counts.bytes_copied, 0u);
  EXPECT_EQ(counts.linked, links() && !stacks() ? 16u : 0u);
  if (stacks()) {
    EXPECT_LE(must(snapshots().stat(merge)).usage.bytes, (16 << 20) / 100);
  }
}

TEST_P(MergeTest, ALayerWithAnOpaqueDirectoryIsNotStacked) {
  const auto base = make(std::nullopt, [](const TreeAt& tree) {
    tree.dir("d");
    tree.file("d/of the base", "x");
  });
  const auto opaque = make(base, [](const TreeAt& tree) {
    tree.remove("d");
    tree.dir("d");
    tree.file("d/new", "x");
  });
  const auto other = make(std::nullopt, [](const TreeAt& tree) {
    tree.dir("d");
    tree.file("d/of another", "x");
    tree.file("d/of the base", "x");
  });
  const auto merge = merged({{std::nullopt, other}, {base, opaque}});
  EXPECT_FALSE(counts.stacked);
  EXPECT_THAT(view(merge).names("d"), ElementsAre("new", "of another"));
  EXPECT_EQ(counts.linked, links() ? (stacks() ? 1u : 3u) : 0u);
  // Where every layer lies on what it was made on, the mark means what it says.
  const auto chain = merged({{std::nullopt, base}, {base, opaque}, {std::nullopt, make(std::nullopt, [](const TreeAt& tree) {
                                                                      tree.file("more", "x");
                                                                    })}});
  EXPECT_EQ(counts.stacked, stacks());
  EXPECT_THAT(view(chain).names("d"), ElementsAre("new"));
}

TEST_P(MergeTest, WhatIsCopiedUpButUnchangedHidesNothing) {
  const auto base = make(std::nullopt, [](const TreeAt& tree) { tree.file("f", "old"); });
  const auto opened = make(base, [](const TreeAt& tree) {
    tree.mode("f", 0644);  // copies it up
    tree.file("new", "x");
  });
  const auto other = make(std::nullopt, [](const TreeAt& tree) { tree.file("f", "of another"); });
  const auto merge = merged({{std::nullopt, other}, {base, opened}});
  EXPECT_FALSE(counts.stacked);
  EXPECT_EQ(view(merge).read("f"), "of another");
}

TEST_P(MergeTest, NoWhiteoutShows) {
  const auto base = make(std::nullopt, [](const TreeAt& tree) {
    tree.dir("d");
    tree.file("d/gone", "x");
    tree.file("d/stays", "x");
  });
  const auto removed = make(base, [](const TreeAt& tree) { tree.remove("d/gone"); });
  const auto merge = merged({{base, removed}});
  EXPECT_EQ(counts.stacked, stacks());
  EXPECT_THAT(view(merge).names("d"), ElementsAre());
}

// A directory that was a file for a while hides what is below; what goes from it then leaves no whiteout, which would show.
TEST_P(MergeTest, NoWhiteoutShowsInADirectoryThatWasMadeAnew) {
  const auto base = make(std::nullopt, [](const TreeAt& tree) {
    tree.dir("d");
    tree.file("d/gone", "x");
  });
  const auto removed = make(base, [](const TreeAt& tree) { tree.remove("d/gone"); });
  const auto empty = make(std::nullopt, [](const TreeAt&) {});
  const auto file = make(empty, [](const TreeAt& tree) { tree.file("d", "x"); });
  // Opened and left as it is, so that it is not stacked.
  const auto unchanged = make(base, [](const TreeAt& tree) { tree.mode("d/gone", 0644); });
  const auto merge = merged({{std::nullopt, base}, {empty, file}, {base, removed}, {base, unchanged}});
  EXPECT_FALSE(counts.stacked);
  EXPECT_THAT(view(merge).names("d"), ElementsAre());
}

TEST_P(MergeTest, ADirectoryReplacesADeviceAndASocketAndTheOtherWayRound) {
  // Their type bits overlap with those of directories.
  const auto nodes = make(std::nullopt, [](const TreeAt& tree) {
    tree.node("block", S_IFBLK | 0600, 7, 1);
    tree.node("socket", S_IFSOCK | 0600);
  });
  const auto directories = make(std::nullopt, [](const TreeAt& tree) {
    for (const char* name : {"block", "socket"}) {
      tree.dir(name);
      tree.file(std::string(name) + "/f", "x");
    }
  });
  for (const Copying copying : {Copying::avoid, Copying::always}) {
    const auto last_directories = merged({{std::nullopt, nodes}, {std::nullopt, directories}}, copying);
    EXPECT_THAT(view(last_directories).names("block"), ElementsAre("f"));
    EXPECT_THAT(view(last_directories).names("socket"), ElementsAre("f"));
    const auto last_nodes = merged({{std::nullopt, directories}, {std::nullopt, nodes}}, copying);
    EXPECT_TRUE(S_ISBLK(view(last_nodes).stat("block").st_mode));
    EXPECT_TRUE(S_ISSOCK(view(last_nodes).stat("socket").st_mode));
  }
}

TEST_P(MergeTest, OfNothingLeftAndOfWhatCannotBe) {
  const auto base = make(std::nullopt, [](const TreeAt& tree) { tree.file("f", "x"); });
  const auto other = make(std::nullopt, [](const TreeAt& tree) { tree.file("g", "x"); });
  EXPECT_THAT(view(merged({{std::nullopt, base}, {base, std::nullopt}, {std::nullopt, other}})).names(), ElementsAre("g"));
  EXPECT_THAT(view(merged({{std::nullopt, base}, {std::nullopt, other}, {base, std::nullopt}})).names(), ElementsAre("g"));
  EXPECT_THAT(view(merged({{std::nullopt, base}, {std::nullopt, base}})).names(), ElementsAre("f"));
  EXPECT_EQ(code_of(merge(snapshots(), {}, {})), base::ErrorCode::invalid_argument);
  const auto active = prepare(base);
  const std::vector<Delta> not_yet{{base, active}};
  EXPECT_EQ(code_of(merge(snapshots(), not_yet, {})), base::ErrorCode::invalid_argument);
  const std::vector<Delta> missing{{std::nullopt, SnapshotId(77777)}};
  EXPECT_EQ(code_of(merge(snapshots(), missing, {})), base::ErrorCode::not_found);
}

TEST_P(MergeTest, AFileWithAsManyLinksAsThereCanBeIsCopied) {
  const auto full = make(std::nullopt, [](const TreeAt& tree) { tree.file("f", "abc", 0640); });
  const auto other = make(std::nullopt, [](const TreeAt& tree) { tree.file("g", "x"); });
  if (GetParam() == "native") {  // the only driver that links here; the names lie outside of all trees
    const TreeAt store(root_.path().str());
    store.dir("names");
    const std::string file = store.at(fmt::format("trees/{}/fs/f", full));
    int made = 0;
    while (::link(file.c_str(), store.at(fmt::format("names/{}", made)).c_str()) == 0) ++made;
    ASSERT_EQ(errno, EMLINK) << "after " << made;
  }
  const auto merge = merged({{std::nullopt, other}, {std::nullopt, full}});
  EXPECT_EQ(view(merge).read("f"), "abc");
  EXPECT_EQ(view(merge).mode("f"), 0640u);
  EXPECT_EQ(counts.linked, GetParam() == "native" ? 1u : 0u);
  EXPECT_EQ(counts.bytes_copied, GetParam() == "native" ? 3u : 0u);
}

TEST_P(MergeTest, AMergeThatFailsLeavesNothing) {
  const auto base = make(std::nullopt, [](const TreeAt& tree) { tree.file("f", "x"); });
  const auto other = make(std::nullopt, [](const TreeAt& tree) { tree.file("g", "x"); });
  const auto before = trees_on_disk();
  std::stop_source source;
  source.request_stop();
  const std::vector<Delta> deltas{{std::nullopt, base}, {std::nullopt, other}};
  for (const Copying copying : {Copying::avoid, Copying::always}) {
    EXPECT_EQ(code_of(merge(snapshots(), deltas, {.copying = copying, .stop = source.get_token()})),
              base::ErrorCode::cancelled);
  }
  EXPECT_EQ(trees_on_disk(), before);
}

TEST_P(MergeTest, AMergeCanBePublishedAndDiffed) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) { tree.write("f", "x"); });
  const auto other = commit_with(std::nullopt, [](Tree& tree) { tree.write("g", "x"); });
  const auto merge = merged({{std::nullopt, base}, {std::nullopt, other}});
  publish({merge});
  restart();
  EXPECT_THAT(view(merge).names(), ElementsAre("f", "g"));
  std::vector<std::string> lines;
  ChangeCounts walked;
  must(diff(snapshots(), base, merge, [&](const Change& change) -> base::Status {
    lines.push_back(line_of(change));
    return {};
  }, {.counts = &walked}));
  EXPECT_THAT(lines, ElementsAre("add g"));
}

// One tree whichever way it is made: stacked, linked, or copied. Their streams go through the same applier when they are
// not stacked, so the stack is what this is about, and the raw uppers with their whiteouts.
// Seen to catch: stacking layers with opaque directories (after 28 runs, shrunk to four operations).
TEST_P(MergeTest, EveryWayShowsTheSame) {
  check_property("stacked or linked == copied", 40, [this] {
    const auto base = *random_ops(20).as("a");
    const auto child = *random_ops(15).as("b, a child of a");
    const auto other = *random_ops(20).as("c");
    const auto other_child = *random_ops(15).as("d, a child of c");
    const auto with = [&](std::optional<SnapshotId> parent, const Ops& ops) {
      return make(parent, [&](const TreeAt& tree) { run(ops, tree); });
    };
    const auto a = with(std::nullopt, base);
    const auto b = with(a, child);
    const auto c = with(std::nullopt, other);
    const auto d = with(c, other_child);
    const std::vector<std::vector<Delta>> merges = {
        {{std::nullopt, a}, {c, d}}, {{std::nullopt, b}, {std::nullopt, d}}, {{c, d}, {a, b}}, {{std::nullopt, c}, {a, b}, {c, d}}};
    for (std::size_t number = 0; number < merges.size(); ++number) {
      const auto quick = merged(merges[number]);
      const bool stacked = counts.stacked;
      RC_CLASSIFY(stacked, "stacked");
      const auto copied = merged(merges[number], Copying::always);
      // Which names are links depends on what the driver could share; the root's time on when it was made.
      auto expected = dump_of(copied);
      auto got = dump_of(quick);
      expected.erase(".");
      got.erase(".");
      const std::string wrong = difference(expected, got);
      if (!wrong.empty()) RC_FAIL(fmt::format("merge {}, {}:\n{}", number, stacked ? "stacked" : "not stacked", wrong));
      for (const auto id : {quick, copied}) must(snapshots().abandon(id));
    }
    for (const auto id : {d, c, b, a}) must(snapshots().abandon(id));
  });
}

INSTANTIATE_TEST_SUITE_P(Drivers, MergeTest, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });

}  // namespace
}  // namespace cairn::snapshot
