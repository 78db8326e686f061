// SPDX-License-Identifier: Apache-2.0
// The walk that looks only where the uppers of overlays say: what it finds, what it costs, and that it finds what the walk
// of everything finds, on random trees.
#include <algorithm>
#include <sys/xattr.h>

#include "libsnapshot/changes/applier.h"
#include "libsnapshot/changes/layered_walk.h"
#include "libsnapshot/mounts/detached.h"
#include "libsnapshot/trees/copy.h"
#include "tests/libsnapshot_changes/random_ops.h"
#include "tests/libsnapshot_changes/trees.h"
#include "tests/support/temp_dir.h"

namespace cairn::snapshot {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A directory, and overlays stacked on it one by one, each changed through its mount.
class Stack {
 public:
  Stack() {
    TreeAt(scratch_.path().str()).dir("0");
    layers_.push_back(TreeAt((scratch_ / "0").str()).open());
  }

  TreeAt base() const { return TreeAt((scratch_ / "0").str()); }
  std::size_t height() const { return layers_.size(); }
  int layer(std::size_t number) const { return layers_[number].get(); }
  std::vector<int> layers(std::size_t first, std::size_t end) const {
    std::vector<int> fds;
    for (; first < end; ++first) fds.push_back(layers_[first].get());
    return fds;
  }

  // A new layer with the root of the one below; change it through the mount.
  template <class Change>
  void push(Change&& change) {
    const std::string name = std::to_string(layers_.size());
    const TreeAt scratch(scratch_.path().str());
    scratch.dir(name);
    scratch.dir("work" + name);
    base::Fd upper = TreeAt((scratch_ / name).str()).open();
    must(copy_directory_metadata(layers_.back().get(), upper.get(), OverlayMarks::drop));
    auto overlay = must(OverlayBuilder::start());
    must(overlay.set_upper(upper.get(), TreeAt((scratch_ / ("work" + name)).str()).open().get()));
    for (auto lower = layers_.rbegin(); lower != layers_.rend(); ++lower) must(overlay.add_lower(lower->get()));
    {
      const auto mount = must(overlay.finish());
      change(TreeAt::of(mount.directory.get()));
    }
    layers_.push_back(std::move(upper));
  }

  // What the lowest `height` layers show.
  DetachedMount view(std::size_t height) const {
    if (height == 1) return must(mount_directory(layers_[0].get(), Access::read_only));
    auto overlay = must(OverlayBuilder::start());
    for (std::size_t left = height; left > 0; --left) must(overlay.add_lower(layers_[left - 1].get()));
    return must(overlay.finish());
  }

 private:
  test::TempDir scratch_;
  std::vector<base::Fd> layers_;
};

using Stream = std::vector<std::string>;

ChangeVisitor collect(Stream& lines) {
  return [&lines](const Change& change) -> base::Status {
    lines.push_back(line_of(change));
    return {};
  };
}

Stream layered(const Stack& stack, std::size_t below, ChangeOptions options = {}) {
  const auto lower = stack.view(below);
  const auto upper = stack.view(stack.height());
  Stream lines;
  must(changes_in_layers(lower.directory.get(), upper.directory.get(), stack.layers(below, stack.height()), collect(lines),
                         options));
  return lines;
}

// What only concerns the grouping of names may be told differently.
Stream without_links(Stream lines) {
  std::erase_if(lines, [](const std::string& line) { return line.starts_with("relink ") || line.starts_with("unmodified "); });
  return lines;
}

TEST(LayeredWalk, SeesWhiteoutsCopiesAndNewNames) {
  Stack stack;
  for (const char* name : {"gone", "kept", "written", "opened"}) stack.base().file(name, "x");
  stack.base().dir("d");
  stack.base().file("d/f", "x");
  stack.base().time_all(1600000000, 5);
  stack.push([](const TreeAt& tree) {
    tree.remove("gone");
    tree.file("written", "longer");
    tree.xattr("opened", "user.a", "1");
    ASSERT_EQ(::lremovexattr(tree.at("opened").c_str(), "user.a"), 0);
    tree.file("d/new", "x");
    tree.remove("d/f");
    tree.time("d", 1600000000, 5);
    tree.time(".", 1600000000, 5);
  });
  EXPECT_THAT(layered(stack, 1), ElementsAre("remove d/f", "add d/new", "remove gone", "modify written"));
}

TEST(LayeredWalk, AnOpaqueDirectoryIsExpandedOrKept) {
  Stack stack;
  stack.base().dir("d");
  for (const char* name : {"d/a", "d/b", "d/c"}) stack.base().dir(name);
  stack.base().file("d/b/f", "x");
  stack.base().time_all(1600000000, 5);
  stack.push([](const TreeAt& tree) {
    tree.remove("d");
    tree.dir("d");
    tree.dir("d/b");
    for (const char* path : {"d/b", "d", "."}) tree.time(path, 1600000000, 5);
  });
  EXPECT_THAT(layered(stack, 1), ElementsAre("remove d/a", "remove d/b/f", "remove d/c"));
  EXPECT_THAT(layered(stack, 1, {.opaque = Opaque::keep}), ElementsAre("opaque d", "add d/b"));
}

TEST(LayeredWalk, ARemovedDirectoryIsComparedWholeWhenALaterLayerHasItAgain) {
  Stack stack;
  stack.base().dir("d");
  stack.base().file("d/f", "x");
  stack.base().time_all(1600000000, 5);
  stack.push([](const TreeAt& tree) { tree.remove("d"); });
  stack.push([](const TreeAt& tree) {
    tree.dir("d");
    tree.file("d/g", "x");
  });
  EXPECT_THAT(layered(stack, 1), ElementsAre("modify . (not in layer)", "modify d (not in layer)", "remove d/f", "add d/g"));
}

TEST(LayeredWalk, ALaterLayerCanUndoAnEarlierOne) {
  Stack stack;
  stack.base().dir("d");
  stack.base().file("d/f", "x");
  stack.base().time_all(1600000000, 5);
  stack.push([](const TreeAt& tree) { tree.file("d/new", "x"); });
  stack.push([](const TreeAt& tree) { tree.remove("d/new"); });
  EXPECT_THAT(layered(stack, 1), ElementsAre("modify d (not in layer)"));
}

TEST(LayeredWalk, AFileThatLeftItsLinksIsARelink) {
  Stack stack;
  stack.base().file("a", "x");
  stack.base().link("b", "a");
  stack.base().time_all(1600000000, 5);
  stack.push([](const TreeAt& tree) { tree.mode("b", 0644); });
  EXPECT_THAT(layered(stack, 1), ElementsAre("relink b (not in layer)"));
}

// A mount of uppers without the tree that they were made on, as merges are: its whiteouts stand for nothing, and the kernel
// lists them all the same.
TEST(LayeredWalk, AWhiteoutThatNothingLiesUnderIsNoEntry) {
  Stack stack;
  stack.base().dir("d");
  stack.base().file("d/f", "x");
  stack.push([](const TreeAt& tree) {
    tree.remove("d/f");
    tree.file("d/g", "x");
  });
  auto overlay = must(OverlayBuilder::start());
  const test::TempDir empty;
  must(overlay.add_lower(stack.layer(1)));
  must(overlay.add_lower(TreeAt(empty.path().str()).open().get()));
  const auto mount = must(overlay.finish());
  EXPECT_THAT(stream(std::nullopt, mount.directory.get()), ElementsAre("modify . (not in layer)", "add d", "add d/g"));
}

TEST(LayeredWalk, CostsWhatTheUpperHolds) {
  Stack stack;
  for (int directory = 0; directory < 20; ++directory) {
    const std::string name = fmt::format("d{}", directory);
    stack.base().dir(name);
    for (int file = 0; file < 50; ++file) stack.base().file(fmt::format("{}/f{}", name, file), "x");
  }
  stack.base().time_all(1600000000, 5);
  stack.push([](const TreeAt& tree) {
    for (int file = 0; file < 5; ++file) tree.file(fmt::format("d3/f{}", file), "longer");
    tree.remove("d7");
  });
  ChangeCounts counts;
  EXPECT_THAT(layered(stack, 1, {.counts = &counts}),
              ElementsAre("modify . (not in layer)", "modify d3/f0", "modify d3/f1", "modify d3/f2", "modify d3/f3",
                          "modify d3/f4", "remove d7"));
  EXPECT_EQ(counts.directories, 2u);          // of the upper: the root and d3
  EXPECT_EQ(counts.entries, 2u + 3u + 2u + 10u);  // the root, d3 (in the layer too), d7, five files
  EXPECT_EQ(counts.bytes_read, 0u);
}

// All that a reader of a failing run needs: what was done in which layer, and what went wrong.
void compare_walks(const Stack& stack, std::size_t below) {
  const auto lower = stack.view(below);
  const auto upper = stack.view(stack.height());
  Stream walked;
  must(changes_between(lower.directory.get(), upper.directory.get(), collect(walked), {}));
  RC_ASSERT(without_links(layered(stack, below)) == without_links(walked));
}

enum class Way { layered, everything, opaque_kept };

void check_law(const Stack& stack, std::size_t below, Way way) {
  const auto lower = stack.view(below);
  const auto upper = stack.view(stack.height());
  const test::TempDir copy_dir;
  const TreeAt copy(copy_dir.path().str());
  const base::Fd target = copy.open();
  {
    ChangeApplier copier(target.get(), {});
    must(changes_between(std::nullopt, lower.directory.get(), [&](const Change& change) { return copier.apply(change); },
                         {.replay = Replay::hard_links}));
    must(copier.finish());
  }
  ChangeApplier applier(target.get(), {});
  const ChangeVisitor apply = [&](const Change& change) { return applier.apply(change); };
  ChangeOptions options{.replay = Replay::hard_links};
  if (way == Way::opaque_kept) options.opaque = Opaque::keep;
  const auto walked = way == Way::everything
                          ? changes_between(lower.directory.get(), upper.directory.get(), apply, options)
                          : changes_in_layers(lower.directory.get(), upper.directory.get(),
                                              stack.layers(below, stack.height()), apply, options);
  if (!walked) RC_FAIL(walked.error().message);
  must(applier.finish());
  const std::string wrong = difference(dump(upper.directory.get()), dump(target.get()));
  if (!wrong.empty()) RC_FAIL(wrong);
}

// Seen to catch: not expanding an opaque directory ("make_again b, write b/a" in one layer, "make_again b" in the next, after
// one run and 15 shrinks).
TEST(LayeredWalk, FindsWhatAWalkOfEverythingFinds) {
  check_property("the layered walk equals the walk of everything, and both take a to b", 60, [] {
    const auto base = *random_ops(30).as("base");
    const auto layers = *rc::gen::resize(3, rc::gen::nonEmpty(rc::gen::container<std::vector<Ops>>(random_ops(25)))).as("layers");
    Stack stack;
    run(base, stack.base());
    for (const auto& ops : layers) stack.push([&](const TreeAt& tree) { run(ops, tree); });
    for (std::size_t below = 1; below < stack.height(); ++below) {
      compare_walks(stack, below);
      for (const Way way : {Way::layered, Way::everything, Way::opaque_kept}) check_law(stack, below, way);
    }
  });
}

}  // namespace
}  // namespace cairn::snapshot
