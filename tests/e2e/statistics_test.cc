// SPDX-License-Identifier: Apache-2.0
// What `cachectl stats` says after real solves, one process each: cold, warm, with one step changed, with another source,
// after a prune, of a step that fails, and without the cache. Every number is known beforehand.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "libcache/cache.h"
#include "tests/e2e/world.h"
#include "tools/engine/engine.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;

// What one solve has added.
struct Added {
  std::int64_t hits = 0, never_seen = 0, evicted = 0, key_differs = 0, error = 0, timeout = 0;
  bool operator==(const Added&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Added& added) {
  return out << "hits " << added.hits << ", never seen " << added.never_seen << ", evicted " << added.evicted
             << ", key differs " << added.key_differs << ", error " << added.error << ", timeout " << added.timeout;
}
Added operator-(const Added& a, const Added& b) {
  return {a.hits - b.hits, a.never_seen - b.never_seen, a.evicted - b.evicted,
          a.key_differs - b.key_differs, a.error - b.error, a.timeout - b.timeout};
}

struct Saved {
  std::int64_t bytes = 0, time_ns = 0;
  bool operator==(const Saved&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Saved& saved) {
  return out << saved.bytes << " bytes, " << saved.time_ns << " ns";
}

class StatisticsOfSolves : public World {
 protected:
  static bool file_exists(const base::HostPath& path) { return ::access(path.c_str(), F_OK) == 0; }
  // image → first → second.
  llb::State chain(const std::string& first_script) {
    const auto first = output("first", first_script);
    return output("second", "cat /in/file /in/file > /out/twice", {{.dest = "/in", .source = first, .read_only = true}});
  }
  Json stats() {
    const Ended ended = cachectl({"--root", root_.str(), "stats", "--json"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    return Json::parse(ended.out, nullptr, false);
  }
  Json of_project(const std::string& project) {
    if (!file_exists(root_ / "VERSION")) return {};
    Json all = stats(), found;
    for (const Json& each : all["projects"]) {
      if (each["project"] == project) found = each;
    }
    return found;
  }
  static Added counts(const Json& json) {
    if (!json.is_object()) return {};
    const Json& misses = json["misses"];
    return {json["hits"], misses["never_seen"], misses["evicted"], misses["key_differs"], misses["error"], misses["timeout"]};
  }
  std::string everything_goes() {
    const base::HostPath file = temp_ / "gc.toml";
    write_text(file, "[[rule]]\nname = \"spring cleaning\"\nall = true\nceiling = \"0B\"\n");
    return file.str();
  }
  // Solves, and what that has added to the project's numbers.
  Added solve_as(const std::string& project, const llb::State& state, Words more = {}) {
    const Added before = counts(of_project(project));
    more.insert(more.end(), {"--project", project, "--build", "b1"});
    last_ = solve(state, std::move(more));
    return counts(of_project(project)) - before;
  }
  Saved saved(const std::string& project) {
    const Json json = of_project(project);
    return {json["bytes_saved"], json["time_saved_ns"]};
  }
  // What a hit on one of the records of this step saves, by their rows.
  std::vector<Saved> worth(const std::string& step) {
    const auto env = engine::open_read_only(root_);
    CHECK(env, "{}", env.error().message);
    std::vector<Saved> each;
    const auto read = cache::each_record(**env, root_, [&](const cache::RecordInfo& record) -> base::Status {
      if (record.facts.owner.step == step) each.push_back({record.usage.bytes, record.facts.build_time.count()});
      return {};
    });
    CHECK(read, "{}", read.error().message);
    return each;
  }

  Solved last_;
};

TEST_F(StatisticsOfSolves, AreExactlyWhatHappened) {
  const auto graph = chain("echo one > /out/file");
  EXPECT_EQ(solve_as("p", graph), (Added{.never_seen = 3}));
  EXPECT_EQ(last_.executed, 3u) << last_.err;
  EXPECT_EQ(saved("p"), Saved{});

  EXPECT_EQ(solve_as("p", graph), (Added{.hits = 1})) << "the last step is found, so nothing else is looked up";
  const Saved second = saved("p");
  EXPECT_GT(second.bytes, 0);
  EXPECT_GT(second.time_ns, 0);
  EXPECT_THAT(worth("second"), ::testing::Contains(second));

  // Another script: nothing like it was ever done. What comes after it is the same step with another input.
  EXPECT_EQ(solve_as("p", chain("echo two > /out/file")), (Added{.hits = 1, .never_seen = 1, .key_differs = 1}));
  EXPECT_EQ(last_.executed, 2u) << last_.err;
  const Saved both = saved("p");
  EXPECT_THAT(worth("image"), ::testing::Contains(Saved{both.bytes - second.bytes, both.time_ns - second.time_ns}));

  ASSERT_EQ(cachectl({"--root", root_.str(), "gc", "run", "--policy", everything_goes()}).code, 0);
  EXPECT_EQ(stats()["regret"], (Json{{"results", 0}, {"time_ns", 0}}));
  EXPECT_EQ(solve_as("p", graph), (Added{.evicted = 3}));
  EXPECT_EQ(last_.executed, 3u) << last_.err;
  EXPECT_EQ(stats()["regret"]["results"], 5) << "the image, and of each step its root and what it put out";
  EXPECT_GT(stats()["regret"]["time_ns"], 0);
  EXPECT_THAT(cachectl({"--root", root_.str(), "stats"}).out, ::testing::HasSubstr("regret: 5 results made again"));

  EXPECT_EQ(solve_as("p", graph, {"--no-cache"}), Added{}) << "what ignores the cache looks nothing up";
  EXPECT_EQ(last_.executed, 3u) << last_.err;
}

// A step that has to be made again says since when and why, and what it costs.
TEST_F(StatisticsOfSolves, AMissThatWasEvictedSaysWhenByWhichRuleAndWhatItCosts) {
  const auto graph = chain("echo one > /out/file");
  ASSERT_EQ(solve(graph).code, 0);
  ASSERT_EQ(cachectl({"--root", root_.str(), "gc", "run", "--policy", everything_goes()}).code, 0);
  const Ended again = cachectl(solve_command(write_graph(bytes_of(graph)), {"--progress", "none"}));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, ::testing::ContainsRegex("first: evicted [0-9]+[smh] ago by .*spring cleaning.*, [0-9.]+[a-z]+ to rebuild"));
  ASSERT_EQ(cachectl({"--root", root_.str(), "gc", "run", "--policy", everything_goes()}).code, 0);
  const Json json = Json::parse(solve(graph).out, nullptr, false);
  for (const Json& step : json["steps"]) {
    EXPECT_THAT(step["evicted"]["rule"].get<std::string>(), ::testing::HasSubstr("spring cleaning"));
    EXPECT_GT(step["evicted"]["build_time_ns"], 0);
  }
  EXPECT_FALSE(Json::parse(solve(graph, {"--no-cache"}).out, nullptr, false)["steps"][0].contains("evicted")) << "it was there";
}

TEST_F(StatisticsOfSolves, GoToWhoAskedAndSoDoTheRecords) {
  const auto graph = chain("echo one > /out/file");
  EXPECT_EQ(solve_as("maker", graph), (Added{.never_seen = 3}));
  EXPECT_EQ(solve_as("user", graph), (Added{.hits = 1}));
  EXPECT_EQ(counts(of_project("maker")), (Added{.never_seen = 3}));
  EXPECT_EQ(counts(stats()["total"]), (Added{.hits = 1, .never_seen = 3}));
  const auto env = engine::open_read_only(root_);
  ASSERT_TRUE(env);
  const auto read = cache::each_record(**env, root_, [&](const cache::RecordInfo& record) -> base::Status {
    EXPECT_EQ(record.facts.owner.project, "maker");
    EXPECT_EQ(record.facts.owner.build, "b1");
    EXPECT_NE(record.facts.owner.step, "");
    return {};
  });
  EXPECT_TRUE(read);
  const Ended wrong = cachectl(solve_command(write_graph(bytes_of(graph)), {"--project", std::string(257, 'x')}));
  EXPECT_EQ(wrong.code, 2) << wrong.err;
}

TEST_F(StatisticsOfSolves, ASourceWithOtherContentIsAnotherKey) {
  const base::HostPath dir = make_dir("src");
  put(dir, "file", "one\n");
  const Words local = {"--local", "src=" + dir.str()};
  const auto graph = [&] {
    return output("use", "cat /in/file > /out/copy", {{.dest = "/in", .source = llb::local("src"), .read_only = true}});
  };
  EXPECT_EQ(solve_as("p", graph(), local), (Added{.never_seen = 3}));
  EXPECT_EQ(solve_as("p", graph(), local), (Added{.hits = 1}));
  put(dir, "file", "two\n");
  EXPECT_EQ(solve_as("p", graph(), local), (Added{.hits = 1, .key_differs = 2})) << "the image is found";
}

TEST_F(StatisticsOfSolves, AStepThatFailsWasAMiss) {
  const auto failing = output("fail", "echo half > /out/half; exit 3");
  EXPECT_EQ(solve_as("p", failing), (Added{.never_seen = 2}));
  EXPECT_EQ(last_.failed, 1u);
  EXPECT_EQ(solve_as("p", failing), (Added{.hits = 1, .never_seen = 1}));
  EXPECT_EQ(last_.failed, 1u);
}

TEST_F(StatisticsOfSolves, SpaceByOwnerAndByTypeAddsUpToTheSame) {
  solve_as("one", chain("echo one > /out/file"));
  solve_as("two", chain("echo two > /out/file"));
  std::int64_t totals[4] = {};
  int at = 0;
  for (const char* by : {"type", "project", "build", "step"}) {
    const Ended ended = cachectl({"--root", root_.str(), "du", "--by", by, "--json"});
    ASSERT_EQ(ended.code, 0) << ended.err;
    const Json json = Json::parse(ended.out, nullptr, false);
    EXPECT_EQ(json["by"], by);
    std::int64_t sum = json["unowned_bytes"];
    std::uint64_t records = 0;
    for (const Json& share : json["shares"]) {
      sum += share["exclusive_bytes"].get<std::int64_t>() + share["shared_bytes"].get<std::int64_t>();
      records += share["records"].get<std::uint64_t>();
    }
    EXPECT_EQ(sum, json["total_bytes"]) << by;
    totals[at++] = sum;
    const Json usage = Json::parse(cachectl({"--root", root_.str(), "du", "--json"}).out, nullptr, false);
    EXPECT_EQ(records, usage["records"]) << by;
    EXPECT_EQ(sum, usage["tree_bytes"].get<std::int64_t>() + usage["blob_bytes"].get<std::int64_t>() +
                       usage["pack_bytes"].get<std::int64_t>() - usage["pack_reclaimable_bytes"].get<std::int64_t>())
        << by;
  }
  EXPECT_GT(totals[0], 0);
  const Ended table = cachectl({"--root", root_.str(), "du", "--by", "project"});
  EXPECT_THAT(table.out, ::testing::HasSubstr("one"));
  EXPECT_THAT(table.out, ::testing::HasSubstr("two"));
  EXPECT_EQ(cachectl({"--root", root_.str(), "du", "--by", "colour"}).code, 2);
}

// The other way: what each record of `ls` takes, and the sums of it.
TEST_F(StatisticsOfSolves, WhatEachRecordTakesAddsUpToItsOwner) {
  solve_as("one", chain("echo one > /out/file"));
  solve_as("two", chain("echo two > /out/file"));
  std::map<std::string, std::int64_t> exclusive;
  const Json list = Json::parse(cachectl({"--root", root_.str(), "ls", "--json"}).out);
  for (const Json& record : list["records"]) {
    exclusive[record["owner"]["project"]] += record["exclusive_bytes"].get<std::int64_t>();
  }
  const Json by_project = Json::parse(cachectl({"--root", root_.str(), "du", "--by", "project", "--json"}).out);
  ASSERT_EQ(by_project["shares"].size(), 2u);
  for (const Json& share : by_project["shares"]) {
    EXPECT_GT(share["exclusive_bytes"], 0);
    EXPECT_EQ(share["exclusive_bytes"], exclusive[share["name"]]) << share["name"];
  }
}

}  // namespace
}  // namespace cairn::test
