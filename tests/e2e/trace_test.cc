// SPDX-License-Identifier: Apache-2.0
// What `cachectl trace` records of real solves, each in a process of its own, and what a replay of it says.
#include <fstream>
#include <nlohmann/json.hpp>

#include "libcache/trace.h"
#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;
using Ended = cache::TracedLookup::Ended;

class TraceOfSolves : public World {
 protected:
  Json trace(Words words) {
    words.insert(words.begin(), {"--root", root_.str(), "trace"});
    words.push_back("--json");
    const auto ended = cachectl(words);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return Json::parse(ended.out, nullptr, false);
  }
  cache::Trace recorded() {
    auto trace = cache::parse_trace(base::read_file(root_ / "trace", 1 << 24).value());
    EXPECT_TRUE(trace) << trace.error().message;
    return std::move(*trace);
  }
  llb::State chain(const std::string& second) {
    const auto first = output("first", "echo a > /out/file");
    return output("second", second, {{.dest = "/in", .source = first, .read_only = true}});
  }
};

std::size_t count(const cache::TracedSolve& solve, Ended ended) {
  return static_cast<std::size_t>(std::count_if(solve.lookups.begin(), solve.lookups.end(), [&](const auto& lookup) { return lookup.ended == ended; }));
}

TEST_F(TraceOfSolves, SaysWhatWasMadeWhatWasFoundAndWhatNobodyAskedFor) {
  ASSERT_EQ(solve(chain("cat /in/file > /out/file")).code, 0);
  EXPECT_FALSE(trace({"record", "status"}).at("recording").get<bool>());
  EXPECT_TRUE(trace({"record", "on"}).at("recording").get<bool>());
  EXPECT_EQ(cachectl({"--root", root_.str(), "trace", "record", "on"}).code, 5) << "it is on already";
  ASSERT_EQ(solve(chain("cat /in/file > /out/file")).code, 0);
  ASSERT_EQ(solve(chain("cat /in/file /in/file > /out/file")).code, 0);
  const cache::Trace trace_of = recorded();
  EXPECT_GT(trace_of.present, 0u);
  ASSERT_EQ(trace_of.solves.size(), 2u);
  EXPECT_EQ(count(trace_of.solves[0], Ended::hit), 1u) << "the result; nothing else was asked for";
  EXPECT_EQ(count(trace_of.solves[0], Ended::made), 0u);
  EXPECT_GE(count(trace_of.solves[0], Ended::not_asked), 1u);
  EXPECT_EQ(count(trace_of.solves[1], Ended::made), 1u);
  EXPECT_GE(count(trace_of.solves[1], Ended::hit), 1u) << "what the other step is made of";

  const Json replayed = trace({"replay", "--policy", "infinite,lru,cost", "--size", "50%,100%", "--output", (temp_ / "chart.svg").str()});
  EXPECT_EQ(replayed.at("solves"), 2);
  ASSERT_EQ(replayed.at("runs").size(), 5u) << "infinite takes no size";
  const Json& infinite = replayed.at("runs")[0];
  EXPECT_EQ(infinite.at("hits").get<std::size_t>(), count(trace_of.solves[0], Ended::hit) + count(trace_of.solves[1], Ended::hit));
  EXPECT_EQ(infinite.at("made_again"), 0);
  std::ifstream chart((temp_ / "chart.svg").str());
  const std::string svg((std::istreambuf_iterator<char>(chart)), {});
  EXPECT_THAT(svg, ::testing::StartsWith("<svg "));
  EXPECT_THAT(svg, ::testing::HasSubstr("<polyline"));

  const std::string file = (temp_ / "kept.trace").str();
  trace({"record", "off", "--output", file});
  EXPECT_EQ(trace({"replay", file, "--policy", "infinite"}).at("runs")[0], infinite);
  EXPECT_EQ(cachectl({"--root", root_.str(), "trace", "record", "off"}).code, 3) << "it is off";
}

TEST_F(TraceOfSolves, BadInputIsOneErrorThatSaysWhatToDo) {
  ASSERT_EQ(solve(output("one", "echo a > /out/file")).code, 0);
  const auto none = cachectl({"--root", root_.str(), "trace", "replay"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, ::testing::HasSubstr("hint: name the FILE of a trace"));
  std::ofstream((temp_ / "other").str()) << "this and that";
  EXPECT_THAT(cachectl({"trace", "replay", (temp_ / "other").str()}).err, ::testing::HasSubstr("this is no trace"));
  trace({"record", "on", "--max", "1MiB"});
  EXPECT_EQ(cachectl({"--root", root_.str(), "trace", "replay"}).code, 1) << "there is no solve in it";
  EXPECT_NE(cachectl({"--root", root_.str(), "trace", "record", "on", "--max", "10%"}).code, 0);
  ASSERT_EQ(solve(output("one", "echo a > /out/file")).code, 0);
  EXPECT_NE(cachectl({"--root", root_.str(), "trace", "replay", "--policy", "nobody.toml"}).code, 0);
  EXPECT_NE(cachectl({"--root", root_.str(), "trace", "replay", "--size", "ten"}).code, 0);
}

}  // namespace
}  // namespace cairn::test
