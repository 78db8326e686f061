// SPDX-License-Identifier: Apache-2.0
// diff() and apply_changes() on every driver: the law, the ways, what they cost, and that siblings do not feel each other.
#include "libsnapshot/diff.h"

#include "tests/conformance/snapshotter_places.h"
#include "tests/libsnapshot_changes/random_ops.h"
#include "tests/libsnapshot_changes/trees.h"

namespace cairn::snapshot {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Stream = std::vector<std::string>;

class DiffTest : public SnapshotterSuite {
 protected:
  SnapshotId freeze_after(std::optional<SnapshotId> parent, const std::function<void(const TreeAt&)>& change) {
    return freeze_with(parent, [&](Tree& tree) { change(TreeAt::of(tree.fd())); });
  }
  Stream lines(std::optional<SnapshotId> lower, SnapshotId upper, ChangeOptions options = {}, Way way = Way::cheapest) {
    options.counts = &counts;
    Stream found;
    must(diff(snapshots(), lower, upper, [&](const Change& change) -> base::Status {
      found.push_back(line_of(change));
      return {};
    }, options, way));
    return found;
  }
  std::map<std::string, std::string> dump_of(SnapshotId id) { return dump(view(id).fd()); }
  bool stacks() const { return GetParam() == "overlay"; }

  // A fork of lower (or of nothing) that the changes to upper were applied to.
  SnapshotId applied(std::optional<SnapshotId> lower, SnapshotId upper, Way way) {
    const auto fork = prepare(lower);
    {
      const auto tree = must(snapshots().mount(fork, Access::read_write));
      must(apply_changes(tree, [&](const ChangeVisitor& visitor) {
        return diff(snapshots(), lower, upper, visitor, {.replay = Replay::hard_links}, way);
      }));
    }
    must(snapshots().freeze(fork));
    return fork;
  }

  ChangeCounts counts;
};

TEST_P(DiffTest, OfAChildIsWhatWasDoneToIt) {
  const auto parent = freeze_after(std::nullopt, [](const TreeAt& tree) {
    tree.dir("d");
    tree.file("d/gone", "x");
    tree.file("same", "x");
    tree.file("written", "x");
    tree.time_all(1600000000, 5);
  });
  const auto child = freeze_after(parent, [](const TreeAt& tree) {
    tree.remove("d/gone");
    tree.file("d/new", "x");
    tree.file("written", "longer");
    for (const char* path : {"d", "."}) tree.time(path, 1600000000, 5);
  });
  const Stream expected{"remove d/gone", "add d/new", "modify written"};
  EXPECT_EQ(lines(parent, child), expected);
  EXPECT_EQ(lines(parent, child, {}, Way::walk), expected);
  EXPECT_THAT(lines(child, parent), ElementsAre("add d/gone", "remove d/new", "modify written"));
  EXPECT_THAT(lines(parent, parent), IsEmpty());
  EXPECT_THAT(lines(std::nullopt, parent),
              ElementsAre("modify . (not in layer)", "add d", "add d/gone", "add same", "add written"));
}

TEST_P(DiffTest, WorksOnCommittedSnapshotsAndAcrossGenerations) {
  const auto first = commit_with(std::nullopt, [](Tree& tree) {
    tree.write("a", "x");
    TreeAt::of(tree.fd()).time_all(1600000000, 5);
  });
  const auto second = commit_with(first, [](Tree& tree) { tree.write("b", "x"); });
  const auto third = commit_with(second, [](Tree& tree) { tree.remove("a"); });
  restart();
  EXPECT_THAT(lines(first, third), ElementsAre("modify . (not in layer)", "remove a", "add b"));
}

TEST_P(DiffTest, OfAnActiveSnapshotIsRefused) {
  const auto parent = freeze_after(std::nullopt, [](const TreeAt&) {});
  const auto active = prepare(parent);
  const auto visit = [](const Change&) { return base::Status(); };
  EXPECT_EQ(code_of(diff(snapshots(), parent, active, visit, {})), base::ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(diff(snapshots(), active, parent, visit, {})), base::ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(diff(snapshots(), parent, SnapshotId(77777), visit, {})), base::ErrorCode::not_found);
}

TEST_P(DiffTest, CanBeStopped) {
  const auto parent = freeze_after(std::nullopt, [](const TreeAt& tree) { tree.file("a", "x"); });
  const auto child = freeze_after(parent, [](const TreeAt& tree) { tree.file("b", "x"); });
  std::stop_source source;
  const auto stopped = diff(snapshots(), parent, child, [&](const Change&) -> base::Status {
    source.request_stop();
    return {};
  }, {.stop = source.get_token()});
  EXPECT_EQ(code_of(stopped), base::ErrorCode::cancelled);
}

TEST_P(DiffTest, OfAFlattenedParentStillFindsItsChild) {
  restart(2);
  auto id = freeze_after(std::nullopt, [](const TreeAt& tree) { tree.file("0", "x"); });
  for (int generation = 1; generation < 5; ++generation) {
    const auto child = freeze_after(id, [&](const TreeAt& tree) {
      tree.file(std::to_string(generation), "x");
      tree.time(".", 1600000000, 5);
    });
    const Stream found = lines(id, child);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.back(), fmt::format("add {}", generation));
    id = child;
  }
}

TEST_P(DiffTest, CostsTheChangeWhereTheDriverStacks) {
  const auto parent = freeze_after(std::nullopt, [](const TreeAt& tree) {
    for (int directory = 0; directory < 10; ++directory) {
      tree.dir(std::to_string(directory));
      for (int file = 0; file < 30; ++file) tree.file(fmt::format("{}/{}", directory, file), "content");
    }
    tree.time_all(1600000000, 5);
  });
  const auto child = freeze_after(parent, [](const TreeAt& tree) {
    tree.file("3/3", "longer than before");
    tree.remove("4/4");
  });
  EXPECT_THAT(lines(parent, child), ElementsAre("modify 3/3", "modify 4 (not in layer)", "remove 4/4"));
  if (GetParam() == "btrfs") {
    EXPECT_EQ(counts.directories, 6u);  // the root, 3 and 4 of both
    EXPECT_EQ(counts.entries, 2u + 4u + 2u);
    EXPECT_EQ(counts.bytes_read, 0u);
  } else if (stacks()) {
    EXPECT_EQ(counts.directories, 3u);
    EXPECT_EQ(counts.entries, 2u + 3u + 2u + 3u + 2u);
    EXPECT_EQ(counts.bytes_read, 0u);
  } else {  // at most a walk of everything, which a driver that knows more need not make
    EXPECT_LE(counts.directories, 22u);
    EXPECT_LE(counts.entries, 2u + 20u + 2u * 299u);
    EXPECT_LE(counts.bytes_read, 2u * 298u * 7u);
  }
}

TEST_P(DiffTest, CarriesHolesOwnersAndCapabilities) {
  const std::string capability("\1\0\0\2\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  const auto upper = freeze_after(std::nullopt, [&](const TreeAt& tree) {
    tree.file("sparse", "x");
    ASSERT_EQ(::truncate(tree.at("sparse").c_str(), 64 << 20), 0);
    tree.file("tool", "x", 04755);
    tree.owner("tool", 7, 8);
    tree.mode("tool", 04755);
    tree.xattr("tool", "security.capability", capability);
  });
  const auto copy = applied(std::nullopt, upper, Way::cheapest);
  EXPECT_EQ(difference(dump_of(upper), dump_of(copy)), "");
  EXPECT_LE(view(copy).stat("sparse").st_blocks, 64);
}

// Nothing else of the store changes when one snapshot does, and the streams lead where they say.
void check_family(const std::function<Stream(SnapshotId, SnapshotId, Way)>& lines,
                  const std::function<std::string(SnapshotId, SnapshotId, Way)>& wrong,
                  const std::vector<std::pair<SnapshotId, SnapshotId>>& pairs) {
  const auto without_links = [](Stream stream) {
    std::erase_if(stream, [](const std::string& line) { return line.starts_with("relink ") || line.starts_with("unmodified "); });
    return stream;
  };
  for (const auto& [lower, upper] : pairs) {
    RC_ASSERT(without_links(lines(lower, upper, Way::cheapest)) == without_links(lines(lower, upper, Way::walk)));
    for (const Way way : {Way::cheapest, Way::walk}) {
      const std::string difference = wrong(lower, upper, way);
      if (!difference.empty()) RC_FAIL(fmt::format("{} to {}:\n{}", lower, upper, difference));
    }
  }
}

TEST_P(DiffTest, AppliedToTheLowerTreeMakesTheUpperOne) {
  check_property("apply(diff(a, b), a) == b", 40, [this] {
    const auto base = *random_ops(25).as("a");
    const auto child = *random_ops(25).as("b, a child of a");
    const auto grandchild = *random_ops(15).as("c, a child of b");
    const auto sibling = *random_ops(15).as("d, a child of a");
    const auto make = [&](std::optional<SnapshotId> parent, const Ops& ops) {
      return freeze_after(parent, [&](const TreeAt& tree) { run(ops, tree); });
    };
    const auto a = make(std::nullopt, base);
    const auto before = dump_of(a);
    const auto b = make(a, child);
    const auto b_before = dump_of(b);
    const auto c = make(b, grandchild);
    const auto d = make(a, sibling);
    check_family([&](SnapshotId lower, SnapshotId upper, Way way) { return lines(lower, upper, {}, way); },
                 [&](SnapshotId lower, SnapshotId upper, Way way) {
                   const auto copy = applied(lower, upper, way);
                   const auto text = difference(dump_of(upper), dump_of(copy));
                   must(snapshots().abandon(copy));
                   return text;
                 },
                 {{a, b}, {a, c}, {b, c}, {b, d}, {c, a}});
    RC_ASSERT(difference(before, dump_of(a)) == "");
    RC_ASSERT(difference(b_before, dump_of(b)) == "");
    for (const auto id : {c, b, d, a}) must(snapshots().abandon(id));
  });
}

INSTANTIATE_TEST_SUITE_P(Drivers, DiffTest, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });

}  // namespace
}  // namespace cairn::snapshot
