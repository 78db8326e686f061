// SPDX-License-Identifier: Apache-2.0
// File, merge, diff, passthrough and build steps on a real store.
#include <gmock/gmock.h>

#include "libsolver/wire/codec.h"
#include "tests/libsolver/solver_fixture.h"
#include "tests/libsolver_wire/support.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using llb::FileActions;
using llb::State;
using ::testing::HasSubstr;

class OpsTest : public SolverTest {
 protected:
  // A graph of ops that no llb::State writes: each is named by its place in it.
  struct Graph {
    std::vector<std::string> ops;
    std::size_t add(wire::Op op, const std::vector<std::pair<std::size_t, std::int64_t>>& inputs = {}) {
      for (const auto& [number, output] : inputs) op.inputs.push_back({test::digest_text(ops[number]), output, {}});
      ops.push_back(wire::encode(op));
      return ops.size() - 1;
    }
    std::string ending_in(std::size_t number, std::int64_t output = 0) const {
      std::vector<std::string> all = ops;
      all.push_back(wire::encode(test::head_op(test::digest_text(ops[number]), output)));
      return test::definition_of(all);
    }
  };

  static wire::FileAction mkfile(std::string path, std::string data, std::int64_t input, std::int64_t output = wire::no_output) {
    wire::FileActionMkFile file;
    file.path = std::move(path);
    file.mode = 0644;
    file.data.value = std::move(data);
    file.timestamp = -1;
    wire::FileAction action;
    action.input = input;
    action.secondary_input = wire::no_input;
    action.output = output;
    action.action = std::move(file);
    return action;
  }
  static wire::FileAction copy(std::string src, std::string dest, std::int64_t input, std::int64_t from,
                               std::int64_t output = wire::no_output) {
    wire::FileActionCopy copied;
    copied.src = std::move(src);
    copied.dest = std::move(dest);
    copied.mode = -1;
    copied.timestamp = -1;
    wire::FileAction action;
    action.input = input;
    action.secondary_input = from;
    action.output = output;
    action.action = std::move(copied);
    return action;
  }
  static wire::Op file_op(std::vector<wire::FileAction> actions) {
    wire::Op op;
    op.op = wire::FileOp{std::move(actions), {}};
    return op;
  }
  template <class T>
  static wire::Op op_of(T what) {
    wire::Op op;
    op.op = std::move(what);
    return op;
  }
  static wire::Op build_op(std::int64_t input, std::map<std::string, std::string> attrs = {}) {
    wire::BuildOp build;
    build.builder = -1;
    build.inputs["buildkit.llb.definition"].input = input;
    build.attrs = std::move(attrs);
    return op_of(std::move(build));
  }

  std::string read(const SolveOutcome& outcome, const std::string& path) {
    if (!outcome.result) return "<scratch>";
    return store_.read(*outcome.result, path);
  }
  base::Error error_of(const std::string& definition) {
    const SolveOutcome outcome = solve(request_of(definition));
    EXPECT_FALSE(outcome.status);
    return outcome.status ? base::Error{} : outcome.status.error();
  }
  base::Error error_of(std::vector<wire::FileAction> actions) {
    Graph graph;
    return error_of(graph.ending_in(graph.add(file_op(std::move(actions)))));
  }
};

TEST_F(OpsTest, AFileStepIsDoneOnceAndFoundAgain) {
  put_local("a", "one");
  const State source = llb::local("src", {.unique_id = "test"});
  const auto made = [&](const std::string& text) {
    return State().file(FileActions().mkdir("/d", 0755).copy(source, "/a", "/d/a").mkfile("/d/b", 0600, text).symlink("b", "/d/c"));
  };
  EXPECT_EQ(executed(made("x")), 2u);
  const SolveOutcome outcome = solve(made("x"));
  EXPECT_EQ(outcome.count(StepState::executed), 0u);
  EXPECT_EQ(read(outcome, "d/a"), "one");
  EXPECT_EQ(read(outcome, "d/b"), "x");
  EXPECT_EQ(executed(made("y")), 1u);
  EXPECT_EQ(script_.runs, 0u);
}

// What decides is the content of what is copied, not how it came about.
TEST_F(OpsTest, ACopyOfTheSameContentIsAHit) {
  put_local("a", "one");
  put_local("other", "1");
  const State copied = State().file(FileActions().copy(llb::local("src", {.unique_id = "test"}), "/a", "/a"));
  EXPECT_EQ(executed(copied), 2u);
  put_local("other", "2");
  EXPECT_EQ(executed(copied), 1u) << "only the source";
  put_local("a", "two");
  EXPECT_EQ(executed(copied), 2u);
}

TEST_F(OpsTest, AChainOfActionsIsOneTree) {
  FileActions many;
  for (int i = 0; i < 50; ++i) many.mkfile("/file" + std::to_string(i), 0644, std::to_string(i));
  const std::size_t before = records();
  EXPECT_EQ(executed(State().file(many)), 1u);
  EXPECT_EQ(records() - before, 1u);
}

// Action 1 changes what action 0 has made and action 2 reads that, too: each tree is as it was when it was asked for.
TEST_F(OpsTest, ActionsMayTakeWhatOthersMadeInAnyWay) {
  Graph graph;
  const auto step = graph.add(file_op({
      mkfile("/base", "base", wire::no_input),          // 0
      mkfile("/second", "second", 0, 1),                // 1, output 1
      copy("/", "/from-first", 1, 0),                   // 2
      copy("/", "/from-second", 2, 1, 0),               // 3, output 0
      mkfile("/never", "nobody needs this", 5, wire::no_output),  // 4: on an action that does not exist
      mkfile("/unused", "x", wire::no_input),           // 5
  }));
  SolveOutcome outcome = solve(request_of(graph.ending_in(step, 0)));
  ASSERT_OK(outcome.status);
  EXPECT_EQ(read(outcome, "second"), "second");
  EXPECT_EQ(read(outcome, "from-first/base"), "base");
  EXPECT_EQ(read(outcome, "from-second/second"), "second");
  outcome = solve(request_of(graph.ending_in(step, 1)));
  ASSERT_OK(outcome.status);
  EXPECT_EQ(outcome.count(StepState::executed), 0u) << "all outputs are stored";
  EXPECT_EQ(read(outcome, "second"), "second");
}

TEST_F(OpsTest, NumbersThatCannotBeRightAreRefused) {
  EXPECT_THAT(error_of({mkfile("/a", "x", wire::no_input)}).message, HasSubstr("without outputs"));
  EXPECT_THAT(error_of({mkfile("/a", "x", wire::no_input, 1)}).message, HasSubstr("out of order"));
  EXPECT_THAT(error_of({mkfile("/a", "x", wire::no_input, 0), mkfile("/a", "x", wire::no_input, 0)}).message, HasSubstr("taken"));
  EXPECT_THAT(error_of({mkfile("/a", "x", 0, 0)}).message, HasSubstr("needs itself"));
  EXPECT_THAT(error_of({mkfile("/a", "x", 1, 0), mkfile("/a", "x", 0)}).message, HasSubstr("needs itself"));
  EXPECT_THAT(error_of({mkfile("/a", "x", 2, 0)}).message, HasSubstr("0 inputs and 1 actions"));
  EXPECT_THAT(error_of({mkfile("/a", "x", -2, 0)}).message, HasSubstr("0 inputs and 1 actions"));
  EXPECT_THAT(error_of({copy("/a", "/b", wire::no_input, 7, 0)}).message, HasSubstr("0 inputs and 1 actions"));
  wire::FileAction unknown;
  unknown.input = unknown.secondary_input = wire::no_input;
  EXPECT_THAT(error_of({unknown}).message, HasSubstr("not supported: file action 0"));
  EXPECT_EQ(records(), 0u);
}

TEST_F(OpsTest, AnActionThatFailsNamesItself) {
  const SolveOutcome outcome = solve(State().file(FileActions().mkdir("/a", 0755).rm("/missing")));
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, ErrorCode::not_found);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("file action 1: remove /missing"));
  EXPECT_EQ(records(), 0u);
}

TEST_F(OpsTest, OwnersByNameAreThoseOfTheInput) {
  const State accounts = State().file(FileActions()
                                          .mkdir("/etc", 0755)
                                          .mkfile("/etc/passwd", 0644, "root:x:0:0::/:\nbuilder:x:1234:56::/:\n")
                                          .mkfile("/etc/group", 0644, "wheel:x:78:\n"));
  const auto owned = [&](const char* user, const char* group) {
    return accounts.file(FileActions().mkfile("/file", 0644, "x").owner({.user = user, .group = group}));
  };
  const auto owner_of = [&](const State& state) {
    const SolveOutcome outcome = solve(state);
    if (!outcome.status) return outcome.status.error().message;
    const auto tree = must(outcome.result->mount());
    const auto stat = must(base::find_stat_beneath(tree.fd(), must(base::TreePath::parse("file"))));
    return fmt::format("{}:{}", stat->st_uid, stat->st_gid);
  };
  EXPECT_EQ(owner_of(owned("builder", "")), "1234:56");
  EXPECT_EQ(owner_of(owned("builder", "wheel")), "1234:78");
  EXPECT_EQ(owner_of(owned("", "wheel")), "0:78");
  EXPECT_EQ(owner_of(owned("77", "")), "77:77");
  EXPECT_EQ(owner_of(owned("77", "5")), "77:5");
  EXPECT_THAT(owner_of(owned("nobody-here", "")), HasSubstr("not in /etc/passwd"));
  EXPECT_THAT(owner_of(owned("", "nogroup-here")), HasSubstr("not in /etc/group"));
}

TEST_F(OpsTest, AMergeShowsLaterTreesOverEarlierOnes) {
  const State a = State().file(FileActions().mkfile("/same", 0644, "a").mkfile("/a", 0644, "a"));
  const State b = State().file(FileActions().mkfile("/same", 0644, "b").mkfile("/b", 0644, "b"));
  EXPECT_EQ(executed(llb::merge({a, b})), 3u);
  const SolveOutcome outcome = solve(llb::merge({a, b}));
  EXPECT_EQ(outcome.count(StepState::executed), 0u);
  EXPECT_EQ(read(outcome, "same"), "b");
  EXPECT_EQ(read(outcome, "a"), "a");
  EXPECT_EQ(read(outcome, "b"), "b");
  EXPECT_EQ(read(solve(llb::merge({b, a})), "same"), "a");
}

TEST_F(OpsTest, ADiffIsWhatTheUpperHasAndTheLowerHasNot) {
  const State lower = State().file(FileActions().mkfile("/kept", 0644, "k").mkfile("/gone", 0644, "g"));
  const State upper = lower.file(FileActions().rm("/gone").mkfile("/new", 0644, "n"));
  const SolveOutcome only = solve(llb::diff(lower, upper));
  ASSERT_OK(only.status);
  EXPECT_EQ(read(only, "new"), "n");
  EXPECT_EQ(must(base::find_stat_beneath(must(only.result->mount()).fd(), must(base::TreePath::parse("kept")))).has_value(), false);
  // Onto something else it also takes away.
  const State other = State().file(FileActions().mkfile("/gone", 0644, "other").mkfile("/other", 0644, "o"));
  const SolveOutcome merged = solve(llb::merge({other, llb::diff(lower, upper)}));
  ASSERT_OK(merged.status);
  EXPECT_EQ(read(merged, "other"), "o");
  EXPECT_EQ(read(merged, "new"), "n");
  EXPECT_EQ(must(base::find_stat_beneath(must(merged.result->mount()).fd(), must(base::TreePath::parse("gone")))).has_value(), false);
}

TEST_F(OpsTest, AMergeOfAnInputThatIsNotThereIsRefused) {
  Graph graph;
  wire::MergeOp merge;
  merge.inputs.emplace_back().input = 1;
  const auto file = graph.add(file_op({mkfile("/a", "a", wire::no_input, 0)}));
  EXPECT_THAT(error_of(graph.ending_in(graph.add(op_of(merge), {{file, 0}}))).message, HasSubstr("takes input 1 of 1"));
}

TEST_F(OpsTest, TheSidesOfADiffMayBeNothingOrTheSame) {
  Graph graph;
  const auto made = graph.add(file_op({mkfile("/a", "a", wire::no_input, 0)}));
  const auto diff_of = [&](std::int64_t lower, std::int64_t upper) {
    Graph whole = graph;
    wire::DiffOp diff;
    diff.lower.emplace().input = lower;
    diff.upper.emplace().input = upper;
    std::vector<std::pair<std::size_t, std::int64_t>> inputs;
    for (const std::int64_t side : {lower, upper}) {
      if (side >= 0) inputs.push_back({made, 0});
    }
    return whole.ending_in(whole.add(op_of(diff), inputs));
  };
  EXPECT_EQ(read(solve(request_of(diff_of(wire::no_input, 0))), "a"), "a");
  const SolveOutcome same = solve(request_of(diff_of(0, 1)));
  EXPECT_OK(same.status);
  EXPECT_FALSE(same.result);
  const SolveOutcome nothing = solve(request_of(diff_of(wire::no_input, wire::no_input)));
  EXPECT_OK(nothing.status);
  EXPECT_FALSE(nothing.result);
  EXPECT_OK(solve(request_of(diff_of(0, wire::no_input))).status);
}

TEST_F(OpsTest, APassthroughHandsItsInputsOn) {
  Graph graph;
  const auto a = graph.add(file_op({mkfile("/a", "a", wire::no_input, 0)}));
  const auto b = graph.add(file_op({mkfile("/b", "b", wire::no_input, 0)}));
  wire::PassthroughOp op;
  op.id = "swap";
  op.outputs = {1, 0, 1};
  const auto swap = graph.add(op_of(op), {{a, 0}, {b, 0}});
  EXPECT_EQ(read(solve(request_of(graph.ending_in(swap, 0))), "b"), "b");
  EXPECT_EQ(read(solve(request_of(graph.ending_in(swap, 1))), "a"), "a");
  const SolveOutcome last = solve(request_of(graph.ending_in(swap, 2)));
  EXPECT_EQ(read(last, "b"), "b");
  EXPECT_EQ(last.count(StepState::executed), 0u);
  EXPECT_EQ(records(), 2u) << "it makes none of its own";
}

TEST_F(OpsTest, ABuildSolvesTheGraphThatAFileHolds) {
  const std::string inner = must(llb::marshal(State().run(write("made", "inside")).root()));
  for (const std::string name : {"buildkit.llb.definition", "some/where"}) {
    Graph graph;
    std::vector<wire::FileAction> actions;
    wire::FileActionMkDir dir;
    dir.path = "/some";
    dir.mode = 0755;
    wire::FileAction& first = actions.emplace_back();
    first.input = first.secondary_input = wire::no_input;
    first.output = wire::no_output;
    first.action = dir;
    actions.push_back(mkfile("/" + name, inner, 0, 0));
    const auto file = graph.add(file_op(actions));
    std::map<std::string, std::string> attrs;
    if (name != "buildkit.llb.definition") attrs["llbbuild.filename"] = name;
    const auto build = graph.add(build_op(0, attrs), {{file, 0}});
    SolveOutcome outcome = solve(request_of(graph.ending_in(build)));
    ASSERT_OK(outcome.status);
    EXPECT_EQ(read(outcome, "made"), "inside");
    outcome = solve(request_of(graph.ending_in(build)));
    EXPECT_EQ(outcome.count(StepState::executed), 0u);
  }
  EXPECT_EQ(runs_of("write"), 1u) << "the step inside is found in the second build";
}

TEST_F(OpsTest, ABuildWithoutAGraphFails) {
  const auto build_of = [&](const std::string& data, std::map<std::string, std::string> attrs = {}) {
    Graph graph;
    const auto file = graph.add(file_op({mkfile("/buildkit.llb.definition", data, wire::no_input, 0)}));
    return error_of(graph.ending_in(graph.add(build_op(0, std::move(attrs)), {{file, 0}})));
  };
  EXPECT_EQ(build_of("", {{"llbbuild.filename", "missing"}}).code, ErrorCode::not_found);
  EXPECT_THAT(build_of("no graph").message, HasSubstr("load the graph buildkit.llb.definition"));
  EXPECT_THAT(build_of(must(llb::marshal(State().run({"fails"}).root()))).message, HasSubstr("no program fails"));
  Graph graph;
  const auto file = graph.add(file_op({mkfile("/a", "", wire::no_input, 0)}));
  EXPECT_THAT(error_of(graph.ending_in(graph.add(build_op(4), {{file, 0}}))).message, HasSubstr("takes input 4 of 1"));
  wire::BuildOp other;
  other.builder = 0;
  Graph second;
  const auto input = second.add(file_op({mkfile("/a", "", wire::no_input, 0)}));
  EXPECT_THAT(error_of(second.ending_in(second.add(op_of(other), {{input, 0}}))).message, HasSubstr("not supported"));
}

}  // namespace
}  // namespace cairn::solver
