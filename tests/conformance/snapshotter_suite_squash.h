// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part seven: flat copies of deep chains, made when somebody asks and in
// the background. Included by snapshotter_suite.h.
#pragma once

#include "tests/conformance/snapshotter_suite_space.h"

namespace cairn::snapshot {

TEST_P(SnapshotterSpaceSuite, ASquashedSnapshotShowsTheSameAndKeepsItsChanges) {
  const auto chain = make_chain(40);
  const auto top = chain.back();
  const auto before = state_of(top);
  const auto own = stat(top).usage;
  must(snapshots().squash(top, *store_->writer, {}));
  EXPECT_EQ(stat(top).flattened, stacks());
  EXPECT_EQ(stat(top).depth, 1u);
  EXPECT_EQ(stat(top).usage, own);
  EXPECT_EQ(test::first_difference(before, state_of(top)), "");
  must(snapshots().squash(top, *store_->writer, {}));  // nothing more to do
  expect_rows_say_what_is_there();
  restart();
  EXPECT_EQ(stat(top).flattened, stacks());
  EXPECT_EQ(test::first_difference(before, state_of(top)), "");
  const auto child = prepare(top);
  EXPECT_EQ(stat(child).depth, stacks() ? 2u : 1u);
  Tree tree = write_to(child);
  tree.write("file0", "changed");
  tree.chmod("file39", 0600);
  tree.drop();
  EXPECT_EQ(test::first_difference(before, state_of(top)), "") << "a child's writes reach no linked file";
  if (stacks()) {
    EXPECT_TRUE(stat(chain[38]).flattened == false && stat(chain[38]).depth == 39u);
    const auto upper = must(base::open_host_dir(root_ / ("trees/" + std::to_string(top.value()) + "/fs")));
    EXPECT_THAT(must(base::list_dir(upper.get())).size(), testing::Ge(1u));
  }
}

TEST_P(SnapshotterSpaceSuite, ASquashLinksUnlessALiveMountCouldSeeIt) {
  const auto chain = make_chain(12);
  const auto top = chain.back();
  const Tree mounted = view(chain[5]);
  const auto ctime = mounted.stat("file0").st_ctim;
  const auto links = mounted.stat("file2").st_nlink;
  must(snapshots().squash(top, *store_->writer, {}));
  EXPECT_EQ(mounted.stat("file0").st_ctim.tv_nsec, ctime.tv_nsec);
  EXPECT_EQ(mounted.stat("file2").st_nlink, links) << "a mounted layer was linked to";
  EXPECT_EQ(mounted.read("file2"), "text 2") << "live mounts keep the old chain";
  if (!stacks()) return;
  const auto file_of = [&](const std::string& path) {
    struct ::stat status {};
    EXPECT_EQ(::lstat((root_ / "trees" / path).c_str(), &status), 0) << path;
    return status;
  };
  const auto tree = [](SnapshotId id) { return std::to_string(id.value()); };
  EXPECT_EQ(file_of(tree(chain[9]) + "/fs/file9").st_ino, file_of(tree(top) + "/flat/file9").st_ino)
      << "a layer that is mounted nowhere is linked to";
  EXPECT_NE(file_of(tree(chain[2]) + "/fs/file2").st_ino, file_of(tree(top) + "/flat/file2").st_ino);
  expect_rows_say_what_is_there();
}

TEST_P(SnapshotterSpaceSuite, WhatIsNotThereOrStillChangesIsNotSquashed) {
  const auto squash = [&](SnapshotId id, std::stop_token stop) {
    return code_of(snapshots().squash(id, *store_->writer, std::move(stop)));
  };
  const auto chain = make_chain(3);
  EXPECT_EQ(squash(SnapshotId(4711), {}), ErrorCode::not_found);
  const auto active = prepare(chain.back());
  EXPECT_EQ(squash(active, {}), ErrorCode::invalid_argument);
  must(snapshots().abandon(active));
  EXPECT_EQ(squash(must(snapshots().view(chain.back(), {})), {}), ErrorCode::invalid_argument);
  EXPECT_EQ(squash(chain.front(), {}), std::nullopt) << "one layer is flat";
  if (!stacks()) return;
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(squash(chain.back(), stopped.get_token()), ErrorCode::cancelled);
  EXPECT_FALSE(stat(chain.back()).flattened);
  expect_rows_say_what_is_there();
}

TEST_P(SnapshotterSpaceSuite, AFrozenSnapshotIsSquashedAndNamedWhenItIsPublished) {
  const auto chain = make_chain(5);
  const auto frozen = freeze_with(chain.back(), [](Tree& tree) { tree.write("frozen", "x"); });
  const auto before = state_of(frozen);
  must(snapshots().squash(frozen, *store_->writer, {}));
  EXPECT_EQ(stat(frozen).flattened, stacks());
  EXPECT_EQ(test::first_difference(before, state_of(frozen)), "");
  publish({frozen});
  EXPECT_EQ(stat(frozen).flattened, stacks());
  expect_rows_say_what_is_there();
  restart();
  EXPECT_EQ(test::first_difference(before, state_of(frozen)), "");
}

TEST_P(SnapshotterSpaceSuite, DeepChainsAreSquashedInTheBackground) {
  snapshots().start(*store_->writer);
  const auto chain = make_chain(100);
  snapshots().settle();
  const auto before = state_of(chain.back());
  EXPECT_LE(stat(prepare(chain.back())).depth, 34u);
  if (stacks()) {
    EXPECT_TRUE(stat(chain[32]).flattened);
    EXPECT_FALSE(stat(chain[31]).flattened);
  }
  for (const auto id : snapshots().unpublished()) must(snapshots().abandon(id));
  snapshots().settle();
  expect_rows_say_what_is_there();
  restart();
  EXPECT_LE(stat(prepare(chain.back())).depth, 34u);
  EXPECT_EQ(test::first_difference(before, state_of(chain.back())), "");
}

// Whatever comes first: each copy is one of the whole tree.
TEST_P(SnapshotterSpaceSuite, ADeepChainIsSquashedFromBelow) {
  std::vector<SnapshotId> chain;
  for (int i = 0; i < 100; ++i) {
    chain.push_back(freeze_with(chain.empty() ? std::nullopt : std::optional(chain.back()), nothing));
  }
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [&](base::lmdb::WriteTxn& txn) -> base::Status {
    for (const auto id : chain) TRY(snapshots().publish(txn, id));
    return {};
  };
  must(store_->writer->wait_durable(must(store_->writer->enqueue(std::move(entry)))));
  snapshots().start(*store_->writer);
  std::optional<Tree> mounted(view(chain[0]));  // all of them are put off, in this order
  for (auto id = chain.rbegin(); id != chain.rend(); ++id) snapshots().published(*id);
  snapshots().settle();
  mounted.reset();
  snapshots().settle();
  std::vector<std::size_t> flattened;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (stat(chain[i]).flattened) flattened.push_back(i);
  }
  if (stacks()) {
    EXPECT_THAT(flattened, ElementsAre(32, 64, 96));
  } else {
    EXPECT_THAT(flattened, IsEmpty());
  }
}

TEST_P(SnapshotterSpaceSuite, ASquashThatWasGivenUpLeavesNothingToRecover) {
  const auto chain = make_chain(3);
  std::stop_source stopped;
  stopped.request_stop();
  const auto squashed = snapshots().squash(chain.back(), *store_->writer, stopped.get_token());
  EXPECT_EQ(squashed ? std::nullopt : std::optional(squashed.error().code),
            stacks() ? std::optional(ErrorCode::cancelled) : std::nullopt);
  EXPECT_FALSE(stat(chain.back()).flattened);
  expect_rows_say_what_is_there();
  store_.reset();
  const auto syncs = base::sync_counts().total();
  start();
  EXPECT_EQ(base::sync_counts().total(), syncs);
}

// As long as the chain is mounted its files could only be copied, so the squash waits.
TEST_P(SnapshotterSpaceSuite, ASquashInTheBackgroundWaitsForMountsToEnd) {
  snapshots().start(*store_->writer);
  std::optional<Tree> mounted;
  std::vector<SnapshotId> chain = {commit_with(std::nullopt, [](Tree& tree) { tree.write("lowest", "x"); })};
  mounted.emplace(view(chain[0]));
  for (int i = 1; i <= 33; ++i) chain.push_back(freeze_with(chain.back(), [&](Tree& tree) { change(tree, 6 * i); }));
  publish({chain.begin() + 1, chain.end()});
  snapshots().settle();
  EXPECT_FALSE(stat(chain[32]).flattened);
  mounted.reset();
  snapshots().settle();
  EXPECT_EQ(stat(chain[32]).flattened, stacks());
  const auto inode_of = [&](const std::string& path) {
    struct ::stat status {};
    EXPECT_EQ(::lstat((root_ / "trees" / path).c_str(), &status), 0) << path;
    return status.st_ino;
  };
  const auto in = [&](SnapshotId id, const char* part) { return std::to_string(id.value()) + part; };
  if (!stacks()) return;
  EXPECT_EQ(inode_of(in(chain[0], "/fs/lowest")), inode_of(in(chain[32], "/flat/lowest"))) << "linked, not copied";
}

TEST_P(SnapshotterSpaceSuite, ASquashInTheBackgroundCopiesWhenItHasWaitedTooLong) {
  store_.reset();
  store_ = std::make_unique<OpenStore>(root_.path(), GetParam(), 400, std::chrono::milliseconds(0),
                                       std::chrono::milliseconds(0));
  snapshots().start(*store_->writer);
  const auto lowest = commit_with(std::nullopt, [](Tree& tree) { tree.write("lowest", "x"); });
  const Tree mounted = view(lowest);
  std::vector<SnapshotId> chain = {lowest};
  for (int i = 1; i <= 32; ++i) chain.push_back(freeze_with(chain.back(), nothing));
  publish({chain.begin() + 1, chain.end()});
  snapshots().settle();
  EXPECT_EQ(stat(chain[32]).flattened, stacks());
  EXPECT_EQ(mounted.stat("lowest").st_nlink, 1u) << "a mounted layer was linked to";
  EXPECT_EQ(view(chain[32]).read("lowest"), "x");
}

// Also of chains that an earlier owner left.
TEST_P(SnapshotterSpaceSuite, DeepChainsAreFoundAtTheStart) {
  const auto chain = make_chain(40);
  restart();
  snapshots().start(*store_->writer);
  snapshots().settle();
  EXPECT_EQ(stat(chain[32]).flattened, stacks());
  EXPECT_LE(stat(prepare(chain.back())).depth, 9u);
}

TEST_P(SnapshotterSpaceSuite, ASquashThatFailsLeavesTheChainAsItWas) {
  const auto chain = make_chain(6);
  const auto before = state_of(chain.back());
  const auto tree = must(base::open_host_dir(root_ / ("trees/" + std::to_string(chain.back().value()))));
  if (!stacks()) return;  // a chain is one layer: nothing is made
  int flags = 0;
  ASSERT_EQ(::ioctl(tree.get(), FS_IOC_GETFLAGS, &flags), 0) << "the suite runs on file systems that have flags";
  const auto set = [&](int wanted) { ASSERT_EQ(::ioctl(tree.get(), FS_IOC_SETFLAGS, &wanted), 0); };
  set(flags | FS_IMMUTABLE_FL);
  EXPECT_TRUE(code_of(snapshots().squash(chain.back(), *store_->writer, {})).has_value());
  set(flags);
  EXPECT_FALSE(stat(chain.back()).flattened);
  EXPECT_EQ(test::first_difference(before, state_of(chain.back())), "");
  EXPECT_EQ(stat(prepare(chain.back())).depth, 7u);
  must(snapshots().squash(chain.back(), *store_->writer, {}));
  EXPECT_TRUE(stat(chain.back()).flattened);
}

// Each way in which a copy could come out wrong, made between copying and comparing.
TEST_P(SnapshotterSpaceSuite, ASquashedCopyThatDiffersIsRefused) {
  const auto chain = make_chain(4);
  const auto top = chain.back();
  const Tree mounted = view(top);  // so that its files are copied, not linked
  const auto before = state_of(top);
  using Damage = std::function<void(int)>;
  const std::map<std::string, Damage> damages = {
      {"a byte", [](int copy) {
         const base::Fd file(::openat(copy, "file0", O_WRONLY));
         const auto about = must(base::stat_fd(file.get()));
         ASSERT_EQ(::pwrite(file.get(), "T", 1, 0), 1);
         const timespec times[2] = {about.st_atim, about.st_mtim};  // only the bytes tell
         ASSERT_EQ(::futimens(file.get(), times), 0);
       }},
      {"a mode", [](int copy) { ASSERT_EQ(::fchmodat(copy, "dir0", 0700, 0), 0); }},
      {"an owner", [](int copy) { ASSERT_EQ(::fchownat(copy, "fifo", 7, 7, 0), 0); }},
      {"a time", [](int copy) {
         const timespec times[2] = {{0, UTIME_OMIT}, {5, 6}};
         ASSERT_EQ(::utimensat(copy, "dir1/symlink", times, AT_SYMLINK_NOFOLLOW), 0);
       }},
      {"a file too many", [](int copy) { ASSERT_EQ(::mknodat(copy, "new", S_IFREG | 0644, 0), 0); }},
      {"a file too few", [](int copy) { ASSERT_EQ(::unlinkat(copy, "null", 0), 0); }},
      {"a link too few", [](int copy) {
         ASSERT_EQ(::unlinkat(copy, "dir0/link", 0), 0);
         ASSERT_EQ(::mknodat(copy, "dir0/link", S_IFREG | 0644, 0), 0);
       }}};
  for (const auto& [what, damage] : damages) {
    bool met = false;
    const base::CrashPointWatch watch([&](std::string_view point) {
      if (point != "snapshot.flatten.copied") return;
      met = true;
      damage(must(base::open_host_dir(root_ / ("trees/" + std::to_string(top.value()) + "/flat.tmp"))).get());
    });
    const auto outcome = code_of(snapshots().squash(top, *store_->writer, {}));
    EXPECT_EQ(met, stacks()) << what;
    EXPECT_EQ(outcome, stacks() ? std::optional(ErrorCode::corrupt) : std::nullopt) << what;
    EXPECT_FALSE(stat(top).flattened) << what;
    EXPECT_EQ(::access((root_ / ("trees/" + std::to_string(top.value()) + "/flat.tmp")).c_str(), F_OK), -1) << what;
  }
  expect_rows_say_what_is_there();
  must(snapshots().squash(top, *store_->writer, {}));
  EXPECT_EQ(stat(top).flattened, stacks());
  EXPECT_EQ(test::first_difference(before, state_of(top)), "");
}

}  // namespace cairn::snapshot
