// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part four: what is told about snapshots (stat, usage, walk), their
// labels, and views. Included by snapshotter_suite.h.
#pragma once

#include <algorithm>

#include "tests/conformance/snapshotter_fixture.h"

namespace cairn::snapshot {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class SnapshotterLookSuite : public SnapshotterSuite {
 protected:
  std::vector<SnapshotId> walk(const std::vector<std::string>& filters) {
    std::vector<SnapshotId> ids;
    must(snapshots().walk(filters, [&](const SnapshotInfo& info) -> base::Result<base::lmdb::Scan> {
      ids.push_back(info.id);
      return base::lmdb::Scan::next;
    }));
    return ids;
  }
  base::Result<SnapshotInfo> update(SnapshotId id, const Labels& labels, const std::vector<std::string>& fields) {
    return snapshots().update(id, labels, fields, *store_->writer);
  }
  SnapshotId commit_labelled(std::optional<SnapshotId> parent, const Labels& labels) {
    const auto id = must(snapshots().prepare(parent, labels));
    must(snapshots().freeze(id));
    publish({id});
    return id;
  }
};

TEST_P(SnapshotterLookSuite, StatActive) {
  const auto id = must(snapshots().prepare(std::nullopt, {{"containerd.io/gc.root", "2026"}}));
  const auto about = must(snapshots().stat(id));
  EXPECT_EQ(about.id, id);
  EXPECT_EQ(about.kind, Kind::active);
  EXPECT_EQ(about.parent, SnapshotId());
  EXPECT_EQ(about.labels, (Labels{{"containerd.io/gc.root", "2026"}}));
  EXPECT_GT(base::to_unix_ns(about.created), 0);
  EXPECT_EQ(about.updated, about.created);
}

// There, the key of the active one is gone and the committed one has a new name; here the id stays (its kind changes).
TEST_P(SnapshotterLookSuite, StatComitted) {
  const auto before = must(snapshots().stat(commit_labelled(std::nullopt, {{"a", "1"}})));
  EXPECT_EQ(before.kind, Kind::committed);
  EXPECT_EQ(before.labels, (Labels{{"a", "1"}}));
  EXPECT_EQ(before.updated, before.created);
  restart();
  const auto after = must(snapshots().stat(before.id));
  EXPECT_EQ(after.kind, Kind::committed);
  EXPECT_EQ(after.labels, before.labels);
  EXPECT_EQ(after.created, before.created);
  EXPECT_EQ(after.usage, before.usage);
}

TEST_P(SnapshotterLookSuite, Update) {
  const auto committed = commit_labelled(std::nullopt, {{"keep", "1"}, {"drop", "1"}});
  const auto active = must(snapshots().prepare(committed, Labels{{"keep", "1"}, {"drop", "1"}}));
  const auto frozen = must(snapshots().prepare(committed, Labels{{"keep", "1"}, {"drop", "1"}}));
  must(snapshots().freeze(frozen));
  const auto seen = must(snapshots().view(committed, Labels{{"keep", "1"}, {"drop", "1"}}));
  for (const auto id : {committed, active, frozen, seen}) {
    const auto before = must(snapshots().stat(id));
    // One key set, one deleted by an empty value, one deleted by its absence, one left alone.
    auto about = must(update(id, {{"new", "n"}, {"drop", ""}, {"not named", "x"}}, {"labels.new", "labels.drop"}));
    EXPECT_EQ(about.labels, (Labels{{"keep", "1"}, {"new", "n"}}));
    EXPECT_EQ(about.created, before.created);
    EXPECT_GT(about.updated, before.updated);
    about = must(update(id, {}, {"labels.new"}));
    EXPECT_EQ(about.labels, (Labels{{"keep", "1"}}));
    // All replaced, with the field and without any.
    about = must(update(id, {{"a", "1"}}, {"labels"}));
    EXPECT_EQ(about.labels, (Labels{{"a", "1"}}));
    about = must(update(id, {{"b", "2"}}, {}));
    EXPECT_EQ(about.labels, (Labels{{"b", "2"}}));
    EXPECT_EQ(must(snapshots().stat(id)).labels, about.labels);
    for (const std::string field : {"kind", "parent", "name", "created", "labels.", "label.x", ""}) {
      EXPECT_EQ(code_of(update(id, {{"c", "3"}}, {"labels.b", field})), ErrorCode::invalid_argument) << field;
    }
    EXPECT_EQ(code_of(update(id, {{"k", std::string(5000, 'x')}}, {"labels.k"})), ErrorCode::invalid_argument);
    EXPECT_EQ(must(snapshots().stat(id)).labels, (Labels{{"b", "2"}})) << "a refused update changes nothing";
  }
  EXPECT_EQ(code_of(update(SnapshotId(4711), {}, {})), ErrorCode::not_found);
  publish({frozen});
  restart();
  EXPECT_EQ(must(snapshots().stat(committed)).labels, (Labels{{"b", "2"}}));
  EXPECT_EQ(must(snapshots().stat(frozen)).labels, (Labels{{"b", "2"}}));
}

TEST_P(SnapshotterLookSuite, LabelsOverTheirBoundsAreRefused) {
  const auto parent = commit_with(std::nullopt, nothing);
  const Labels labels = {{"k", std::string(5000, 'x')}};
  EXPECT_EQ(code_of(snapshots().prepare(parent, labels)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().view(parent, labels)), ErrorCode::invalid_argument);
  EXPECT_THAT(snapshots().unpublished(), IsEmpty());
  must(retire(parent));
}

TEST_P(SnapshotterLookSuite, Walk) {
  const auto name = [](SnapshotId id) { return fmt::format("{}", id); };
  const auto c1 = commit_labelled(std::nullopt, {{"l", "c"}, {"odd", "yes"}});
  const auto c2 = commit_labelled(c1, {{"l", "c"}});
  const auto c3 = commit_labelled(c2, {{"l", "d"}, {"odd", "yes"}});
  const auto a1 = must(snapshots().prepare(std::nullopt, Labels{{"l", "a"}, {"odd", "yes"}}));
  const auto a2 = must(snapshots().prepare(c1, Labels{{"l", "a"}}));
  const auto a3 = must(snapshots().prepare(c3, Labels{{"with space", "a,b\"c"}}));
  const auto v1 = must(snapshots().view(c1, Labels{{"l", "v"}, {"odd", "yes"}}));
  const auto v2 = must(snapshots().view(c2, {}));
  const auto f1 = must(snapshots().prepare(c2, {}));
  must(snapshots().freeze(f1));

  EXPECT_THAT(walk({}), UnorderedElementsAre(c1, c2, c3, a1, a2, a3, v1, v2, f1));
  EXPECT_THAT(walk({"kind==active"}), UnorderedElementsAre(a1, a2, a3));
  EXPECT_THAT(walk({"kind==view"}), UnorderedElementsAre(v1, v2));
  EXPECT_THAT(walk({"kind==committed"}), ElementsAre(c1, c2, c3));
  EXPECT_THAT(walk({"kind==frozen"}), ElementsAre(f1));
  EXPECT_THAT(walk({"kind==view", "kind==frozen"}), UnorderedElementsAre(v1, v2, f1));
  EXPECT_THAT(walk({"name==" + name(c1), "id==" + name(v2)}), UnorderedElementsAre(c1, v2));
  EXPECT_THAT(walk({"parent==" + name(c1)}), UnorderedElementsAre(c2, a2, v1));
  EXPECT_THAT(walk({"parent!=\"\""}), UnorderedElementsAre(c2, c3, a2, a3, v1, v2, f1));
  EXPECT_THAT(walk({"parent"}), UnorderedElementsAre(c2, c3, a2, a3, v1, v2, f1));
  EXPECT_THAT(walk({"parent=="}), UnorderedElementsAre(c1, a1));
  EXPECT_THAT(walk({"labels.l"}), UnorderedElementsAre(c1, c2, c3, a1, a2, v1));
  EXPECT_THAT(walk({"labels.l==a"}), UnorderedElementsAre(a1, a2));
  EXPECT_THAT(walk({"labels.l!=a,labels.l"}), UnorderedElementsAre(c1, c2, c3, v1));
  EXPECT_THAT(walk({"labels.l==c,labels.odd==yes"}), ElementsAre(c1));
  EXPECT_THAT(walk({"kind==active,parent!=\"\"", "kind==committed,labels.\"odd\"!=yes"}),
              UnorderedElementsAre(a2, a3, c2));
  EXPECT_THAT(walk({R"(labels."with space"=="a,b\"c")"}), ElementsAre(a3));
  EXPECT_THAT(walk({"kind==nonsense"}), IsEmpty());
  for (const std::string bad : {"", "kind=active", "kind~=a", "nothing==x", "kind==active,", "labels.", "labels.\"a",
                                "kind==active extra", ",", "parent==a b"}) {
    EXPECT_EQ(code_of(snapshots().walk(std::vector{bad}, [](const SnapshotInfo&) { return base::lmdb::Scan::next; })),
              ErrorCode::invalid_argument)
        << bad;
  }
}

TEST_P(SnapshotterLookSuite, AWalkStopsWhenItIsToldTo) {
  for (int i = 0; i < 3; ++i) commit_with(std::nullopt, nothing);
  int visited = 0;
  must(snapshots().walk({}, [&](const SnapshotInfo&) {
    ++visited;
    return base::lmdb::Scan::stop;
  }));
  EXPECT_EQ(visited, 1);
  const auto failed = snapshots().walk({}, [](const SnapshotInfo&) -> base::Result<base::lmdb::Scan> {
    return base::fail(ErrorCode::cancelled, "enough");
  });
  EXPECT_EQ(code_of(failed), ErrorCode::cancelled);
}

TEST_P(SnapshotterLookSuite, StatInWalk) {
  const auto a = commit_with(std::nullopt, nothing);
  const auto b = prepare(a);
  std::vector<SnapshotId> seen;
  must(snapshots().walk({}, [&](const SnapshotInfo& info) -> base::Result<base::lmdb::Scan> {
    seen.push_back(must(snapshots().stat(info.id)).id);
    // Not only looking: what changes the store, too.
    must(update(info.id, {{"walked", "yes"}}, {"labels.walked"}));
    return base::lmdb::Scan::next;
  }));
  EXPECT_THAT(seen, UnorderedElementsAre(a, b));
  EXPECT_EQ(must(snapshots().stat(a)).labels.at("walked"), "yes");
}

TEST_P(SnapshotterLookSuite, AViewKeepsItsParentAndIsNothingElse) {
  const auto parent = freeze_with(std::nullopt, [](Tree& tree) { tree.write("file", "x"); });
  const auto id = must(snapshots().view(parent, {}));
  EXPECT_EQ(must(snapshots().stat(id)).parent, parent);
  EXPECT_EQ(must(snapshots().stat(id)).depth, must(snapshots().stat(parent)).depth);
  EXPECT_EQ(view(id).read("file"), "x");
  EXPECT_EQ(must(snapshots().usage(id)), Usage{});
  EXPECT_THAT(snapshots().unpublished(), ElementsAre(parent)) << "a view has no tree";
  EXPECT_EQ(code_of(snapshots().mount(id, Access::read_write)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().freeze(id)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().prepare(id)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().view(id, {})), ErrorCode::invalid_argument);
  const auto named = store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().publish(txn, id); });
  EXPECT_EQ(code_of(named), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().abandon(parent)), ErrorCode::invalid_argument);
  publish({parent});
  EXPECT_EQ(code_of(retire(parent)), ErrorCode::invalid_argument);
  EXPECT_EQ(trees_on_disk().size(), 1u);
  must(snapshots().abandon(id));
  EXPECT_EQ(code_of(snapshots().stat(id)), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().abandon(id)), ErrorCode::not_found);
  must(retire(parent));
  EXPECT_EQ(code_of(snapshots().view(parent, {})), ErrorCode::not_found);
  const auto active = prepare();
  EXPECT_EQ(code_of(snapshots().view(active, {})), ErrorCode::invalid_argument);
}

TEST_P(SnapshotterLookSuite, AViewDoesNotSurviveARestart) {
  const auto parent = commit_with(std::nullopt, nothing);
  const auto id = must(snapshots().view(parent, {}));
  restart();
  EXPECT_EQ(code_of(snapshots().stat(id)), ErrorCode::not_found);
  must(retire(parent));
  EXPECT_GT(prepare(), id);
}

TEST_P(SnapshotterLookSuite, UsageIsOfTheOwnChanges) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) {
    tree.write("big", std::string(1 << 20, 'x'));
    tree.link("big", "again");
  });
  const auto of_base = must(snapshots().usage(base));
  EXPECT_GE(of_base.bytes, 1 << 20);
  EXPECT_EQ(of_base.logical_bytes, 1 << 20) << "two names, one inode";
  EXPECT_EQ(of_base.inodes, 3);
  const auto active = prepare(base);
  write_to(active).write("small", "abc");
  const auto now = must(snapshots().usage(active));
  if (stacks()) {
    EXPECT_EQ(now.logical_bytes, 3);
  }
  const auto frozen = must(snapshots().freeze(active));
  EXPECT_EQ(must(snapshots().usage(active)), frozen);
  EXPECT_EQ(frozen.logical_bytes, now.logical_bytes);
  publish({active});
  restart();
  EXPECT_EQ(must(snapshots().usage(active)), frozen);
  EXPECT_EQ(must(snapshots().usage(base)), of_base);
  EXPECT_EQ(must(snapshots().stat(base)).exclusive, of_base);
  EXPECT_EQ(code_of(snapshots().usage(SnapshotId(4711))), ErrorCode::not_found);
}

}  // namespace cairn::snapshot
