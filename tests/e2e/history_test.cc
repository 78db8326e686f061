// SPDX-License-Identifier: Apache-2.0
// What `cachectl history` says after real solves, one process each: cold, warm, with another source, and of a step that fails.
#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"
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
    (*engine)->cache().stop_collector();
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

}  // namespace
}  // namespace cairn::test
