// SPDX-License-Identifier: Apache-2.0
// Several processes on one store: they share what runs, and each may be interrupted or killed without hurting the others.
#include <signal.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class TwoProcesses : public World {
 protected:
  // A step that takes a while and can be found among the machine's processes; no two runs of it make the same bytes.
  llb::State slow(const std::string& name, int seconds) {
    return image()
        .run({"sh", "-c", fmt::format("cat /proc/sys/kernel/random/uuid > /out/id; sleep {}; true", seconds), marker(name)},
             {.mounts = {{.dest = "/out"}}, .name = name})
        .mount_output("/out");
  }
  // Unlike the argument of any other test or of another run of this one.
  std::string marker(const std::string& name) const {
    return name + "-of-" + temp_.path().str().substr(temp_.path().str().rfind('/') + 1);
  }
  bool runs(const std::string& name) const { return find_process(marker(name)).has_value(); }
  void wait_until_it_runs(const std::string& name) {
    ASSERT_TRUE(eventually([&] { return runs(name); })) << name << " has not been started";
  }
  // The engine shows the graph to a process as soon as it takes its request.
  static void wait_until_served(const Program& program) {
    ASSERT_TRUE(eventually([&] { return program.err_so_far().find("] ") != std::string::npos; })) << program.err_so_far();
  }
  Ended in_store(Words arguments) {
    arguments.insert(arguments.begin(), {"--root", root_.str()});
    return cachectl(std::move(arguments));
  }
  // Between a record that was made of a directory, and what that is after a change.
  void expect_differences(const std::string& record, const base::HostPath& dir) {
    EXPECT_EQ(in_store({"digest", "--diff", record, record}).out, "");
    put(dir, "sub/file", "other content");
    const Ended ended = in_store({"digest", "--diff", record, dir.str(), "--path", "sub"});
    EXPECT_EQ(ended.code, 0) << ended.err;
    EXPECT_EQ(ended.out, "changed file: content\n");
    EXPECT_EQ(in_store({"digest", "--diff", dir.str(), "999999"}).code, 3);
    EXPECT_EQ(in_store({"digest", "--diff", record, (dir / "nosuch").str()}).code, 3);
  }
  void expect_interrupted(const Ended& ended) {
    EXPECT_EQ(ended.code, 130) << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("cachectl: "));
  }
};

TEST_F(TwoProcesses, EqualSolvesRunTheStepOnce) {
  const auto first = start_solve(slow("step", 2), {"--output", export_to("a")});
  wait_until_it_runs("step");
  const auto second = start_solve(slow("step", 2), {"--output", export_to("b")});
  const Solved one = parse_solved(first->wait()), two = parse_solved(second->wait());
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(two.code, 0) << two.err;
  EXPECT_THAT(exported("a", "id"), MatchesRegex("[0-9a-f-]{36}\n"));
  EXPECT_EQ(exported("a", "id"), exported("b", "id"));
}

TEST_F(TwoProcesses, SolvesThatBeginAtOnceOnNoStoreBothWork) {
  std::vector<std::unique_ptr<Program>> programs;
  for (int i = 0; i < 4; ++i) {
    programs.push_back(start_solve(slow("step", 1), {"--output", export_to("out" + std::to_string(i))}));
  }
  for (const auto& program : programs) {
    const Ended ended = program->wait();
    EXPECT_EQ(ended.code, 0) << ended.err;
  }
  for (int i = 1; i < 4; ++i) EXPECT_EQ(exported("out" + std::to_string(i), "id"), exported("out0", "id"));
}

// The unpacking of the image tells bytes, which the owner passes on to clients.
TEST_F(TwoProcesses, ClientFollowsTheUnpackingOfAnImage) {
  const auto owner = start_solve(slow("step", 600));
  wait_until_it_runs("step");
  const auto other = output("other", "true");
  const auto client = parse_solved(start_solve(other, {"--no-cache", "--progress", "json"})->wait());
  EXPECT_EQ(client.code, 0) << client.err;
  EXPECT_THAT(client.err, HasSubstr("\"event\":\"bytes\""));
  EXPECT_EQ(client.executed, 2u);
  owner->signal(SIGINT);
  expect_interrupted(owner->wait());
}

// Where there are pages nobody is asked; else the owner is, and what it finds out is there for the next one.
TEST_F(TwoProcesses, RecordsHaveADigestWhoeverOwnsTheStore) {
  const base::HostPath dir = make_dir("src");
  put(dir, "sub/file", "content");
  const auto source = llb::local("src", {.name = "source"});
  const auto step = image().run({"sh", "-c", "cp /in/sub/file /out/file"},
                                {.mounts = {{.dest = "/in", .source = source, .read_only = true}, {.dest = "/out"}}});
  const Solved solved = solve(step.mount_output("/out"), {"--local", "src=" + dir.str()});
  ASSERT_EQ(solved.code, 0) << solved.err;
  std::map<std::string, std::string> id_of_type;
  const auto listed = nlohmann::json::parse(in_store({"ls", "--json"}).out, nullptr, false);
  ASSERT_TRUE(listed.is_object());
  for (const auto& record : listed["records"]) id_of_type[record["type"]] = record["id"].get<std::string>();
  ASSERT_TRUE(id_of_type.contains("source.local") && id_of_type.contains("regular")) << listed.dump();
  const auto owner = start_solve(slow("step", 600));
  wait_until_it_runs("step");
  std::map<std::string, std::string> beside;
  for (const auto& [type, id] : id_of_type) {
    for (int i = 0; i < 2; ++i) {
      const Ended ended = in_store({"digest", id});
      EXPECT_EQ(ended.code, 0) << type << ": " << ended.err;
      EXPECT_THAT(ended.out, MatchesRegex("sha256:[0-9a-f]{64}\n")) << type;
      EXPECT_EQ(beside.try_emplace(id, ended.out).first->second, ended.out) << type;
    }
  }
  const std::string streamed = id_of_type["source.local"];
  EXPECT_THAT(in_store({"digest", streamed, "--path", "sub"}).out, MatchesRegex("sha256:[0-9a-f]{64}\n"));
  EXPECT_EQ(in_store({"digest", streamed, "--path", "nosuch"}).code, 3);
  EXPECT_EQ(in_store({"digest", "999999"}).code, 3);
  expect_differences(streamed, dir);
  owner->signal(SIGINT);
  expect_interrupted(owner->wait());
  for (const auto& [id, text] : beside) EXPECT_EQ(in_store({"digest", id}).out, text) << "as the owner";
  expect_differences(streamed, dir);
}

TEST_F(TwoProcesses, DifferentSolvesShareTheirCommonStep) {
  const auto with_tail = [&](const std::string& name) {
    return output(name, "cp /in/id /out/id; echo " + name + " > /out/who",
                  {{.dest = "/in", .source = slow("common", 2), .read_only = true}});
  };
  const auto first = start_solve(with_tail("left"), {"--output", export_to("a")});
  wait_until_it_runs("common");
  const auto second = start_solve(with_tail("right"), {"--output", export_to("b")});
  EXPECT_EQ(first->wait().code, 0);
  EXPECT_EQ(second->wait().code, 0);
  EXPECT_EQ(exported("a", "id"), exported("b", "id"));
  EXPECT_EQ(exported("b", "who"), "right\n");
}

TEST_F(TwoProcesses, LookingDoesNotWaitForTheOwner) {
  const auto owner = start_solve(slow("step", 600));
  wait_until_it_runs("step");
  EXPECT_EQ(cachectl({"--root", root_.str(), "du", "--json"}).code, 0);
  EXPECT_EQ(cachectl({"--root", root_.str(), "ls", "--json"}).code, 0);
  EXPECT_EQ(cachectl({"--root", root_.str(), "prune", "--all", "--json"}).code, 0);
  EXPECT_TRUE(runs("step"));
  owner->signal(SIGTERM);
  expect_interrupted(owner->wait());
}

TEST_F(TwoProcesses, PruneSparesWhatARunningSolveUses) {
  const auto used = output("used", "echo kept > /out/f");
  const auto last = image().run({"sh", "-c", "sleep 2; cp /in/f /out/f", marker("last")},
                                {.mounts = {{.dest = "/in", .source = used, .read_only = true}, {.dest = "/out"}}, .name = "last"})
                        .mount_output("/out");
  const auto owner = start_solve(last, {"--output", export_to("out")});
  wait_until_it_runs("last");
  EXPECT_EQ(cachectl({"--root", root_.str(), "prune", "--all"}).code, 0);
  const Ended ended = owner->wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(exported("out", "f"), "kept\n");
  EXPECT_EQ(solve(last).code, 0);
}

TEST_F(TwoProcesses, NoDaemonIsBusyAndNamesTheOwner) {
  const auto owner = start_solve(slow("step", 600));
  wait_until_it_runs("step");
  Words command = solve_command(write_graph(bytes_of(slow("step", 600))));
  command.insert(command.begin(), "--no-daemon");
  const Ended refused = cachectl(command);
  EXPECT_EQ(refused.code, 5);
  EXPECT_THAT(refused.err, HasSubstr(std::to_string(owner->pid())));
  EXPECT_THAT(refused.err, HasSubstr("hint: "));
  EXPECT_EQ(cachectl({"--root", root_.str(), "--no-daemon", "prune"}).code, 5);
  owner->signal(SIGINT);
  expect_interrupted(owner->wait());
}

TEST_F(TwoProcesses, ClientOfAKilledOwnerSucceeds) {
  const auto owner = start_solve(slow("step", 4));
  wait_until_it_runs("step");
  const auto client = start_solve(slow("step", 4), {"--output", export_to("out")});
  wait_until_served(*client);
  owner->signal(SIGKILL);
  EXPECT_EQ(owner->wait().code, 128 + SIGKILL);
  const Ended ended = client->wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(exported("out", "id"), MatchesRegex("[0-9a-f-]{36}\n"));
  EXPECT_FALSE(runs("step"));
}

TEST_F(TwoProcesses, KilledOwnerLeavesNoProcessAndAGoodStore) {
  const auto before = output("before", "echo kept > /out/f");
  ASSERT_EQ(solve(before).code, 0);
  const auto owner = start_solve(slow("step", 600));
  wait_until_it_runs("step");
  owner->signal(SIGKILL);
  owner->wait();
  EXPECT_TRUE(eventually([&] { return !runs("step"); }));
  EXPECT_EQ(solve(before).executed, 0u);
}

TEST_F(TwoProcesses, InterruptedSolveStopsItsStepAndLeavesACleanStore) {
  const auto owner = start_solve(slow("step", 600));
  wait_until_it_runs("step");
  owner->signal(SIGINT);
  const Ended ended = owner->wait();
  expect_interrupted(ended);
  EXPECT_FALSE(runs("step"));
  expect_clean();
  const Solved solved = parse_solved(ended);
  EXPECT_EQ(solved.states.at("step"), "cancelled");
  EXPECT_EQ(solved.states.at("image"), "executed");
  const Solved next = solve(output("next", "true"));
  EXPECT_EQ(next.code, 0) << next.err;
  EXPECT_EQ(next.states.at("image"), "cached") << "what was done before the interrupt is kept";
}

TEST_F(TwoProcesses, InterruptedClientStopsItsOwnStepOnly) {
  const auto owner = start_solve(slow("first", 5), {"--output", export_to("out")});
  wait_until_it_runs("first");
  const auto client = start_solve(slow("second", 600));
  wait_until_it_runs("second");
  client->signal(SIGINT);
  expect_interrupted(client->wait());
  EXPECT_TRUE(eventually([&] { return !runs("second"); }));
  const Ended ended = owner->wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(exported("out", "id"), MatchesRegex("[0-9a-f-]{36}\n"));
}

TEST_F(TwoProcesses, SharedStepGoesOnForWhoIsLeft) {
  const auto owner = start_solve(slow("step", 4), {"--output", export_to("a")});
  wait_until_it_runs("step");
  const auto client = start_solve(slow("step", 4), {"--output", export_to("b")});
  wait_until_served(*client);
  owner->signal(SIGINT);
  const Ended left = client->wait();
  EXPECT_EQ(left.code, 0) << left.err;
  EXPECT_THAT(exported("b", "id"), MatchesRegex("[0-9a-f-]{36}\n"));
  expect_interrupted(owner->wait());
  EXPECT_EQ(parse_solved(left).failed, 0u);
}

TEST_F(TwoProcesses, OtherSolveGoesOnWhenTheOwnerIsInterrupted) {
  const auto owner = start_solve(slow("first", 600));
  wait_until_it_runs("first");
  const auto client = start_solve(slow("second", 3), {"--output", export_to("out")});
  wait_until_it_runs("second");
  owner->signal(SIGINT);
  EXPECT_TRUE(eventually([&] { return !runs("first"); }));
  const Ended ended = client->wait();
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(exported("out", "id"), MatchesRegex("[0-9a-f-]{36}\n"));
  expect_interrupted(owner->wait());
}

TEST_F(TwoProcesses, InterruptOfAllLeavesACleanStore) {
  const auto owner = start_solve(slow("step", 600));
  wait_until_it_runs("step");
  const auto client = start_solve(slow("step", 600));
  wait_until_served(*client);
  client->signal(SIGINT);
  owner->signal(SIGINT);
  expect_interrupted(client->wait());
  expect_interrupted(owner->wait());
  EXPECT_FALSE(runs("step"));
  expect_clean();
  EXPECT_EQ(solve(output("next", "true")).code, 0);
}

TEST_F(TwoProcesses, FailureIsToldToAllWhoWait) {
  const auto failing = image().run({"sh", "-c", "sleep 2; echo reason; exit 3", marker("step")}, {.mounts = {{.dest = "/out"}}, .name = "step"}).mount_output("/out");
  const auto owner = start_solve(failing);
  wait_until_it_runs("step");
  const auto client = start_solve(failing);
  for (Program* program : {owner.get(), client.get()}) {
    const Ended ended = program->wait();
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.err, HasSubstr("exit code: 3"));
    EXPECT_EQ(parse_solved(ended).failed, 1u);
  }
}

}  // namespace
}  // namespace cairn::test
