// SPDX-License-Identifier: Apache-2.0
// What steps get only when their client allows or gives it: agents, power over the machine, the machine's network; and
// what no step gets more of than its limit.
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

namespace wire = solver::wire;
using ::testing::HasSubstr;

class Privileges : public World {
 protected:
  llb::State run(const std::string& name, const std::string& script, llb::RunOptions options) const {
    options.name = name;
    options.mounts.push_back({.dest = "/out"});
    return image().run({"sh", "-c", script}, options).mount_output("/out");
  }
};

// A real agent with a key of its own.
class WithAgent : public Privileges {
 protected:
  void SetUp() override {
    agent_ = std::make_unique<Program>(temp_.path(), Words{"ssh-agent", "-D", "-a", socket()});
    ASSERT_TRUE(eventually([&] { return ::access(socket().c_str(), F_OK) == 0; }));
    ASSERT_EQ(run_program(temp_.path(), {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", (temp_ / "key").str()}).code, 0);
    ASSERT_EQ(run_program(temp_.path(), {"env", "SSH_AUTH_SOCK=" + socket(), "ssh-add", (temp_ / "key").str()}).code, 0);
    tools_ = make_dir("tools");
    put(tools_, "ask", read_text(CAIRN_ASK_AGENT), 0755);
  }
  void TearDown() override {
    agent_->signal(SIGTERM);
    agent_->wait();
    World::TearDown();
  }
  std::string socket() const { return (temp_ / "agent").str(); }
  llb::State asks(llb::Ssh ssh, const std::string& script) const {
    llb::RunOptions options{.mounts = {{.dest = "/tools", .source = llb::local("tools"), .read_only = true}}, .ssh = {std::move(ssh)}};
    return run("asks", script, options);
  }
  Solved solve_with(const llb::State& state, Words more) {
    more.insert(more.end(), {"--local", "tools=" + tools_.str(), "--output", export_to("out")});
    return solve(state, more);
  }

  std::unique_ptr<Program> agent_;
  base::HostPath tools_ = temp_.path();
};

TEST_F(WithAgent, AStepTalksToTheAgentOfItsClient) {
  const auto step = asks({.uid = 7, .gid = 8, .mode = 0640},
                         "stat -c '%F %a %u %g' $SSH_AUTH_SOCK > /out/stat; for i in 1 2 3; do /tools/ask $SSH_AUTH_SOCK >> /out/keys; done; "
                         "echo $SSH_AUTH_SOCK > /out/place");
  const Solved solved = solve_with(step, {"--ssh", "default=" + socket()});
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("out", "keys"), "1 keys\n1 keys\n1 keys\n");
  EXPECT_EQ(exported("out", "stat"), "socket 640 7 8\n");
  EXPECT_EQ(exported("out", "place"), "/run/buildkit/ssh_agent.0\n");
}

TEST_F(WithAgent, ItIsAskedForByNameAndMayBeMissingOnlyWhereThatIsSaid) {
  const auto needs = asks({.id = "work", .dest = "/agent"}, "/tools/ask /agent > /out/keys");
  const Solved refused = solve_with(needs, {"--ssh", "default=" + socket()});
  EXPECT_EQ(refused.code, 3) << "what is not there is not found";
  EXPECT_THAT(refused.err, HasSubstr("the ssh agent \"work\" is not given"));
  EXPECT_THAT(refused.err, HasSubstr("--ssh work"));
  ASSERT_EQ(solve_with(needs, {"--ssh", "work=" + socket()}).code, 0);
  EXPECT_EQ(exported("out", "keys"), "1 keys\n");
  ASSERT_EQ(solve_with(asks({.dest = "/agent", .optional = true}, "test -e /agent || echo none > /out/said"), {}).code, 0);
  EXPECT_EQ(exported("out", "said"), "none\n");
  const Solved gone = solve_with(asks({.dest = "/agent"}, "true"), {"--ssh", "default=" + (temp_ / "nowhere").str()});
  EXPECT_EQ(gone.code, 3);
  EXPECT_THAT(gone.err, HasSubstr("forward the agent"));
}

TEST_F(WithAgent, ABadFlagIsAWrongCall) {
  const auto step = run("any", "true", {});
  EXPECT_EQ(solve(step, {"--ssh", "=x"}).code, 2);
  EXPECT_EQ(solve(step, {"--ssh", "a=/x", "--ssh", "a=/y"}).code, 2);
  EXPECT_EQ(solve(step, {"--allow", "everything"}).code, 2);
}

TEST_F(Privileges, PowerOverTheMachineMustBeAllowed) {
  const auto step = run("mounts", "mkdir -p /tmp/m && mount -t tmpfs t /tmp/m && echo mounted > /out/said; grep CapEff /proc/self/status > /out/caps",
                        {.security = wire::SecurityMode::insecure});
  const Solved refused = solve(step);
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("security.insecure is not allowed"));
  EXPECT_THAT(refused.err, HasSubstr("--allow security.insecure"));
  EXPECT_EQ(refused.executed, 0u);
  const Solved allowed = solve(step, {"--allow", "security.insecure", "--output", export_to("out")});
  ASSERT_EQ(allowed.code, 0) << allowed.err;
  EXPECT_EQ(exported("out", "said"), "mounted\n");
  const auto held_back = run("mounts not", "mount -t tmpfs t /tmp 2> /dev/null || echo refused > /out/said", {});
  ASSERT_EQ(solve(held_back, {"--output", export_to("sandbox")}).code, 0);
  EXPECT_EQ(exported("sandbox", "said"), "refused\n");
}

TEST_F(Privileges, TheMachinesNetworkMustBeAllowed) {
  const Solved refused = solve(run("host", "true", {.network = wire::NetMode::host}));
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, HasSubstr("network.host is not allowed"));
}

TEST_F(Privileges, DevicesOfVendorsAreRefusedUnlessTheyMayBeMissing) {
  const Solved needed = solve(run("needs", "true", {.devices = {{.name = "vendor.com/gpu=0", .optional = false, .unknown = {}}}}));
  EXPECT_EQ(needed.code, 1);
  EXPECT_THAT(needed.err, HasSubstr("not supported: CDI devices of exec op"));
  EXPECT_EQ(solve(run("likes", "true", {.devices = {{.name = "vendor.com/gpu=0", .optional = true, .unknown = {}}}})).code, 0);
}

TEST_F(Privileges, ProxiesAreInTheEnvironmentAndInNoKey) {
  const auto step = [&](const std::string& proxy) {
    wire::ProxyEnv env;
    env.http_proxy = proxy;
    return run("looks", "echo $http_proxy $HTTP_PROXY > /out/said", {.proxy_env = env});
  };
  ASSERT_EQ(solve(step("http://one"), {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "said"), "http://one http://one\n");
  EXPECT_EQ(solve(step("http://two")).executed, 0u);
}

TEST_F(Privileges, AForkBombEndsAtItsLimitAndIsToldWhy) {
  ASSERT_EQ(::setenv("CAIRN_STEP_PROCESSES", "50", 1), 0);
  const Solved solved = solve(run("bomb", "i=0; while [ $i -lt 300 ]; do sleep 100 & i=$((i+1)); done", {}));
  ASSERT_EQ(::unsetenv("CAIRN_STEP_PROCESSES"), 0);
  EXPECT_EQ(solved.code, 1);
  EXPECT_THAT(solved.err, ::testing::AnyOf(HasSubstr("the limit of 50 processes was reached"), HasSubstr("no limits of their own")));
}

// Nobody without privileges may mount; in a user and a mount namespace of its own cachectl may.
TEST_F(Privileges, ASolveNeedsNoRootInANamespaceOfItsOwn) {
  constexpr const char* user = "4242";
  ASSERT_EQ(::chmod(busybox_image().dir.path().c_str(), 0755), 0);
  put(temp_.path(), "cachectl", read_text(CAIRN_BIN_DIR "/cachectl"), 0755);
  const auto step = run("works", "id -u > /out/said; ls /bin/sh >> /out/said; echo more > /bin/more", {.user = "0:0"});
  Words words{"setpriv", std::string("--reuid=") + user, std::string("--regid=") + user, "--clear-groups",
              "unshare", "--user", "--map-root-user", "--mount", (temp_ / "cachectl").str()};
  for (const std::string& word : solve_command(write_graph(bytes_of(step)), {"--executor", "auto", "--output", export_to("out"), "--json"})) words.push_back(word);
  ASSERT_EQ(run_program(temp_.path(), {"chown", "-R", user, temp_.path().str()}).code, 0);
  const Ended ended = run_program(temp_.path(), words);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("bubblewrap is used because"));
  EXPECT_EQ(exported("out", "said"), "0\n/bin/sh\n");
  const Ended again = run_program(temp_.path(), words);
  EXPECT_EQ(parse_solved(again).executed, 0u) << again.err;
}

}  // namespace
}  // namespace cairn::test
