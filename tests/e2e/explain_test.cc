// SPDX-License-Identifier: Apache-2.0
// Why was this not cached? One step is solved, then once more for each way in which it can change; the answer has to name that
// change and no other. All in one store, so that the nearest earlier record has to be found among all the others.
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"
#include "tools/engine/engine.h"
#include "tools/engine/server.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;

class Explained : public World {
 protected:
  struct Spec {
    llb::State base;
    Words args = {"sh", "-c", "cat /src/a > /out/a"};
    llb::RunOptions run;
    std::string selector;       // of the mount of the source
    bool more_mounts = false;
    bool swapped = false;       // the two trees that are mounted at /x and /y
  };

  void SetUp() override {
    make_dir("context");
    put(context_, "a", "a\n");
    put(context_, "b", "b\n");
    ASSERT_EQ(::mkdir((context_ / "d").c_str(), 0755), 0);
    put(context_, "d/a", "deep\n");
  }
  Words locals() const { return {"--local", "context=" + context_.str()}; }

  Spec spec() const {
    Spec spec;
    spec.base = image();
    spec.run.name = "step";
    spec.run.env = {{"MODE", "fast"}, {"LEVEL", "1"}};
    spec.run.cwd = "/";
    return spec;
  }
  llb::State graph(const Spec& spec) const {
    const llb::State x = output("x", "echo x > /out/f"), y = output("y", "echo y > /out/f");
    llb::RunOptions run = spec.run;
    run.mounts = {{.dest = "/src", .source = llb::local("context", {.unique_id = "e2e"}), .selector = spec.selector, .read_only = true},
                  {.dest = "/x", .source = spec.swapped ? y : x, .read_only = true},
                  {.dest = "/y", .source = spec.swapped ? x : y, .read_only = true},
                  {.dest = "/out"}};
    if (spec.more_mounts) run.mounts.push_back({.dest = "/scratch", .tmpfs = true});
    return spec.base.run(spec.args, run).mount_output("/out");
  }
  Solved solve_spec(const Spec& spec) {
    Solved solved = solve(graph(spec), locals());
    EXPECT_EQ(solved.code, 0) << solved.err;
    EXPECT_EQ(solved.states["step"], "executed") << solved.out;
    return solved;
  }
  Json explain(Words words) {
    words.insert(words.begin(), {"--root", root_.str(), "explain", "--json"});
    const Ended ended = cachectl(words);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return Json::parse(ended.out, nullptr, false);
  }
  // The reason alone, without what is another number each time.
  Json reason(const Words& words = {"step"}) {
    const Json json = explain(words);
    if (json.value("steps", Json::array()).size() != 1) return json;
    Json reason = json["steps"][0]["reason"];
    earlier_ = reason.value("earlier", Json());
    reason.erase("earlier");
    way_ = Json::array();
    for (const Json& hop : json["steps"][0]["way"]) way_.push_back({hop["input"], hop["name"]});
    return reason;
  }
  std::string line(const Words& more = {"step"}) {
    Words words = {"--root", root_.str(), "explain"};
    words.insert(words.end(), more.begin(), more.end());
    const Ended ended = cachectl(words);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out;
  }
  static Json field(const char* name, const Json& before, const Json& after) {
    return {{"kind", "field"}, {"field", name}, {"before", before}, {"after", after}};
  }
  static Json content(const Json& paths) { return {{"kind", "content"}, {"paths_total", paths.size()}, {"paths", paths}}; }
  static Json path(const char* name, const char* kind, const Words& fields = {}) {
    return {{"path", name}, {"kind", kind}, {"fields", fields}};
  }

  base::HostPath context_ = temp_ / "context";
  Json earlier_, way_;
};

TEST_F(Explained, AStepThatNobodyHasMadeIsNeverSeen) {
  solve_spec(spec());
  EXPECT_EQ(reason(), Json({{"kind", "never_seen"}}));
  EXPECT_EQ(line(), "step: never seen\n");
  const Ended unknown = cachectl({"--root", root_.str(), "explain", "ste"});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_NE(unknown.err.find("step \"ste\": nothing of that name or digest was made"), std::string::npos) << unknown.err;
  EXPECT_NE(unknown.err.find("hint: is it \"step\"?"), std::string::npos) << unknown.err;
  EXPECT_EQ(cachectl({"--root", root_.str(), "explain"}).code, 2);
}

TEST_F(Explained, EachFieldOfAnOperationIsNamedWithBothValues) {
  solve_spec(spec());
  const Json first = explain({"step"})["steps"][0]["record"];
  const auto expect = [&](const char* what, const std::function<void(Spec&)>& change, const Json& wanted, const std::string& said) {
    SCOPED_TRACE(what);
    Spec changed = spec();
    change(changed);
    solve_spec(changed);
    EXPECT_EQ(reason(), wanted);
    EXPECT_EQ(way_, Json::array());
    EXPECT_EQ(earlier_.value("record", Json()), first) << "compared with something else than what was first";
    EXPECT_EQ(line(), "step: " + said + "\n");
  };
  expect("argument changed", [](Spec& s) { s.args[2] = "cat /src/b > /out/a"; }, field("argument 2", "cat /src/a > /out/a", "cat /src/b > /out/a"),
         R"(argument 2: "cat /src/a > /out/a" became "cat /src/b > /out/a")");
  expect("argument added", [](Spec& s) { s.args.push_back("more"); }, field("argument 3", nullptr, "more"), R"(argument 3: "more" is new)");
  expect("env changed", [](Spec& s) { s.run.env[0].second = "slow"; }, field("env MODE", "fast", "slow"), R"(env MODE: "fast" became "slow")");
  expect("env added", [](Spec& s) { s.run.env.emplace_back("DEBUG", "1"); }, field("env DEBUG", nullptr, "1"), R"(env DEBUG: "1" is new)");
  expect("env removed", [](Spec& s) { s.run.env.pop_back(); }, field("env LEVEL", "1", nullptr), R"(env LEVEL: "1" is gone)");
  expect("cwd", [](Spec& s) { s.run.cwd = "/bin"; }, field("cwd", "/", "/bin"), R"(cwd: "/" became "/bin")");
  expect("user", [](Spec& s) { s.run.user = "0"; }, field("user", nullptr, "0"), R"(user: "0" is new)");
  expect("mount added", [](Spec& s) { s.more_mounts = true; }, field("mount /scratch", nullptr, "tmpfs of 0 bytes, from scratch"),
         R"(mount /scratch: "tmpfs of 0 bytes, from scratch" is new)");
  expect("selector", [](Spec& s) { s.selector = "/d"; }, field("mount /src selector", nullptr, "/d"), R"(mount /src selector: "/d" is new)");
  expect("network", [](Spec& s) { s.run.network = solver::wire::NetMode::none; }, field("network", "sandbox", "none"),
         R"(network: "sandbox" became "none")");
  expect("platform", [](Spec& s) { s.run.platform = llb::Platform{.architecture = "amd64", .os = "linux", .variant = "v2", .os_version = {}, .os_features = {}, .unknown = {}}; },
         field("platform", "linux/amd64", "linux/amd64/v2"), R"(platform: "linux/amd64" became "linux/amd64/v2")");
  expect("input order", [](Spec& s) { s.swapped = true; },
         {{"kind", "inputs"}, {"field", "inputs 2 and 3"}, {"before", "x, y"}, {"after", "y, x"}}, R"(inputs 2 and 3: "x, y" became "y, x")");
  Spec less = spec();
  less.more_mounts = true;
  less.run.network = solver::wire::NetMode::host;  // far from all but the one with the mount
  less.run.hostname = "there";
  ASSERT_EQ(solve(graph(less), {"--local", "context=" + context_.str(), "--allow", "network.host"}).code, 0);
  less.more_mounts = false;
  ASSERT_EQ(solve(graph(less), {"--local", "context=" + context_.str(), "--allow", "network.host"}).code, 0);
  EXPECT_EQ(reason(), field("mount /scratch", "tmpfs of 0 bytes, from scratch", nullptr));
}

TEST_F(Explained, TheContentOfAnInputIsNamedByItsPaths) {
  solve_spec(spec());
  const auto expect = [&](const char* what, const Json& paths, const std::string& said) {
    SCOPED_TRACE(what);
    solve_spec(spec());
    EXPECT_EQ(reason(), content(paths));
    EXPECT_EQ(way_, Json::array({{1, "local://context"}}));
    EXPECT_EQ(line(), "step: input 1 \"local://context\": its content is another in 1 path\n    " + said + "\n");
  };
  put(context_, "a", "A\n");
  expect("file content", Json::array({path("a", "changed", {"content"})}), "changed content  a");
  ASSERT_EQ(::chmod((context_ / "d/a").c_str(), 0600), 0);
  expect("file mode", Json::array({path("d/a", "changed", {"mode"})}), "changed mode  d/a");
  put(context_, "d/new", "new\n");
  expect("file added", Json::array({path("d/new", "added")}), "added  d/new");
  ASSERT_EQ(::unlink((context_ / "b").c_str()), 0);
  expect("file removed", Json::array({path("b", "removed")}), "removed  b");
  ASSERT_EQ(::setxattr((context_ / "a").c_str(), "user.who", "me", 2, 0), 0);
  expect("extended attribute", Json::array({path("a", "changed", {"xattr"})}), "changed xattr  a");
  // The directory that is selected, and what is beside it.
  Spec selected = spec();
  selected.selector = "/d";
  solve_spec(selected);
  put(context_, "a", "beside\n");
  EXPECT_EQ(solve(graph(selected), locals()).states["step"], "cached");
  put(context_, "d/a", "DEEP\n", 0600);
  put(context_, "a", "also\n");
  solve_spec(selected);
  EXPECT_EQ(reason(), content(Json::array({path("d/a", "changed", {"content"})}))) << "what is not selected does not count";
}

// The owner of a file, which a local source does not have: in what another step makes. It is to blame, and these are its paths.
TEST_F(Explained, TheWayGoesDownToTheInputThatIsToBlame) {
  const auto chain = [&](const std::string& owner) {
    const auto made = output("made", "echo f > /out/f; touch -d '2020-01-01 00:00:00' /out/f; chown " + owner + " /out/f");
    const auto used = output("used", "cat /in/f > /out/g", {{.dest = "/in", .source = made, .read_only = true}});
    return output("last", "cat /in/g > /out/h", {{.dest = "/in", .source = used, .content_cache = solver::wire::ContentCache::off}});
  };
  ASSERT_EQ(solve(chain("0:0")).code, 0);
  ASSERT_EQ(solve(chain("7:8")).executed, 3u);
  Json wanted = field("argument 2", "echo f > /out/f; touch -d '2020-01-01 00:00:00' /out/f; chown 0:0 /out/f",
                      "echo f > /out/f; touch -d '2020-01-01 00:00:00' /out/f; chown 7:8 /out/f");
  EXPECT_EQ(reason({"last"}), wanted) << "its input does not decide by content";
  EXPECT_EQ(way_, Json::array({{1, "used"}, {1, "made"}}));
  wanted["paths_total"] = 1;
  wanted["paths"] = Json::array({path("f", "changed", {"owner"})});
  EXPECT_EQ(reason({"used"}), wanted);
  EXPECT_EQ(way_, Json::array({{1, "made"}}));
}

TEST_F(Explained, AnotherImageIsNamed) {
  solve_spec(spec());
  const TempDir other;
  std::filesystem::create_directory((other.path() / "root").str());
  write_text(other.path() / "root/marker", "x");
  const auto layered = other.path() / "layered";
  const BlobDigest manifest = write_layout(layered, {.layer_tars = {tar_of(busybox_image().dir / "root"), tar_of(other.path() / "root")}, .env = {}, .variant = ""});
  Spec changed = spec();
  changed.base = llb::oci_layout("other@" + manifest.str(), {.name = "image"}).env("PATH", "/bin");
  Words options = locals();
  options.insert(options.end(), {"--oci-layout", "other=" + layered.str()});
  ASSERT_EQ(solve(graph(changed), options).states["step"], "executed");
  const Json why = reason();
  EXPECT_EQ(why.value("kind", ""), "field");
  EXPECT_EQ(why.value("field", ""), "source");
  EXPECT_NE(why.value("before", "").find(busybox_image().manifest.str()), std::string::npos) << why;
  EXPECT_NE(why.value("after", "").find(manifest.str()), std::string::npos) << why;
  EXPECT_EQ(way_, Json::array({{0, "image"}}));
}

TEST_F(Explained, WhatWasTakenIsSaidWithRuleAndTime) {
  solve_spec(spec());
  ASSERT_EQ(cachectl({"--root", root_.str(), "prune", "--all"}).code, 0);
  Json why = reason();
  EXPECT_EQ(why.value("kind", ""), "evicted") << why;
  EXPECT_EQ(why.value("rule", ""), "rule 1 \"prune\"");
  solve_spec(spec());
  why = reason();
  EXPECT_EQ(why.value("kind", ""), "evicted") << why;
  EXPECT_EQ(why.value("rule", ""), "rule 1 \"prune\"");
  EXPECT_GT(why.value("build_time_ns", std::int64_t{0}), 0);
  EXPECT_THAT(line(), ::testing::MatchesRegex("step: evicted [0-9smh]+ ago by rule 1 \"prune\", [0-9.]+m?s to rebuild\n"));
  // The trees of both are gone by now, and what has changed between them is known all the same.
  ASSERT_EQ(cachectl({"--root", root_.str(), "prune", "--all"}).code, 0);
  put(context_, "b", "B\n");
  solve_spec(spec());
  EXPECT_EQ(reason(), content(Json::array({path("b", "changed", {"content"})})));
}

TEST_F(Explained, WhatWasAskedToRunIsNobodysFault) {
  solve_spec(spec());
  Words options = locals();
  options.push_back("--no-cache");
  ASSERT_EQ(solve(graph(spec()), options).states["step"], "executed");
  EXPECT_EQ(reason(), Json({{"kind", "asked"}}));
  EXPECT_EQ(line(), "step: asked to run whatever is stored\n");
}

// Counted by the kernel: every open of anything below trees/. Then with no trees at all.
TEST_F(Explained, NoFileOfATreeIsOpened) {
  solve_spec(spec());
  put(context_, "a", "A\n");
  solve_spec(spec());
  const int watch = ::inotify_init1(IN_NONBLOCK);
  ASSERT_GE(watch, 0);
  std::size_t watched = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator((root_ / "trees").str()))
    if (entry.is_directory() && !entry.is_symlink()) watched += ::inotify_add_watch(watch, entry.path().c_str(), IN_OPEN | IN_ACCESS) >= 0 ? 1 : 0;
  EXPECT_GT(watched, 5u);
  char buffer[4096];
  while (::read(watch, buffer, sizeof buffer) > 0) continue;  // of the walk itself
  for (const std::string& tree : names_in(root_ / "trees")) ASSERT_FALSE(names_in(root_ / "trees" / tree).empty());
  ASSERT_GT(::read(watch, buffer, sizeof buffer), 0) << "the watch sees nothing";
  const Json answer = explain({"step"});
  EXPECT_EQ(::read(watch, buffer, sizeof buffer), -1) << "something was opened";
  ::close(watch);
  EXPECT_EQ(answer["steps"][0]["reason"]["paths"], Json::array({path("a", "changed", {"content"})}));
  EXPECT_LE(answer["steps"][0]["rows_read"].get<int>(), 40);
  EXPECT_GT(answer["steps"][0]["pages_read"].get<int>(), 0);
  std::filesystem::rename((root_ / "trees").str(), (temp_ / "away").str());
  EXPECT_EQ(explain({"step"}), answer);
  std::filesystem::rename((temp_ / "away").str(), (root_ / "trees").str());
}

TEST_F(Explained, ASolveEndsWithTheReasonForEachExecutedStep) {
  solve_spec(spec());
  put(context_, "a", "A\n");
  Words options = locals();
  options.push_back("--explain");
  const Solved solved = solve(graph(spec()), options);
  ASSERT_EQ(solved.code, 0) << solved.err;
  std::map<std::string, Json> why;
  const Json json = Json::parse(solved.out);
  for (const Json& step : json["steps"])
    if (step.contains("why")) why[step["name"]] = step["why"]["reason"];
  ASSERT_EQ(why.size(), solved.executed);
  EXPECT_EQ(why.at("step")["kind"], "content");
  EXPECT_EQ(why.at("local://context")["paths"], Json::array({path("a", "changed", {"content"})}));
  put(context_, "a", "AA\n");
  options.insert(options.end(), {"--progress", "none"});
  const Ended text = cachectl(solve_command(write_graph(bytes_of(graph(spec()))), options));
  EXPECT_THAT(text.out, ::testing::HasSubstr("local://context: its content is another in 1 path\n    changed content  a\n"));
  EXPECT_THAT(text.out, ::testing::HasSubstr("step: input 1 \"local://context\": its content is another in 1 path\n    changed content  a\n"));
}

// Another process owns the store and does the work: what it made is said over the socket.
TEST_F(Explained, WhoeverOwnsTheStoreTheReasonsAreTheSame) {
  solve_spec(spec());
  auto engine = engine::Engine::open(engine::EngineOptions(root_));
  ASSERT_TRUE(engine) << engine.error().message;
  auto server = engine::Server::start(**engine);
  ASSERT_TRUE(server) << server.error().message;
  Spec changed = spec();
  changed.run.cwd = "/bin";
  Words options = locals();
  options.push_back("--explain");
  const Solved solved = solve(graph(changed), options);
  ASSERT_EQ(solved.code, 0) << solved.err;
  const Json json = Json::parse(solved.out);
  for (const Json& step : json["steps"]) {
    if (step["name"] != "step") continue;
    EXPECT_EQ(step["why"]["reason"]["field"], "cwd");
    EXPECT_EQ(step["why"]["record"], explain({"step"})["steps"][0]["record"]);
  }
  EXPECT_EQ(reason(), field("cwd", "/", "/bin"));
}

TEST_F(Explained, HistorySaysWhatOneSolveHasExecutedAndTheOtherNot) {
  solve_spec(spec());
  Spec changed = spec();
  changed.run.env[0].second = "slow";
  solve_spec(changed);
  const Json json = Json::parse(cachectl({"--root", root_.str(), "history", "diff", "previous", "last", "--json"}).out, nullptr, false);
  ASSERT_EQ(json["only_second"].size(), 1u) << json;
  EXPECT_EQ(json["only_second"][0]["name"], "step");
  EXPECT_EQ(json["only_second"][0]["other"], "executed") << "under another key";
  Json why = json["only_second"][0]["why"]["reason"];
  why.erase("earlier");
  EXPECT_EQ(why, field("env MODE", "fast", "slow"));
  std::map<std::string, std::string> first;
  for (const Json& step : json["only_first"]) first[step["name"]] = step["other"];
  EXPECT_EQ(first, (std::map<std::string, std::string>{{"image", "cached"}, {"local://context", "cached"}, {"step", "executed"}, {"x", "cached"}, {"y", "cached"}}));
  EXPECT_EQ(explain({"--solve", "last"})["steps"].size(), 1u);
  EXPECT_EQ(explain({"--solve", json["first"], "x"})["steps"][0]["reason"]["kind"], "never_seen");
  const std::string text = cachectl({"--root", root_.str(), "history", "diff", "previous", "last"}).out;
  EXPECT_THAT(text, ::testing::HasSubstr("  step (there: executed): env MODE: \"fast\" became \"slow\"\n"));
  EXPECT_EQ(cachectl({"--root", root_.str(), "history", "diff", "last", "0000000000000001"}).code, 3);
  const Json by_digest = explain({json["only_second"][0]["digest"].get<std::string>().substr(0, 20)});
  EXPECT_EQ(by_digest["steps"][0]["reason"]["field"], "env MODE");
}

// What a secret is stands in no table: only its id does.
TEST_F(Explained, SecretsNeverShow) {
  const base::HostPath secret = temp_ / "secret";
  write_text(secret, "hunter2hunter2");
  Spec with = spec();
  with.run.secrets = {{.id = "token", .dest = "/run/token", .env = "TOKEN"}};
  Words options = locals();
  options.insert(options.end(), {"--secret", "id=token,src=" + secret.str()});
  ASSERT_EQ(solve(graph(with), options).code, 0);
  with.run.secrets[0].env = "OTHER";
  ASSERT_EQ(solve(graph(with), options).code, 0);
  const Json why = reason();
  EXPECT_EQ(why["field"], "secret env OTHER") << why;
  EXPECT_EQ(read_text((root_ / "meta/data.mdb").str()).find("hunter2hunter2"), std::string::npos);
}

}  // namespace
}  // namespace cairn::test
