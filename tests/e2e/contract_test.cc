// SPDX-License-Identifier: Apache-2.0
// The command contract: what scripts may rely on.
#include <fcntl.h>
#include <sys/stat.h>

#include <cmath>
#include <sstream>

#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

Json json_of(const Ended& ended) {
  EXPECT_EQ(ended.code, 0) << ended.err;
  auto json = Json::parse(ended.out, nullptr, false);
  EXPECT_TRUE(json.is_object()) << ended.out;
  return json;
}

Words keys_of(const Json& object) {
  Words keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class Contract : public World {
 protected:
  // image → first → second: three vertices.
  llb::State chain() {
    const auto first = output("first", "echo one > /out/file; echo said by first");
    return output("second", "cat /in/file /in/file > /out/twice", {{.dest = "/in", .source = first, .read_only = true}});
  }
  Ended verb(Words arguments) {
    arguments.insert(arguments.begin(), {"--root", root_.str()});
    return cachectl(std::move(arguments));
  }
};

TEST_F(Contract, SolveJsonIsOneObjectWithTheAgreedFields) {
  const base::HostPath graph = write_graph(bytes_of(chain()));
  const Ended ended = cachectl(solve_command(graph, {"--json", "--progress", "none"}));
  const Json json = json_of(ended);
  EXPECT_THAT(keys_of(json), ElementsAre("cached", "cancelled", "duration_ns", "executed", "failed", "format", "steps", "vertices"));
  EXPECT_EQ(json["format"], 1);
  EXPECT_EQ(json["vertices"], 3);
  EXPECT_EQ(json["executed"], 3);
  EXPECT_EQ(json["cached"], 0);
  EXPECT_GT(json["duration_ns"], 0);
  ASSERT_EQ(json["steps"].size(), 3u);
  for (const Json& entry : json["steps"]) {
    EXPECT_THAT(keys_of(entry), ElementsAre("digest", "duration_ns", "name", "state"));
    EXPECT_THAT(entry["digest"].get<std::string>(), MatchesRegex("sha256:[0-9a-f]{64}"));
    EXPECT_EQ(entry["state"], "executed");
    EXPECT_GT(entry["duration_ns"], 0);
  }
  EXPECT_THAT(ended.err, IsEmpty());
}

TEST_F(Contract, SecondSolveRunsNothingAndNoCacheRunsEverything) {
  const Solved cold = solve(chain());
  EXPECT_EQ(cold.executed, 3u) << cold.err;
  const Solved warm = solve(chain());
  EXPECT_EQ(warm.executed, 0u);
  EXPECT_EQ(warm.cached, 3u);
  const Solved forced = solve(chain(), {"--no-cache"});
  EXPECT_THAT(forced.in_state("executed"), ElementsAre("first", "image", "second"));
  const Solved after = solve(chain());
  EXPECT_EQ(after.executed, 0u);
}

TEST_F(Contract, DashReadsTheGraphFromStandardInput) {
  Words command = solve_command(*base::HostPath::parse("/unused"), {"--json", "--output", export_to("out")});
  command[3] = "-";
  const Solved solved = parse_solved(cachectl(command, bytes_of(chain())));
  EXPECT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(solved.executed, 3u);
  EXPECT_EQ(exported("out", "twice"), "one\none\n");
}

TEST_F(Contract, OutputIsTheTreeWithItsMetadata) {
  const auto made = output("make", "mkdir -p /out/d && echo x > /out/d/f && chown 12:34 /out/d/f && chmod 4750 /out/d/f && "
                                   "ln -s d/f /out/link && ln /out/d/f /out/hard && mkfifo /out/pipe");
  ASSERT_EQ(solve(made, {"--output", export_to("out")}).code, 0);
  struct ::stat file{}, hard{}, link{}, pipe{};
  ASSERT_EQ(::lstat((temp_ / "out/d/f").c_str(), &file), 0);
  ASSERT_EQ(::lstat((temp_ / "out/hard").c_str(), &hard), 0);
  ASSERT_EQ(::lstat((temp_ / "out/link").c_str(), &link), 0);
  ASSERT_EQ(::lstat((temp_ / "out/pipe").c_str(), &pipe), 0);
  EXPECT_EQ(file.st_mode, S_IFREG | 04750u);
  EXPECT_EQ(file.st_uid, 12u);
  EXPECT_EQ(file.st_gid, 34u);
  EXPECT_EQ(file.st_ino, hard.st_ino);
  EXPECT_TRUE(S_ISLNK(link.st_mode));
  EXPECT_TRUE(S_ISFIFO(pipe.st_mode));
}

TEST_F(Contract, TextResultIsALineOnStandardOutput) {
  const base::HostPath graph = write_graph(bytes_of(chain()));
  const Ended cold = cachectl(solve_command(graph, {"--progress", "none", "--output", export_to("out")}));
  EXPECT_EQ(cold.code, 0) << cold.err;
  EXPECT_THAT(cold.out, StartsWith("3 steps: 3 executed, 0 cached in "));
  EXPECT_THAT(cold.out, HasSubstr("exported 1 files, 8"));
  const Ended warm = cachectl(solve_command(graph, {"--progress", "none"}));
  EXPECT_THAT(warm.out, StartsWith("3 steps: 0 executed, 3 cached in "));
}

TEST_F(Contract, PlainProgressNamesEachStepAndItsEnd) {
  const base::HostPath graph = write_graph(bytes_of(chain()));
  const Ended cold = cachectl(solve_command(graph, {"--progress", "plain"}));
  EXPECT_THAT(cold.err, HasSubstr("/3] image\n"));
  EXPECT_THAT(cold.err, HasSubstr("/3] first\n"));
  EXPECT_THAT(cold.err, HasSubstr(" said by first\n"));
  EXPECT_THAT(cold.err, HasSubstr(" DONE "));
  EXPECT_THAT(cold.err, Not(HasSubstr("CACHED")));
  const Ended warm = cachectl(solve_command(graph));  // auto, and standard error is no terminal
  EXPECT_THAT(warm.err, HasSubstr(" CACHED\n"));
  EXPECT_THAT(warm.err, Not(HasSubstr(" DONE ")));
}

TEST_F(Contract, JsonProgressIsOneObjectALine) {
  const Ended ended = cachectl(solve_command(write_graph(bytes_of(chain())), {"--progress", "json", "--json"}));
  std::map<std::string, int> events;
  std::string said;
  for (const std::string& line : lines_of(ended.err)) {
    const Json json = Json::parse(line, nullptr, false);
    ASSERT_TRUE(json.is_object()) << line;
    const std::string event = json.value("event", "");
    ++events[event];
    if (event == "output") said += json["text"];
    EXPECT_EQ(json.value("steps", Json::array()).size(), event == "graph" ? 3u : 0u);
    EXPECT_EQ(json.value("state", ""), event == "finished" ? "executed" : "");
  }
  EXPECT_EQ(events["graph"], 1);
  EXPECT_EQ(events["started"], 3);
  EXPECT_EQ(events["finished"], 3);
  EXPECT_EQ(said, "said by first\n");
}

TEST_F(Contract, FailedStepIsCountedNamedAndExitsWith1) {
  const auto bad = output("breaks", "echo why it broke >&2; exit 7");
  const auto after = output("never", "true", {{.dest = "/in", .source = bad}});
  const Solved solved = solve(after);
  EXPECT_EQ(solved.code, 1);
  EXPECT_EQ(solved.states.at("image"), "executed");
  EXPECT_EQ(solved.states.at("breaks"), "failed");
  EXPECT_EQ(solved.states.at("never"), "cancelled");
  EXPECT_THAT(solved.err, StartsWith("cachectl: "));
  EXPECT_THAT(solved.err, HasSubstr("breaks"));
  EXPECT_THAT(solved.err, HasSubstr("exit code: 7"));
  EXPECT_EQ(lines_of(solved.err).size(), 1u) << solved.err;
}

TEST_F(Contract, UsageErrorsExitWith2) {
  const std::string graph = write_graph(bytes_of(chain())).str();
  const Words wrong[] = {{},
                         {"unknown"},
                         {"solve"},
                         {"solve", graph, "--unknown"},
                         {"solve", graph, "--progress", "loud"},
                         {"solve", graph, "--local", "no-equals"},
                         {"solve", graph, "--local", "=dir"},
                         {"solve", graph, "--local", "a=/x", "--local", "a=/y"},
                         {"solve", graph, "--oci-layout", "name="},
                         {"solve", graph, "--output", "type=tar,dest=x"},
                         {"solve", graph, "--output", "type=local"},
                         {"solve", graph, "--output", "nonsense"},
                         {"llb"},
                         {"digest"},
                         {"digest", "a", "b"},
                         {"digest", "--diff", "a"}};
  for (const Words& arguments : wrong) {
    const Ended ended = verb(arguments);
    EXPECT_EQ(ended.code, 2) << ::testing::PrintToString(arguments) << ended.err;
    EXPECT_THAT(ended.err, Not(IsEmpty()));
    EXPECT_THAT(ended.out, IsEmpty());
  }
  EXPECT_THAT(names_in(root_), IsEmpty()) << "a usage error made a store";
}

TEST_F(Contract, WhatIsMissingExitsWith3) {
  const std::string missing = (temp_ / "missing").str();
  for (const Words& arguments : {Words{"solve", missing}, Words{"llb", "inspect", missing}, Words{"digest", missing},
                                 Words{"ls"}, Words{"du"}, Words{"prune"}}) {
    const Ended ended = verb(arguments);
    EXPECT_EQ(ended.code, 3) << arguments[0] << ": " << ended.err;
    EXPECT_THAT(ended.err, StartsWith("cachectl: "));
  }
  EXPECT_THAT(names_in(root_), IsEmpty()) << "looking made a store";
}

TEST_F(Contract, HelpAndVersionExitWith0) {
  EXPECT_EQ(verb({"--help"}).code, 0);
  EXPECT_THAT(verb({"solve", "--help"}).out, HasSubstr("Examples:"));
  EXPECT_THAT(verb({"--version"}).out, StartsWith("cachectl "));
}

TEST_F(Contract, InspectShowsTheDigestsThatTheSolverUses) {
  const auto source = llb::local("src", {.include_patterns = {"lib/*.c"}, .name = "source"});
  const auto graph = output("compile", "true", {{.dest = "/src", .source = source, .selector = "lib", .read_only = true}});
  const base::HostPath file = write_graph(bytes_of(graph));
  const Json json = json_of(cachectl({"llb", "inspect", file.str(), "--json"}));
  EXPECT_EQ(json["format"], 1);
  std::map<std::string, Json> by_name;
  for (const Json& op : json["ops"]) {
    EXPECT_THAT(keys_of(op), ElementsAre("cache_maps", "index", "inputs", "kind", "name", "vertex_digest"));
    by_name[op["name"]] = op;
  }
  EXPECT_EQ(by_name["source"]["kind"], "source");
  EXPECT_EQ(by_name["compile"]["kind"], "exec");
  EXPECT_EQ(by_name["compile"]["inputs"].size(), 2u);
  const Json map = by_name["compile"]["cache_maps"][0];
  EXPECT_THAT(map["digest"].get<std::string>(), StartsWith("sha256:"));
  ASSERT_EQ(map["deps"].size(), 2u);
  EXPECT_THAT(keys_of(map["deps"][0]), ElementsAre("content", "selector", "selectors"));
  EXPECT_EQ(map["deps"][1]["selectors"], Json::array({"/lib"}));
  EXPECT_EQ(map["deps"][1]["content"], true);
  // The same from standard input, and as a table.
  EXPECT_EQ(json_of(cachectl({"llb", "inspect", "-", "--json"}, bytes_of(graph))), json);
  EXPECT_THAT(cachectl({"llb", "inspect", file.str()}).out, HasSubstr("compile"));

  const base::HostPath dir = make_dir("src");
  put(dir, "lib/x.c", "x");
  const base::HostPath same = write_graph(bytes_of(graph));
  const Json solved = json_of(cachectl(solve_command(same, {"--json", "--local", "src=" + dir.str()})));
  for (const Json& done : solved["steps"]) EXPECT_EQ(by_name[done["name"]]["vertex_digest"], done["digest"]);
}

TEST_F(Contract, DigestIsOfWhatIsSelected) {
  const base::HostPath dir = make_dir("tree");
  put(dir, "a.c", "a");
  put(dir, "b.h", "b");
  put(dir, "sub/c.c", "c");
  ASSERT_EQ(::symlink("sub", (dir / "link").c_str()), 0);
  const auto digest = [&](Words more) {
    more.insert(more.begin(), {"digest", dir.str()});
    more.push_back("--json");
    const Json json = json_of(cachectl(std::move(more)));
    EXPECT_THAT(keys_of(json), ElementsAre("digest", "format"));
    return json.value("digest", "");
  };
  const std::string all = digest({}), sub = digest({"--path", "sub"});
  EXPECT_THAT(all, MatchesRegex("sha256:[0-9a-f]{64}"));
  EXPECT_EQ(cachectl({"digest", dir.str()}).out, all + "\n");
  EXPECT_NE(digest({"--path", "link"}), sub);
  EXPECT_EQ(digest({"--path", "link", "--follow"}), sub);
  const std::string sources = digest({"--include", "**/*.c"});
  EXPECT_NE(sources, all);
  const std::string wild = digest({"--path", "*.c", "--wildcard"});
  const std::string excluded = digest({"--exclude", "sub"});
  put(dir, "b.h", "other");
  EXPECT_NE(digest({}), all);
  EXPECT_EQ(digest({"--include", "**/*.c"}), sources);
  EXPECT_EQ(digest({"--path", "*.c", "--wildcard"}), wild);
  put(dir, "b.h", "b");
  put(dir, "sub/c.c", "other");
  EXPECT_EQ(digest({"--exclude", "sub"}), excluded);
  EXPECT_NE(digest({"--include", "**/*.c"}), sources);
  EXPECT_NE(digest({"--path", "sub"}), sub);
}

TEST_F(Contract, DigestDiffNamesWhatDiffersAndIn) {
  const base::HostPath a = make_dir("a"), b = make_dir("b");
  for (const base::HostPath* side : {&a, &b}) {
    put(*side, "d/same", "same");
    put(*side, "d/file", side == &a ? "one" : "two");
  }
  put(b, "new", "new");
  const Words both = {"digest", "--diff", a.str(), b.str()};
  Ended ended = verb(both);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "changed d/file: content\nadded new\n");
  Words as_json = both;
  as_json.push_back("--json");
  const Json json = Json::parse(verb(as_json).out);
  EXPECT_THAT(keys_of(json), ElementsAre("differences", "format"));
  ASSERT_EQ(json["differences"].size(), 2u);
  EXPECT_EQ(json["differences"][0]["path"], "d/file");
  EXPECT_EQ(json["differences"][0]["kind"], "changed");
  EXPECT_EQ(json["differences"][0]["fields"], Json::array({"content"}));
  ended = verb({"digest", "--diff", a.str(), b.str(), "--path", "d/same"});
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.out, "");
}

TEST_F(Contract, DigestLeavesOutWhatIsSaidNotToCount) {
  const base::HostPath a = make_dir("a"), b = make_dir("b");
  for (const base::HostPath* side : {&a, &b}) put(*side, "file", "same");
  ASSERT_EQ(::chown((b / "file").c_str(), 5, 6), 0);
  ASSERT_EQ(::chmod((b / "file").c_str(), 0755), 0);
  const auto digest = [&](const base::HostPath& dir, Words more) {
    more.insert(more.begin(), {"digest", dir.str()});
    const Ended ended = cachectl(std::move(more));
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out;
  };
  const Words policy = {"--ignore-owner", "--mode-mask", "0600", "--no-xattrs"};
  EXPECT_NE(digest(a, {}), digest(b, {}));
  EXPECT_EQ(digest(a, policy), digest(b, policy));
  EXPECT_NE(digest(a, policy), digest(a, {}));
  EXPECT_NE(digest(a, {"--ignore-owner"}), digest(b, {"--ignore-owner"}));
  const auto difference = [&](Words more) {
    more.insert(more.begin(), {"digest", "--diff", a.str(), b.str()});
    return cachectl(std::move(more)).out;
  };
  EXPECT_EQ(difference({}), "changed file: mode, owner\n");
  EXPECT_EQ(difference({"--ignore-owner"}), "changed file: mode\n");
  EXPECT_EQ(difference(policy), "");
  const timespec later[2] = {{0, UTIME_OMIT}, {1'000'000'000, 5}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (b / "file").c_str(), later, 0), 0);
  EXPECT_THAT(difference({"--ignore-owner", "--mode-mask", "0", "--count-times"}), HasSubstr("changed file: time\n"));
  EXPECT_EQ(cachectl({"digest", a.str(), "--mode-mask", "8"}).code, 2);
  EXPECT_EQ(cachectl({"digest", a.str(), "--mode-mask", "10000"}).code, 2);
  EXPECT_EQ(cachectl({"digest", a.str(), "--no-xattrs", "--xattr", "user.a"}).code, 2);
}

TEST_F(Contract, DigestTakesRecordsAndKeepsWhatItLearnsOfFiles) {
  ASSERT_EQ(solve(chain()).code, 0);
  const Json records = Json::parse(verb({"ls", "--json"}).out)["records"];
  ASSERT_GE(records.size(), 2u);
  const std::string first = records[0]["id"], last = records[records.size() - 1]["id"];
  const Ended of_record = verb({"digest", first});
  EXPECT_EQ(of_record.code, 0) << of_record.err;
  EXPECT_THAT(of_record.out, MatchesRegex("sha256:[0-9a-f]{64}\n"));
  EXPECT_EQ(verb({"digest", "--diff", first, first}).out, "");
  EXPECT_NE(verb({"digest", "--diff", first, last}).out, "");
  const Ended with_policy = verb({"digest", first, "--ignore-owner", "--xattr", "user.a"});
  EXPECT_EQ(with_policy.code, 0) << with_policy.err;
  EXPECT_NE(with_policy.out, of_record.out);
  EXPECT_EQ(verb({"digest", "99999999"}).code, 3);
  const base::HostPath dir = make_dir("plain");
  put(dir, "file", "bytes");
  const Ended once = verb({"digest", dir.str()}), again = verb({"digest", dir.str()});
  EXPECT_EQ(once.code, 0) << once.err;
  EXPECT_EQ(once.out, again.out);
}

TEST_F(Contract, DuIsWhatTheDiskSays) {
  const auto big = output("big", "dd if=/dev/zero of=/out/zero bs=1M count=24; dd if=/dev/urandom of=/out/noise bs=1M count=24");
  ASSERT_EQ(solve(big).code, 0);
  const Json json = json_of(verb({"du", "--json"}));
  const Ended walked = run_program(temp_.path(), {"du", "-s", "-B1", root_.str()});
  const double on_disk = std::stod(walked.out);
  const double reported = json["total_bytes"];
  EXPECT_GT(reported, 48.0 * (1 << 20));
  EXPECT_LE(std::abs(reported - on_disk), std::max(on_disk / 100, 16.0 * (1 << 20)));
  double sum = 0;
  for (const char* part : {"tree_bytes", "active_bytes", "trash_bytes", "blob_bytes", "pack_bytes", "metadata_bytes",
                           "temp_bytes", "reserve_bytes", "other_bytes"}) {
    sum += json[part].get<double>();
  }
  EXPECT_EQ(sum, reported);
  EXPECT_EQ(verb({"du"}).code, 0);
}

TEST_F(Contract, LsListsRecordsWithTheirParents) {
  ASSERT_EQ(solve(chain()).code, 0);
  const Json json = json_of(verb({"ls", "--json"}));
  EXPECT_THAT(keys_of(json), ElementsAre("format", "freed_bytes", "records"));
  EXPECT_EQ(json["freed_bytes"], 0);
  ASSERT_FALSE(json["records"].empty());
  std::set<std::string> ids;
  for (const Json& record : json["records"]) ids.insert(record["id"].get<std::string>());
  for (const Json& record : json["records"]) {
    for (const char* key : {"id", "type", "bytes", "parents", "last_used"}) EXPECT_TRUE(record.contains(key)) << key;
    EXPECT_THAT(record["last_used"].get<std::string>(), MatchesRegex("[0-9-]{10}T[0-9:.]+Z"));
    for (const Json& parent : record["parents"]) EXPECT_TRUE(ids.contains(parent)) << parent;
  }
  EXPECT_THAT(verb({"ls"}).out, HasSubstr("second"));
}

TEST_F(Contract, PruneSparesWhatKeysLeadToAndAllTakesIt) {
  ASSERT_EQ(solve(chain()).code, 0);
  const Json before = json_of(verb({"ls", "--json"}));
  const Json spared = json_of(verb({"prune", "--json"}));
  EXPECT_EQ(json_of(verb({"ls", "--json"}))["records"].size(), before["records"].size() - spared["records"].size());
  EXPECT_EQ(solve(chain()).executed, 0u) << "prune took what a key leads to";

  const Json would = json_of(verb({"prune", "--all", "--dry-run", "--json"}));
  EXPECT_EQ(solve(chain()).executed, 0u) << "a dry run took something";
  const Json took = json_of(verb({"prune", "--all", "--json"}));
  EXPECT_EQ(keys_of(took), (Words{"blobs", "format", "freed_bytes", "projects", "rebuild_ns", "records", "rules", "stayed"}));
  EXPECT_EQ(took["records"].size(), would["records"].size());
  EXPECT_EQ(took["freed_bytes"], would["freed_bytes"]);
  EXPECT_GT(took["freed_bytes"], 1 << 20);
  EXPECT_THAT(json_of(verb({"ls", "--json"}))["records"], IsEmpty());
  EXPECT_THAT(names_in(root_ / "trees"), IsEmpty());
  EXPECT_EQ(solve(chain()).executed, 3u);
}

TEST_F(Contract, DirectoryThatHoldsNoStoreIsRefused) {
  put(make_dir("store"), "precious", "text");
  const Solved solved = solve(chain());
  EXPECT_EQ(solved.code, 1);
  EXPECT_THAT(solved.err, HasSubstr("precious"));
  EXPECT_THAT(names_in(root_), Not(::testing::Contains("meta")));
}

}  // namespace
}  // namespace cairn::test
