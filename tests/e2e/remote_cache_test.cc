// SPDX-License-Identifier: Apache-2.0
// --cache-from and --cache-to of the real cachectl, with steps that are real containers.
#include <filesystem>

#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using testing::HasSubstr;

class RemoteCache : public World {
 protected:
  std::string place() const { return (temp_ / "cache").str(); }
  Words to(const std::string& more = ",mode=max") const { return {"--cache-to", "type=local,dest=" + place() + more}; }
  Words from() const { return {"--cache-from", "type=local,src=" + place()}; }
  void wipe() { std::filesystem::remove_all(root_.str()); }
};

TEST_F(RemoteCache, WhatRanInOneStoreDoesNotRunInAnother) {
  const llb::State built = output("link", "cat /in/object > /out/program", {llb::Mount{.dest = "/in", .source = output("compile", "echo object > /out/object"), .read_only = true}});
  const Solved first = solve(built, to());
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_GT(first.executed, 0u);
  const auto caches = nlohmann::json::parse(first.out).at("caches");
  ASSERT_EQ(caches.size(), 1u);
  EXPECT_GT(caches[0].at("new_blobs"), 0);
  const Solved again = solve(built, to());
  EXPECT_EQ(nlohmann::json::parse(again.out).at("caches")[0].at("new_blobs"), 0) << "nothing new";

  wipe();
  Words more = from();
  more.insert(more.end(), {"--output", export_to("out")});
  const Solved second = solve(built, more);
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_EQ(second.executed, 0u) << second.out;
  EXPECT_EQ(exported("out", "program"), "object\n");
}

TEST_F(RemoteCache, WhatDiffersRunsOnTopOfWhatIsTheSame) {
  const llb::State compiled = output("compile", "echo object > /out/object");
  EXPECT_EQ(solve(output("link", "cat /in/object > /out/program", {llb::Mount{.dest = "/in", .source = compiled, .read_only = true}}), to()).code, 0);
  wipe();
  Words more = from();
  more.insert(more.end(), {"--output", export_to("out")});
  const Solved other = solve(output("link", "cat /in/object /in/object > /out/program", {llb::Mount{.dest = "/in", .source = compiled, .read_only = true}}), more);
  EXPECT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(other.states.at("compile"), "cached");
  EXPECT_EQ(other.states.at("link"), "executed");
  EXPECT_EQ(exported("out", "program"), "object\nobject\n");
}

TEST_F(RemoteCache, WhatIsGoneWhenItsFilesAreWantedIsMadeAgain) {
  const llb::State built = output("link", "cat /in/object > /out/program", {llb::Mount{.dest = "/in", .source = output("compile", "echo object > /out/object"), .read_only = true}});
  ASSERT_EQ(solve(built, to()).code, 0);
  wipe();
  EXPECT_EQ(solve(built, from()).executed, 0u) << "and nothing of it is here";
  std::filesystem::remove_all(place());
  const Solved again = solve(built, {"--output", export_to("out")});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.states.at("compile"), "executed") << again.out;
  EXPECT_EQ(again.states.at("link"), "executed") << again.out;
  EXPECT_THAT(again.err, HasSubstr("warning: fetch the result: "));
  EXPECT_THAT(again.err, HasSubstr("is done again"));
  EXPECT_EQ(exported("out", "program"), "object\n");
  EXPECT_EQ(solve(built).executed, 0u);
  expect_clean();
}

TEST_F(RemoteCache, WithoutACacheTheBuildGoesOnAndSaysSo) {
  const Solved solved = solve(output("build", "echo x > /out/x"), from());
  EXPECT_EQ(solved.code, 0) << solved.err;
  EXPECT_THAT(solved.err, HasSubstr("no cache is imported"));
}

TEST_F(RemoteCache, WhatMeansNothingIsSaidBeforeAnythingRuns) {
  for (const Words& words : {Words{"--cache-from", "type=cloud,src=x"}, Words{"--cache-from", "type=local"}, Words{"--cache-to", "type=local,dest=x,mode=most"},
                             Words{"--cache-to", "type=registry,ref=a/b,colour=red"}, Words{"--cache-to", "type=local,dest=x,dest=y"}}) {
    const Solved solved = solve(output("build", "echo x > /out/x"), words);
    EXPECT_EQ(solved.code, 2) << words[1] << solved.err;
    EXPECT_THAT(solved.err, HasSubstr(words[0]));
  }
  wipe();  // nothing has made a store
  EXPECT_EQ(solve(output("build", "echo x > /out/x")).code, 0);
}

}  // namespace
}  // namespace cairn::test
