// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part three: merges that stack the own changes of other snapshots.
// Drivers that make complete trees refuse them, and that is a case, too. Included by snapshotter_suite.h.
#pragma once

#include "tests/conformance/snapshotter_fixture.h"

namespace cairn::snapshot {

using base::ErrorCode;
using testing::ElementsAre;

class SnapshotterStackSuite : public SnapshotterSuite {
 protected:
  // The three inputs of most cases: a, and b and c that changed it independently.
  void make_inputs() {
    a_ = commit_with(std::nullopt, [](Tree& tree) {
      tree.write("base", "a");
      tree.make_dir("d");
      tree.write("d/kept", "a");
      tree.write("d/removed", "a");
    });
    b_ = commit_with(a_, [](Tree& tree) {
      tree.write("b", "b");
      tree.write("both", "b");
      tree.remove("d/removed");
    });
    c_ = commit_with(a_, [](Tree& tree) {
      tree.write("c", "c");
      tree.write("both", "c");
      tree.chmod("d", 0700);
    });
  }
  SnapshotId a_, b_, c_;
};

TEST_P(SnapshotterStackSuite, AMergeShowsTheOwnChangesOfWhatItStacks) {
  make_inputs();
  const std::vector<SnapshotId> inputs = {c_, b_, a_};
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack(inputs)), ErrorCode::unavailable);
    return;
  }
  const auto merge = must(snapshots().prepare_stack(inputs));
  write_to(merge).write("own", "m");
  must(snapshots().freeze(merge));
  const auto check = [&](SnapshotId id) {
    Tree tree = view(id);
    EXPECT_THAT(tree.names(), ElementsAre("b", "base", "both", "c", "d", "own"));
    EXPECT_EQ(tree.read("both"), "c");
    EXPECT_THAT(tree.names("d"), ElementsAre("kept"));
    EXPECT_EQ(tree.mode("d"), 0700u);
  };
  check(merge);
  auto about = must(snapshots().stat(merge));
  EXPECT_EQ(about.parent, SnapshotId());
  EXPECT_EQ(about.stacked_on, inputs);
  EXPECT_EQ(about.depth, 4u);
  publish({merge});
  about = must(snapshots().stat(merge));
  EXPECT_EQ(about.stacked_on, inputs);
  EXPECT_EQ(about.depth, 4u);
  check(merge);
  const auto child = commit_with(merge, [](Tree& tree) { tree.remove("b"); });
  restart();
  check(merge);
  EXPECT_EQ(must(snapshots().stat(child)).depth, 5u);
  EXPECT_THAT(view(child).names(), ElementsAre("base", "both", "c", "d", "own"));
  EXPECT_THAT(view(c_).names(), ElementsAre("base", "both", "c", "d")) << "the inputs are as they were";
  EXPECT_EQ(bytes_in_rows(), bytes_on_disk());
}

TEST_P(SnapshotterStackSuite, OnlyWhatIsListedIsStacked) {
  make_inputs();
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack(std::vector{b_})), ErrorCode::unavailable);
    return;
  }
  const auto merge = must(snapshots().prepare_stack(std::vector{c_, b_}));
  Tree tree = write_to(merge);
  EXPECT_FALSE(tree.exists("base"));
  EXPECT_EQ(tree.read("b"), "b");
  EXPECT_FALSE(tree.exists("d/kept"));
  tree.write("both", "merged");
  EXPECT_EQ(view(c_).read("both"), "c");
}

TEST_P(SnapshotterStackSuite, WhatAMergeStacksOutlivesIt) {
  make_inputs();
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack(std::vector{b_, a_})), ErrorCode::unavailable);
    return;
  }
  // Live, then committed, then committed and read from its row.
  const auto merge = must(snapshots().prepare_stack(std::vector{b_, c_}));
  EXPECT_EQ(code_of(retire(b_)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(retire(c_)), ErrorCode::invalid_argument);
  must(snapshots().freeze(merge));
  publish({merge});
  EXPECT_EQ(code_of(retire(b_)), ErrorCode::invalid_argument);
  restart();
  EXPECT_EQ(code_of(retire(b_)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(retire(c_)), ErrorCode::invalid_argument);
  must(retire(merge));
  must(retire(c_));
  must(retire(b_));
  must(retire(a_));
  erase_trash();
  EXPECT_TRUE(trees_on_disk().empty());
}

TEST_P(SnapshotterStackSuite, AnAbandonedMergeLetsGo) {
  make_inputs();
  const auto frozen = freeze_with(c_, [](Tree& tree) { tree.write("f", "f"); });
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack(std::vector{frozen})), ErrorCode::unavailable);
    return;
  }
  const auto merge = must(snapshots().prepare_stack(std::vector{frozen, b_}));
  EXPECT_THAT(view(merge).names(), ElementsAre("b", "both", "d", "f"));
  EXPECT_EQ(code_of(snapshots().abandon(frozen)), ErrorCode::invalid_argument);
  must(snapshots().abandon(merge));
  must(snapshots().abandon(frozen));
  must(retire(b_));
}

TEST_P(SnapshotterStackSuite, WhatCannotBeStackedIsRefusedAndNothingStaysPinned) {
  make_inputs();
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack({})), ErrorCode::unavailable);
    return;
  }
  const auto active = prepare();
  const auto refused = [&](const std::vector<SnapshotId>& list) { return code_of(snapshots().prepare_stack(list)); };
  EXPECT_EQ(refused({}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({b_, b_}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({b_, active}), ErrorCode::invalid_argument);
  EXPECT_EQ(refused({b_, SnapshotId(4711)}), ErrorCode::not_found);
  EXPECT_EQ(refused(std::vector<SnapshotId>(401, b_)), ErrorCode::invalid_argument);
  must(retire(b_));
}

TEST_P(SnapshotterStackSuite, ACompleteTreeWithAParentIsRefused) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  store_.reset();
  store_ = std::make_unique<OpenStore>(root_.path(), "native");
  const auto complete = commit_with(lower, [](Tree& tree) { tree.write("b", "2"); });
  restart();
  const auto outcome = code_of(snapshots().prepare_stack(std::vector{complete, lower}));
  EXPECT_EQ(outcome, stacks() ? ErrorCode::invalid_argument : ErrorCode::unavailable);
  must(retire(complete));
}

TEST_P(SnapshotterStackSuite, PublishNeedsEveryStackedSnapshotPublished) {
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack({})), ErrorCode::unavailable);
    return;
  }
  const auto one = freeze_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  const auto two = freeze_with(std::nullopt, [](Tree& tree) { tree.write("b", "2"); });
  const auto merge = must(snapshots().prepare_stack(std::vector{one, two}));
  must(snapshots().freeze(merge));
  publish({one});
  const auto early = store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().publish(txn, merge); });
  EXPECT_EQ(code_of(early), ErrorCode::invalid_argument);
  publish({two, merge});
  EXPECT_EQ(must(snapshots().stat(merge)).kind, Kind::committed);
}

TEST_P(SnapshotterStackSuite, MarksTellWhatStandsInTheWay) {
  make_inputs();
  const auto opaque = commit_with(a_, [](Tree& tree) {
    tree.remove("d");
    tree.make_dir("d");
    tree.write("d/new", "x");
  });
  const auto marks = [&](SnapshotId id) { return must(snapshots().stat(id)).marks; };
  EXPECT_EQ(marks(a_), LayerMarks{});
  EXPECT_EQ(marks(b_), (LayerMarks{.opaque = false, .whiteouts = stacks()}));
  EXPECT_EQ(marks(c_), LayerMarks{});
  EXPECT_EQ(marks(opaque), (LayerMarks{.opaque = stacks(), .whiteouts = false}));
}

}  // namespace cairn::snapshot
