// SPDX-License-Identifier: Apache-2.0
// What processes of steps are given besides trees: secrets, cache mounts, limits.
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/e2e/world.h"
#include "tests/support/own_network.h"

namespace cairn::test {
namespace {

namespace wire = solver::wire;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// In no file of the store and in nothing that was said.
constexpr const char* the_secret = "a-very-secret-word-0123456789";

class Mounts : public World {
 protected:
  llb::State run(const std::string& name, const std::string& script, llb::RunOptions options) const {
    options.name = name;
    options.mounts.push_back({.dest = "/out"});
    return image().run({"sh", "-c", script}, options).mount_output("/out");
  }
  static llb::RunOptions with_cache(const std::string& id, wire::CacheSharing sharing = wire::CacheSharing::shared) {
    return {.mounts = {{.dest = "/cache", .cache_id = id, .cache_sharing = sharing}}};
  }
  // Files below the store that hold the text, by name or content.
  Words files_with(const std::string& text) const {
    Words found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_.str())) {
      if (entry.path().string().find(text) != std::string::npos) found.push_back(entry.path());
      if (entry.is_regular_file() && read_text(entry.path()).find(text) != std::string::npos) found.push_back(entry.path());
    }
    return found;
  }
};

TEST_F(Mounts, ASecretIsSeenByItsStepAndStoredNowhere) {
  write_text(temp_ / "word", the_secret);
  const auto step = run("uses it",
                        "wc -c < /run/word > /out/size; stat -c '%a %u %g' /run/word > /out/stat; test \"$(cat /run/word)\" = \"$WORD\" && "
                        "echo same > /out/env; (echo x > /run/word) 2>/dev/null || echo read-only > /out/ro; test -e /run/other || echo none > /out/other",
                        {.secrets = {{.id = "word", .dest = "/run/word", .env = "WORD", .uid = 3, .gid = 4, .mode = 0440},
                                     {.id = "other", .dest = "/run/other", .env = "OTHER", .optional = true}}});
  const Words given = {"--secret", "id=word,src=" + (temp_ / "word").str()};
  Words words = given;
  words.insert(words.end(), {"--output", export_to("out")});
  const Solved solved = solve(step, words);
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("out", "size"), fmt::format("{}\n", std::string(the_secret).size()));
  EXPECT_EQ(exported("out", "stat"), "440 3 4\n");
  EXPECT_EQ(exported("out", "env"), "same\n");
  EXPECT_EQ(exported("out", "ro"), "read-only\n");
  EXPECT_EQ(exported("out", "other"), "none\n");
  EXPECT_THAT(solved.out + solved.err, Not(HasSubstr(the_secret)));
  EXPECT_THAT(files_with(the_secret), IsEmpty());
  // Another secret under the same id is the same step.
  write_text(temp_ / "word", "another word");
  EXPECT_EQ(solve(step, given).executed, 0u);
}

// Neither of the step's processes nor of the engine that knows it, whatever the user's shell allows.
TEST_F(Mounts, ASecretIsInNoCoreFile) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_CORE, &before), 0);
  const rlimit raised{before.rlim_max, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_CORE, &raised), 0);
  write_text(temp_ / "word", the_secret);
  const auto step = run("dies", "cd /out; sh -c 'test -n \"$WORD\"; kill -SEGV $$'; sh -c 'kill -ABRT $$'; ls /out; echo ready; sleep 1000",
                        {.secrets = {{.id = "word", .dest = "/run/word", .env = "WORD"}}});
  auto solving = start_solve(step, {"--secret", "id=word,src=" + (temp_ / "word").str()});
  ASSERT_EQ(::setrlimit(RLIMIT_CORE, &before), 0);
  ASSERT_TRUE(eventually([&] { return solving->err_so_far().find("ready") != std::string::npos; }));
  EXPECT_THAT(solving->err_so_far(), Not(HasSubstr("core"))) << "what the step listed";
  rlimit engines{};
  ASSERT_EQ(::prlimit(solving->pid(), RLIMIT_CORE, nullptr, &engines), 0);
  EXPECT_LE(engines.rlim_cur, 1u);
  EXPECT_EQ(engines.rlim_max, before.rlim_max);
  EXPECT_THAT(files_with(the_secret), IsEmpty());
  solving->signal(SIGINT);
  solving->wait();
}

TEST_F(Mounts, TheSearchForASecretFindsWhatAStepHasWritten) {
  write_text(temp_ / "word", the_secret);
  const auto leaks = run("leaks", "cp /run/word /out/leaked", {.secrets = {{.id = "word", .dest = "/run/word"}}});
  ASSERT_EQ(solve(leaks, {"--secret", "id=word,src=" + (temp_ / "word").str()}).code, 0);
  EXPECT_THAT(files_with(the_secret), Not(IsEmpty()));
}

TEST_F(Mounts, ASecretThatIsNotGivenFailsTheStepBeforeItRuns) {
  const Solved solved = solve(run("needs it", "true", {.secrets = {{.id = "word", .dest = "/run/word"}}}));
  EXPECT_EQ(solved.code, 3);
  EXPECT_EQ(solved.states.at("needs it"), "failed");
  EXPECT_THAT(solved.err, HasSubstr("the secret \"word\" is not given"));
  EXPECT_THAT(solved.err, HasSubstr("--secret id=word,src=FILE"));
}

TEST_F(Mounts, WrongSecretOptionsAreUsageErrorsAndDoNotRepeatThem) {
  for (const std::string wrong : {"src=x", "id=", the_secret, "id=a,src=x,env=Y"}) {
    const Ended ended = cachectl({"--root", root_.str(), "solve", "x.pb", "--secret", wrong});
    EXPECT_EQ(ended.code, 2) << wrong;
  }
  EXPECT_EQ(cachectl({"--root", root_.str(), "solve", "x.pb", "--secret", "id=a,src=" + (temp_ / "missing").str()}).code, 3);
}

TEST_F(Mounts, ACacheMountLivesOnAndIsNoPartOfTheResult) {
  const auto use = [&](const std::string& text) {
    return run("use " + text, "cat /cache/* > /out/before 2>/dev/null; echo " + text + " > /cache/" + text + "; ls /cache > /out/now",
               with_cache("id"));
  };
  ASSERT_EQ(solve(use("a"), {"--output", export_to("a")}).code, 0);
  ASSERT_EQ(solve(use("b"), {"--output", export_to("b")}).code, 0);
  EXPECT_EQ(exported("a", "before"), "");
  EXPECT_EQ(exported("b", "before"), "a\n");
  EXPECT_EQ(exported("b", "now"), "a\nb\n");
  EXPECT_EQ(solve(use("a")).executed, 0u) << "what is in it is no part of the key";
  EXPECT_EQ(solve(run("other", "ls /cache > /out/now", with_cache("other")), {"--output", export_to("other")}).code, 0);
  EXPECT_EQ(exported("other", "now"), "");
}

TEST_F(Mounts, AStepThatFailsKeepsItsCacheAndOneThatIsKilledLeavesItAsItWas) {
  EXPECT_EQ(solve(run("fails", "echo kept > /cache/kept; exit 3", with_cache("id"))).code, 1);
  auto killed = start_solve(run("killed", "echo lost > /cache/lost; echo ready; sleep 1000", with_cache("id")));
  ASSERT_TRUE(eventually([&] { return killed->err_so_far().find("ready") != std::string::npos; }));
  killed->signal(SIGKILL);
  killed->wait();
  ASSERT_EQ(solve(run("looks", "ls /cache > /out/now", with_cache("id")), {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "now"), "kept\n");
}

TEST_F(Mounts, AStepThatCrashesLeavesItsCacheAsItWas) {
  ASSERT_EQ(solve(run("begins", "echo x > /cache/x", with_cache("id"))).code, 0);
  EXPECT_EQ(solve(run("crashes", "echo half > /cache/half; sh -c 'kill -SEGV $$'; exit $?", with_cache("id"))).code, 1);
  ASSERT_EQ(solve(run("looks", "ls /cache > /out/now", with_cache("id")), {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "now"), "x\n");
}

TEST_F(Mounts, OutputWithoutEndIsCutOffAndTheStepGoesOn) {
  const Ended solved = start_solve(run("talks", "yes $(printf %0500d 1) | head -c 30000000; echo last > /out/said", {}), {"--output", export_to("out")})->wait();
  ASSERT_EQ(solved.code, 0) << solved.err.substr(0, 1000);
  EXPECT_EQ(exported("out", "said"), "last\n");
  EXPECT_THAT(solved.err, HasSubstr("the step has written 2097152 bytes of output; more is not shown"));
  EXPECT_LT(solved.err.size(), std::size_t{4} << 20);
}

TEST_F(Mounts, WhatAFailedStepCachedIsDroppedIfAskedFor) {
  EXPECT_EQ(solve(run("fails", "echo x > /cache/x; exit 3", with_cache("id")), {"--cache-mount-on-fail", "drop"}).code, 1);
  EXPECT_EQ(solve(run("ends well", "echo y > /cache/y", with_cache("id")), {"--cache-mount-on-fail", "drop"}).code, 0);
  ASSERT_EQ(solve(run("looks", "ls /cache > /out/now", with_cache("id")), {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "now"), "y\n");
}

TEST_F(Mounts, AFailedStepsTreesAreKeptIfAskedForAndCanBeLookedAt) {
  llb::RunOptions options = with_cache("id");
  options.mounts.push_back({.dest = "/in", .source = run("input", "echo input > /out/input", {}), .read_only = true});
  const auto fails = run("fails", "echo half > /half; echo object > /out/object; echo x > /cache/x; exit 3", options);
  const Solved plain = solve(fails);
  EXPECT_EQ(plain.code, 1);
  EXPECT_THAT(plain.err, Not(HasSubstr("kept")));
  const Solved kept = solve(fails, {"--keep-failed", "--project", "web"});
  EXPECT_EQ(kept.code, 1);
  const auto json = nlohmann::json::parse(kept.out);
  std::map<std::string, std::string> records;
  for (const auto& step : json.at("steps")) {
    if (step.at("name") != "fails") {
      EXPECT_FALSE(step.contains("kept")) << step;
      continue;
    }
    for (const auto& tree : step.at("kept")) records[tree.at("mount")] = tree.at("record");
    for (const auto& [mount, record] : records)
      EXPECT_THAT(step.at("error").get<std::string>(), HasSubstr(fmt::format("{} is record {}", mount, record)));
  }
  ASSERT_THAT(records, ::testing::UnorderedElementsAre(::testing::Key("/"), ::testing::Key("/out")));
  EXPECT_THAT(kept.err, HasSubstr("hint: look at a tree that was kept: cachectl record export " + records.at("/") + " DIR"));

  const Ended exported_root = cachectl({"--root", root_.str(), "record", "export", records.at("/"), (temp_ / "look").str()});
  ASSERT_EQ(exported_root.code, 0) << exported_root.err;
  EXPECT_EQ(exported("look", "half"), "half\n");
  const Ended exported_out = cachectl({"--root", root_.str(), "record", "export", records.at("/out"), (temp_ / "out").str(), "--json"});
  ASSERT_EQ(exported_out.code, 0) << exported_out.err;
  EXPECT_EQ(exported_out.out, "{\"format\":1,\"files\":1,\"bytes\":7}\n");
  EXPECT_EQ(exported("out", "object"), "object\n");

  // They go with what is not used.
  const auto listed = nlohmann::json::parse(cachectl({"--root", root_.str(), "prune", "--dry-run", "--json"}).out);
  std::map<std::string, std::string> gone;
  for (const auto& record : listed.at("records")) gone[record.at("id")] = record.at("description");
  EXPECT_EQ(gone[records.at("/")], "failed: fails, mount /");
  EXPECT_EQ(gone[records.at("/out")], "failed: fails, mount /out");
  ASSERT_EQ(cachectl({"--root", root_.str(), "prune"}).code, 0);
  EXPECT_EQ(cachectl({"--root", root_.str(), "record", "export", records.at("/"), (temp_ / "late").str()}).code, 3);
}

TEST_F(Mounts, OfAStepThatIsKilledOrStoppedNothingIsKept) {
  const Solved crashed = solve(run("crashes", "echo x > /out/x; sh -c 'kill -SEGV $$'; exit $?", {}), {"--keep-failed"});
  EXPECT_EQ(crashed.code, 1);
  EXPECT_THAT(crashed.err, Not(HasSubstr("kept")));
  auto stopped = start_solve(run("stopped", "echo x > /out/x; echo ready; sleep 1000", {}), {"--keep-failed"});
  ASSERT_TRUE(eventually([&] { return stopped->err_so_far().find("ready") != std::string::npos; }));
  stopped->signal(SIGINT);
  const Ended ended = stopped->wait();
  EXPECT_EQ(ended.code, 130);
  EXPECT_THAT(ended.err, Not(HasSubstr("kept")));
  const Ended listed = cachectl({"--root", root_.str(), "ls", "--json"});
  EXPECT_THAT(listed.out, Not(HasSubstr("failed: ")));
}

TEST_F(Mounts, TheOwnerKeepsAndCopiesTreesForOthers) {
  auto owner = start_solve(run("owner", "echo ready; sleep 1000", {}));
  ASSERT_TRUE(eventually([&] { return owner->err_so_far().find("ready") != std::string::npos; }));
  const Solved kept = solve(run("fails", "echo object > /out/object; exit 3", {}), {"--keep-failed"});
  EXPECT_EQ(kept.code, 1) << kept.err;
  const auto json = nlohmann::json::parse(kept.out);
  const std::string record = json.at("steps").back().at("kept").at(1).at("record");
  EXPECT_EQ(cachectl({"--root", root_.str(), "record", "export", record, (temp_ / "out").str()}).code, 0);
  EXPECT_EQ(exported("out", "object"), "object\n");
  EXPECT_EQ(cachectl({"--root", root_.str(), "record", "export", "999999", (temp_ / "none").str()}).code, 3);
  owner->signal(SIGINT);
  owner->wait();
}

// Each waits for what the other writes; the engine runs two steps at a time wherever there are two cores.
TEST_F(Mounts, StepsOfOneSolveThatShareACacheMountSeeEachOtherWrite) {
  if (std::thread::hardware_concurrency() < 2) return (void)std::printf("one core: steps run one after the other\n");
  std::vector<llb::State> steps;
  for (const auto& [mine, other] : {std::pair("a", "b"), std::pair("b", "a")}) {
    steps.push_back(run(mine, fmt::format("touch /cache/{0}; i=0; until [ -e /cache/{1} ]; do i=$((i+1)); [ $i -lt 600 ] || exit 1; sleep 0.05; done; "
                                          "touch /out/{0}", mine, other),
                        with_cache("id")));
  }
  ASSERT_EQ(solve(llb::merge(steps), {"--output", export_to("out")}).code, 0);
  ASSERT_EQ(solve(run("looks", "ls /cache > /out/now", with_cache("id")), {"--output", export_to("after")}).code, 0);
  EXPECT_EQ(exported("after", "now"), "a\nb\n");
}

// The marker would be seen by a second step in the cache at the same time.
// Two at a time, which meet in a shared one: each has its own, and both have left what they wrote afterwards.
TEST_F(Mounts, APrivateCacheMountIsEachStepsOwnAndKeepsWhatBothWrote) {
  std::vector<llb::State> steps;
  for (const std::string name : {"a", "b"}) {
    llb::RunOptions options{.mounts = {{.dest = "/cache", .cache_id = "own", .cache_sharing = wire::CacheSharing::exclusive},
                                       {.dest = "/meet", .cache_id = "meet", .cache_sharing = wire::CacheSharing::shared}}};
    const std::string other = name == "a" ? "b" : "a";
    steps.push_back(run(name, "echo x > /cache/" + name + "; echo x > /meet/" + name + "; until test -e /meet/" + other +
                                  "; do sleep 0.01; done; ls /cache > /out/" + name, options));
  }
  ASSERT_EQ(solve(llb::merge(steps), {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "a"), "a\n");
  EXPECT_EQ(exported("out", "b"), "b\n");
  ASSERT_EQ(solve(run("looks", "ls /cache > /out/now", {.mounts = {{.dest = "/cache", .cache_id = "own", .cache_sharing = wire::CacheSharing::exclusive}}}),
                  {"--output", export_to("after")}).code, 0);
  EXPECT_EQ(exported("after", "now"), "a\nb\n");
}

TEST_F(Mounts, ALockedCacheMountServesOneStepAfterTheOther) {
  std::vector<llb::State> steps;
  for (const char* name : {"a", "b", "c"}) {
    steps.push_back(run(name, std::string("n=$(cat /cache/count 2>/dev/null || echo 0); sleep 0.2; echo $((n+1)) > /cache/count; cp /cache/count /out/") + name,
                        with_cache("id", wire::CacheSharing::locked)));
  }
  ASSERT_EQ(solve(llb::merge(steps), {"--output", export_to("out")}).code, 0);
  Words counts;
  for (const char* name : {"a", "b", "c"}) counts.push_back(exported("out", name));
  std::sort(counts.begin(), counts.end());
  EXPECT_THAT(counts, ElementsAre("1\n", "2\n", "3\n")) << "each saw what the one before had left";
}

TEST_F(Mounts, ATmpfsHasItsSizeAndLeavesNothing) {
  const auto step = run("fills", "(dd if=/dev/zero of=/tmp/big bs=1M count=8) 2>/dev/null || echo full > /out/said",
                        {.mounts = {{.dest = "/tmp", .tmpfs = true, .tmpfs_size = 1 << 20}}});
  ASSERT_EQ(solve(step, {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "said"), "full\n");
}

TEST_F(Mounts, LimitsHostsAndExitCodesAreAsTheStepSays) {
  const auto step = run("looks", "ulimit -n > /out/files; hostname > /out/name; grep -c 'elsewhere' /etc/hosts > /out/hosts; exit 7",
                        {.hostname = "named", .extra_hosts = {{"elsewhere", "192.0.2.1"}},
                         .ulimits = {{.name = "nofile", .soft = 77, .hard = 99, .unknown = {}}}, .valid_exit_codes = {7}});
  ASSERT_EQ(solve(step, {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "files"), "77\n");
  EXPECT_EQ(exported("out", "name"), "named\n");
  EXPECT_EQ(exported("out", "hosts"), "1\n");
  const Solved wrong = solve(run("wrong", "true", {.ulimits = {{.name = "nothing", .soft = 1, .hard = 1, .unknown = {}}}}));
  EXPECT_EQ(wrong.states.at("wrong"), "failed");
  EXPECT_THAT(wrong.err, HasSubstr("ulimit \"nothing\""));
}

TEST_F(Mounts, WithoutANetworkThereIsOnlyTheLoopback) {
  ASSERT_EQ(solve(run("looks", "grep -c : /proc/net/dev > /out/count; grep -o lo: /proc/net/dev > /out/lo", {.network = wire::NetMode::none}),
                  {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "count"), "1\n");
  EXPECT_EQ(exported("out", "lo"), "lo:\n");
}

TEST_F(Mounts, AStepHasANetworkOfItsOwnUnlessItAsksForTheHosts) {
  const auto in_network = in_own_network([&] {
    const Greeter greeter("greeted\n");
    const auto ask = [&](const std::string& name, const std::string& address, wire::NetMode mode) {
      return run(name, fmt::format("(nc -w 2 {} {} || echo nobody) < /dev/null > /out/said", address, greeter.port()), {.network = mode});
    };
    ASSERT_EQ(solve(ask("own, outside", outside_address, wire::NetMode::unset), {"--output", export_to("outside")}).code, 0);
    ASSERT_EQ(solve(ask("own, loopback", "127.0.0.1", wire::NetMode::unset), {"--output", export_to("loopback")}).code, 0);
    ASSERT_EQ(solve(ask("host's, loopback", "127.0.0.1", wire::NetMode::host),
                    {"--allow", "network.host", "--output", export_to("host")}).code, 0);
  });
  ASSERT_TRUE(in_network) << in_network.error().message;
  EXPECT_EQ(exported("outside", "said"), "greeted\n");
  EXPECT_EQ(exported("loopback", "said"), "nobody\n");
  EXPECT_EQ(exported("host", "said"), "greeted\n");
}

}  // namespace
}  // namespace cairn::test
