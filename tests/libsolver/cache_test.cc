// SPDX-License-Identifier: Apache-2.0
// What is found again and what is not.
#include <gmock/gmock.h>

#include "tests/libsolver/solver_fixture.h"

namespace cairn::solver {
namespace {

using llb::State;

class SolverCacheTest : public SolverTest {
 protected:
  // A step that reads one file of the local source, and writes a file of its own.
  State reads(const std::string& file) {
    const State source = llb::local("src", {.unique_id = "test"});
    return State()
        .run(write("made", "from " + file), {.mounts = {{.dest = "/in", .source = source, .selector = file, .read_only = true}}})
        .root();
  }
};

TEST_F(SolverCacheTest, AWarmSolveRunsNothingReadsNothingAndSyncsNothing) {
  State chain;
  for (int i = 0; i < 50; ++i) chain = chain.run(write("file" + std::to_string(i), "x")).root();
  const SolveRequest wanted = request(chain);
  EXPECT_EQ(executed(wanted), 50u);
  const auto reads = store_.env->counts().reads;
  const auto commits = store_.env->counts().commits;
  const auto cache_counts = store_.cache->counts();
  const auto syncs = base::sync_counts().total();
  EXPECT_EQ(executed(wanted), 0u);
  EXPECT_EQ(script_.runs, 50u);
  EXPECT_EQ(store_.env->counts().reads - reads, 1u) << "one version for the whole chain";
  EXPECT_EQ(store_.env->counts().commits, commits);
  EXPECT_EQ(store_.cache->counts().trees_mounted, cache_counts.trees_mounted);
  EXPECT_EQ(store_.cache->counts().tree_bytes_read, cache_counts.tree_bytes_read);
  EXPECT_EQ(base::sync_counts().total(), syncs);
}

// The selector asks for the digest of a file of the source: it was hashed when it was written, and is not read for that.
TEST_F(SolverCacheTest, ASourceIsNotReadBackAndItsNextTreeIsAForkOfTheLast) {
  for (int i = 0; i < 20; ++i) put_local("file" + std::to_string(i), std::string(100, 'x'));
  EXPECT_EQ(executed(request(reads("file1"))), 2u);
  put_local("file7", std::string(100, 'y'));
  EXPECT_EQ(executed(request(reads("file1"))), 1u) << "the source; the step's input is the same";
  put_local("file1", std::string(100, 'z'));
  EXPECT_EQ(executed(request(reads("file1"))), 2u);
  EXPECT_EQ(store_.cache->counts().tree_bytes_read, 0u);
  std::vector<std::size_t> parents;
  must(store_.cache->each_record([&](const cache::RecordInfo& info) -> base::Status {
    if (info.facts.type == cache::RecordType::source_local) parents.push_back(info.parents.size());
    return {};
  }));
  EXPECT_THAT(parents, testing::ElementsAre(0u, 1u, 1u));
}

TEST_F(SolverCacheTest, AnotherProcessFindsTheSame) {
  const SolveRequest wanted = request(State().run(write("a", "1")).root().run(write("b", "2")).root());
  EXPECT_EQ(executed(wanted), 2u);
  reopen();
  EXPECT_EQ(executed(wanted), 0u);
}

TEST_F(SolverCacheTest, OnlyWhatFollowsAChangedStepRuns) {
  const auto chain = [this](const std::string& middle) {
    return State().run(write("a", "1")).root().run(write("b", middle)).root().run(write("c", "3")).root();
  };
  EXPECT_EQ(executed(chain("2")), 3u);
  EXPECT_EQ(executed(chain("changed")), 2u);
  EXPECT_EQ(executed(chain("2")), 0u);
}

TEST_F(SolverCacheTest, WithoutCacheEveryStepRunsAndIsStored) {
  SolveRequest wanted = request(State().run(write("a", "1")).root().run(write("b", "2")).root());
  EXPECT_EQ(executed(wanted), 2u);
  wanted.use_cache = UseCache::no;
  EXPECT_EQ(executed(wanted), 2u);
  EXPECT_EQ(executed(wanted), 2u);
  wanted.use_cache = UseCache::yes;
  EXPECT_EQ(executed(wanted), 0u);
}

TEST_F(SolverCacheTest, UsersOfAnIgnoredStepRunAgainUnlessItsContentIsTheSame) {
  std::atomic<int> version{1};
  script_.programs["ignored"] = [&](const ExecRequest& request, std::stop_token) -> base::Result<ExecExit> {
    TRY(FakeExecutor::write_file(request, "/", "file", std::to_string(version)));
    return ExecExit{};
  };
  const auto graph = [this](bool ignore) {
    const State first = State().run({"ignored"}, {.notes = {.ignore_cache = ignore}}).root();
    const State on_root = first.run(write("child", "1")).root();  // by definition
    const State by_content =
        State().run(write("child", "2"), {.mounts = {{.dest = "/in", .source = first, .read_only = true}}}).root();
    return request(State()
                       .run(write("all", "3"), {.mounts = {{.dest = "/a", .source = on_root, .read_only = true},
                                                           {.dest = "/b", .source = by_content, .read_only = true}}})
                       .root());
  };
  EXPECT_EQ(executed(graph(true)), 4u);
  // The same bytes again: what sees them as content is not run, nor what sees only such.
  EXPECT_EQ(executed(graph(true)), 2u) << "the ignored step and the one on its root";
  version = 2;
  EXPECT_EQ(executed(graph(true)), 4u);
  EXPECT_EQ(executed(graph(false)), 0u) << "a normal build finds what the ignoring ones stored";
}

TEST_F(SolverCacheTest, ContentThatComesBackFindsWhatWasMadeOfIt) {
  std::atomic<int> version{1};
  script_.programs["ignored"] = [&](const ExecRequest& request, std::stop_token) -> base::Result<ExecExit> {
    TRY(FakeExecutor::write_file(request, "/", "file", std::to_string(version)));
    return ExecExit{};
  };
  script_.programs["user"] = [&](const ExecRequest& request, std::stop_token) -> base::Result<ExecExit> {
    TRY(FakeExecutor::write_file(request, "/", "made_of", std::to_string(version)));
    return ExecExit{};
  };
  const State first = State().run({"ignored"}, {.notes = {.ignore_cache = true}}).root();
  const State user = State().run({"user"}, {.mounts = {{.dest = "/in", .source = first, .read_only = true}}}).root();
  for (const auto& [now, ran] : {std::pair(1, 2u), std::pair(2, 2u), std::pair(1, 1u), std::pair(2, 1u)}) {
    version = now;
    const SolveOutcome outcome = solve(user);
    ASSERT_OK(outcome.status);
    EXPECT_EQ(outcome.count(StepState::executed), ran);
    EXPECT_EQ(store_.read(*outcome.result, "made_of"), std::to_string(now));
  }
}

TEST_F(SolverCacheTest, ASelectedFileDecidesNotTheTree) {
  put_local("a.txt", "a");
  put_local("b.txt", "b");
  EXPECT_EQ(executed(reads("a.txt")), 2u);
  EXPECT_EQ(executed(reads("a.txt")), 0u);
  put_local("b.txt", "changed");
  EXPECT_EQ(executed(reads("a.txt")), 1u) << "the source only";
  EXPECT_EQ(runs_of("write"), 1u);
  put_local("a.txt", "changed");
  EXPECT_EQ(executed(reads("a.txt")), 2u);
  EXPECT_EQ(runs_of("write"), 2u);
  put_local("a.txt", "a");
  put_local("b.txt", "b");
  EXPECT_EQ(executed(reads("a.txt")), 0u);
}

TEST_F(SolverCacheTest, EqualContentMadeOtherwiseIsAHit) {
  const auto graph = [this](const std::string& how) {
    const State made = State().run({"write", "/", "file", "same bytes", how}).root();
    return State().run(write("user", "1"), {.mounts = {{.dest = "/in", .source = made, .read_only = true}}}).root();
  };
  EXPECT_EQ(executed(graph("one way")), 2u);
  EXPECT_EQ(executed(graph("another way")), 1u);
  EXPECT_EQ(executed(graph("another way")), 0u);
}

TEST_F(SolverCacheTest, WhatWasPrunedRunsAgain) {
  const SolveRequest wanted = request(State().run(write("a", "1")).root().run(write("b", "2")).root());
  EXPECT_EQ(executed(wanted), 2u);
  EXPECT_EQ(must(store_.cache->prune({.all = true})).records.size(), 2u);
  EXPECT_EQ(executed(wanted), 2u);
}

TEST_F(SolverCacheTest, AResultThatCannotBeStoredIsStillAResult) {
  const SolveRequest wanted = request(State().run(write("a", "1")).root());
  store_.fail_data_sync = true;
  {
    const SolveOutcome outcome = solve(wanted);
    ASSERT_OK(outcome.status);
    EXPECT_NE(outcome.not_cached, "");
    EXPECT_EQ(outcome.count(StepState::executed), 1u);
    EXPECT_EQ(store_.read(*outcome.result, "a"), "1");
  }
}

}  // namespace
}  // namespace cairn::solver
