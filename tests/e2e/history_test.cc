// SPDX-License-Identifier: Apache-2.0
// What `cachectl history` says after real solves, one process each: cold, warm, with another source, and of a step that fails.
#include <fstream>
#include <nlohmann/json.hpp>

#include "libsolver/definition.h"
#include "tests/e2e/world.h"
#include "tests/support/small_disk.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;

class HistoryOfSolves : public World {
 protected:
  Json history(Words words) {
    words.insert(words.begin(), {"--root", root_.str(), "history"});
    words.push_back("--json");
    const Ended ended = cachectl(words);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return Json::parse(ended.out, nullptr, false);
  }
  // Of the last solve, by name.
  std::map<std::string, Json> last_steps() {
    const Json json = history({"show", "last"});
    std::map<std::string, Json> steps;
    for (const Json& step : json.at("steps")) steps[step.at("name")] = step;
    return steps;
  }
  llb::State chain(const std::string& first_script) {
    const auto first = output("first", first_script);
    return output("second", "cat /in/file > /out/file", {{.dest = "/in", .source = first, .read_only = true}});
  }
};

TEST_F(HistoryOfSolves, EachSolveIsARowThatSaysHowItsStepsWereLookedFor) {
  ASSERT_EQ(solve(chain("echo a > /out/file"), {"--project", "web", "--build", "1"}).code, 0);
  auto steps = last_steps();
  EXPECT_EQ(steps.at("first").at("state"), "executed");
  EXPECT_EQ(steps.at("first").at("missed"), "never_seen");
  EXPECT_GT(steps.at("first").at("duration_ns").get<std::int64_t>(), 0);
  EXPECT_FALSE(steps.at("first").contains("hit"));
  EXPECT_GE(steps.at("second").at("started_ns").get<std::int64_t>(),
            steps.at("first").at("started_ns").get<std::int64_t>() + steps.at("first").at("duration_ns").get<std::int64_t>());

  ASSERT_EQ(solve(chain("echo a > /out/file"), {"--project", "web", "--build", "2"}).code, 0);
  steps = last_steps();
  EXPECT_EQ(steps.at("second").at("state"), "cached");
  EXPECT_EQ(steps.at("second").at("hit").get<std::string>().substr(0, 7), "sha256:");
  EXPECT_GE(steps.at("second").at("keys_tried").get<int>(), 1);
  EXPECT_EQ(steps.at("second").at("keys").size(), steps.at("second").at("keys_tried").get<std::size_t>());
  EXPECT_THAT(steps.at("second").at("keys").get<Words>(), ::testing::Contains(steps.at("second").at("hit").get<std::string>()));
  const std::string digits = steps.at("second").at("hit").get<std::string>().substr(7, 12);
  EXPECT_THAT(cachectl({"--root", root_.str(), "history", "show", "last"}).out, ::testing::HasSubstr("*" + digits));
  EXPECT_FALSE(steps.at("second").contains("missed"));

  ASSERT_EQ(solve(chain("echo b > /out/file")).code, 0);
  EXPECT_EQ(last_steps().at("first").at("state"), "executed");
  ASSERT_EQ(solve(chain("exit 3")).code, 1);
  EXPECT_EQ(last_steps().at("first").at("state"), "failed");
  EXPECT_EQ(last_steps().at("second").at("state"), "cancelled");

  const Json solves = history({"list"}).at("solves");
  ASSERT_EQ(solves.size(), 4u);
  EXPECT_EQ(solves[0].at("outcome"), "failed");
  EXPECT_NE(solves[0].at("error").get<std::string>().find("exit code: 3"), std::string::npos);
  EXPECT_EQ(solves[0].at("failed"), 1);
  EXPECT_EQ(solves[2].at("outcome"), "done");
  EXPECT_EQ(solves[2].at("project"), "web");
  EXPECT_EQ(solves[2].at("build"), "2");
  EXPECT_EQ(solves[2].at("executed"), 0);
  EXPECT_EQ(solves[3].at("definition"), solves[2].at("definition"));
  EXPECT_NE(solves[1].at("definition"), solves[2].at("definition"));
  EXPECT_EQ(history({"show", solves[3].at("id")}).at("build"), "1");
  EXPECT_EQ(history({"list", "--limit", "1"}).at("solves").size(), 1u);
  EXPECT_EQ(cachectl({"--root", root_.str(), "history", "show", "0000000000000001"}).code, 3);
  EXPECT_NE(cachectl({"--root", root_.str(), "history", "list"}).out.find("SOLVE"), std::string::npos);
}

TEST_F(HistoryOfSolves, TheRowOfAWarmSolveWritesNoMetadata) {
  const auto state = chain("echo a > /out/file");
  ASSERT_EQ(solve(state).code, 0);
  {
    engine::EngineOptions options(root_);
    auto engine = engine::Engine::open(options);
    ASSERT_TRUE(engine) << engine.error().message;
    cache::Cache& cache = (*engine)->cache();  // nothing but the solve may read
    (*engine)->snapshots().settle();
    cache.settle_collector();
    cache.stop_collector();
    cache.stop_scrubber();
    cache.stop_ledger();
    (*engine)->snapshots().stop();
    const engine::EngineCounts before = (*engine)->counts();
    solver::NoProgress progress;
    const engine::SolveReport report = engine::run_order(**engine, order(state), progress, {});
    ASSERT_FALSE(report.error);
    const engine::EngineCounts after = (*engine)->counts();
    EXPECT_EQ(after.syncs, before.syncs);
    EXPECT_EQ(after.commits, before.commits);
    EXPECT_EQ(after.read_transactions, before.read_transactions + 1);
    EXPECT_EQ(after.history_dropped, 0u);
  }
  EXPECT_EQ(history({"list"}).at("solves").size(), 2u);
}

// Steps that are run three times, of which two although their keys lead to results: one writes what no two runs write alike, one is
// made of that without its key being of those bytes, one is what a step should be, and one has the bytes that it reads in its key, so
// that no run of it repeats another.
TEST_F(HistoryOfSolves, AStepThatMakesSomethingElseIsInTheLedgerWithItsPathsAndNoOtherIsToBlame) {
  const auto stamp = output("stamp", "mkdir /out/d && head -c 16 /dev/urandom > /out/d/stamp && echo same > /out/d/same");
  const auto copy = output("copy", "cp /in/d/stamp /out/copy", {{.dest = "/in", .source = stamp, .read_only = true, .content_cache = solver::wire::ContentCache::off}});
  const auto fixed = output("fixed", "echo fixed > /out/file");
  const auto state = output("last", "cat /a/copy /b/file > /out/file",
                            {{.dest = "/a", .source = copy, .read_only = true}, {.dest = "/b", .source = fixed, .read_only = true}});
  {
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(engine) << engine.error().message;
    solver::NoProgress progress;
    engine::SolveOrder cold = order(state);
    for (const auto use_cache : {solver::UseCache::yes, solver::UseCache::no, solver::UseCache::no}) {
      cold.use_cache = use_cache;
      const engine::SolveReport report = engine::run_order(**engine, cold, progress, {});
      ASSERT_FALSE(report.error) << report.error->message;
    }
    (*engine)->cache().settle_ledger();
  }
  const Json ledger = history({"ledger"});
  EXPECT_EQ(ledger.at("not_compared"), 0) << ledger;
  EXPECT_EQ(ledger.at("differed"), 4) << "two times: what stamp has made, and what copy has";
  EXPECT_GT(ledger.at("compared").get<int>(), ledger.at("differed").get<int>()) << "what fixed has made was compared, too";
  std::map<std::string, Json> steps;  // by name and path
  for (const Json& step : ledger.at("steps")) {
    ASSERT_EQ(step.at("paths_total"), 1) << step;
    EXPECT_EQ(step.at("compared"), 2) << step;
    EXPECT_EQ(step.at("differed"), 2) << step;
    EXPECT_EQ(step.at("paths").at(0).at("kind"), "changed");
    EXPECT_EQ(step.at("paths").at(0).at("fields"), Json::parse(R"(["content"])"));
    steps[step.at("name").get<std::string>() + " " + step.at("paths").at(0).at("path").get<std::string>()] = step;
  }
  ASSERT_EQ(steps.size(), 2u) << ledger;
  EXPECT_EQ(steps.at("stamp d/stamp").at("by_inputs"), 0);
  EXPECT_EQ(steps.at("copy copy").at("by_inputs"), 2);

  const std::string key = steps.at("stamp d/stamp").at("key").get<std::string>().substr(7, 12);
  EXPECT_EQ(history({"ledger", key}).at("steps").size(), 1u);
  EXPECT_EQ(history({"ledger", "--limit", "1"}).at("steps").size(), 1u);
  const std::string text = cachectl({"--root", root_.str(), "history", "ledger", key}).out;
  EXPECT_NE(text.find("changed content  d/stamp"), std::string::npos) << text;
  EXPECT_NE(cachectl({"--root", root_.str(), "history", "ledger"}).out.find("results of steps that were run again: 4 differed"),
            std::string::npos);
  EXPECT_EQ(cachectl({"--root", root_.str(), "history", "ledger", "ffffffffffff"}).code, 3);
}

// Over the store's own file lies one of a disk that has no room left.
TEST_F(HistoryOfSolves, AFullDiskCostsARowAndNoBuild) {
  ASSERT_EQ(solve(chain("echo a > /out/file")).code, 0);
  {
    const base::HostPath disk = temp_ / "disk";
    const SmallDisk full(disk, "16k");
    write_text(disk / "history", "");
    std::ofstream filler((disk / "filler").str(), std::ios::binary);
    while (filler.write(std::string(4096, 'x').data(), 4096).flush()) {
    }
    const BoundFile bound(disk / "history", root_ / "history");
    auto engine = engine::Engine::open(engine::EngineOptions(root_));
    ASSERT_TRUE(engine) << engine.error().message;
    solver::NoProgress progress;
    const engine::SolveReport report = engine::run_order(**engine, order(chain("echo b > /out/file")), progress, {});
    ASSERT_FALSE(report.error) << report.error->message;
    EXPECT_EQ(report.count(solver::StepState::executed), 2u);
    EXPECT_EQ((*engine)->counts().history_dropped, 1u);
  }
  EXPECT_EQ(history({"list"}).at("solves").size(), 1u);
  ASSERT_EQ(solve(chain("echo b > /out/file")).code, 0);  // found, and in the history again
  EXPECT_EQ(history({"list"}).at("solves").at(0).at("executed"), 0);
  EXPECT_EQ(history({"list"}).at("solves").size(), 2u);
}

// Their labels are none that a record may have, so the commit is refused: the step's own failure is what is said.
TEST_F(HistoryOfSolves, AFailedStepWhoseTreesCannotBeKeptFailsForItsOwnReason) {
  class Output final : public solver::ProgressSink {
   public:
    void on_graph(std::span<const solver::StepInfo>) override {}
    void on_started(std::size_t) override {}
    void on_output(std::size_t, solver::Stream, std::string_view bytes) override { text += bytes; }
    void on_bytes(std::size_t, std::uint64_t, std::uint64_t) override {}
    void on_finished(std::size_t, solver::StepState, std::chrono::nanoseconds, std::string_view) override {}
    std::string text;
  };
  auto engine = engine::Engine::open(engine::EngineOptions(root_));
  ASSERT_TRUE(engine) << engine.error().message;
  solver::SolveRequest request;
  auto definition = solver::load_definition(bytes_of(chain("echo half > /out/half; exit 3")));
  ASSERT_TRUE(definition) << definition.error().message;
  request.definition = std::move(*definition);
  request.oci_layouts = {{"base", busybox_image().layout()}};
  request.failed_trees = solver::FailedTrees::keep;
  request.owner.project = std::string(cache::owner_label_bytes_max + 1, 'p');
  Output output;
  {
    const solver::SolveOutcome outcome = (*engine)->solve(request, output, {});
    ASSERT_FALSE(outcome.status);
    EXPECT_THAT(outcome.status.error().message, ::testing::HasSubstr("exit code: 3"));
    EXPECT_THAT(outcome.status.error().message, ::testing::Not(::testing::HasSubstr("kept")));
    for (const solver::StepResult& step : outcome.steps) EXPECT_TRUE(step.kept.empty()) << step.name;
  }
  EXPECT_THAT(output.text, ::testing::HasSubstr("the trees of the failed step are not kept: "));
  std::size_t failed = 0;
  ASSERT_TRUE((*engine)->cache().each_record([&](const cache::RecordInfo& record) {
    failed += record.facts.description.starts_with("failed: ") ? 1 : 0;
    return base::Status();
  }));
  EXPECT_EQ(failed, 0u);
}

// A process that solves once and ends has the time for it.
TEST_F(HistoryOfSolves, TheLedgerOfOneShotSolvesIsKept) {
  const auto state = output("stamp", "head -c 16 /dev/urandom > /out/stamp");
  ASSERT_EQ(solve(state).code, 0);
  EXPECT_EQ(history({"ledger"}).at("compared"), 0);
  ASSERT_EQ(solve(state, {"--no-cache"}).code, 0);
  const Json ledger = history({"ledger"});
  EXPECT_EQ(ledger.at("differed").get<int>() + ledger.at("not_compared").get<int>(), 1) << ledger;
}

}  // namespace
}  // namespace cairn::test
