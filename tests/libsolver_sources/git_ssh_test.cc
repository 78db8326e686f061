// SPDX-License-Identifier: Apache-2.0
// git sources over SSH: a real sshd on the loopback, with keys of its own, and a real agent.
#include <filesystem>
#include <thread>

#include "tests/e2e/program.h"
#include "tests/libsolver_sources/git_server.h"
#include "tests/libsolver_sources/remote_fixture.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using test::Program;
using testing::HasSubstr;
using testing::Not;

using Attrs = std::map<std::string, std::string>;
using Words = std::vector<std::string>;

class GitSshTest : public RemoteSourceTest {
 protected:
  void SetUp() override {
    make_key("host_key");
    make_key("user_key");
    make_key("other_key");
    copy_file("user_key.pub", "authorized_keys");
    known_hosts = fmt::format("[127.0.0.1]:{} {}", sshd.port(), text_of("host_key.pub"));
    start_agent(agent, "agent", "user_key");
  }

  void run(const Words& words) {
    const test::Ended ended = test::run_program(dir.path(), words);
    CHECK(ended.code == 0, "{}: {}", fmt::join(words, " "), ended.err);
  }
  void make_key(const std::string& name) { run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", (dir / name).str()}); }
  void copy_file(const std::string& from, const std::string& to) {
    std::filesystem::copy_file((dir / from).str(), (dir / to).str());
  }
  std::string text_of(const std::string& name) { return must(base::read_file(dir / name, 64 << 10)); }
  void start_agent(std::unique_ptr<Program>& started, const std::string& socket, const std::string& key) {
    started = std::make_unique<Program>(dir.path(), Words{"ssh-agent", "-D", "-a", (dir / socket).str()});
    // It says so when it listens.
    for (int i = 0; i < 60'000 && started->out_so_far().empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    run({"env", "SSH_AUTH_SOCK=" + (dir / socket).str(), "ssh-add", "-q", (dir / key).str()});
  }

  // sshd wants a folder in /run, and writes into /var/log: both are its own.
  Words sshd_command() const {
    const std::string script = fmt::format(
        "mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && mount -t tmpfs tmpfs /var/log && exec /usr/sbin/sshd -i -q -f /dev/null "
        "-h {0}/host_key -o AuthorizedKeysFile={0}/authorized_keys -o StrictModes=no -o UsePAM=no -o PermitRootLogin=prohibit-password "
        "-o PasswordAuthentication=no -o PidFile=none -o AcceptEnv=GIT_PROTOCOL",
        dir.path().str());
    return {"unshare", "--mount", "--propagation", "private", "sh", "-c", script};
  }

  std::string url(const std::string& authority = "root@127.0.0.1") const {
    return fmt::format("ssh://{}:{}{}", authority, sshd.port(), repo.dir().str());
  }
  SolveRequest git(const std::string& address, Attrs attrs) {
    attrs["git.fullurl"] = address;
    attrs.try_emplace("git.knownsshhosts", known_hosts);
    attrs.try_emplace("git.mountsshsock", "default");
    SolveRequest made = request("git://127.0.0.1/repo#main", attrs);
    made.ssh_agents.emplace("default", dir / "agent");
    return made;
  }

  test::TempDir dir;
  test::GitRepo repo{dir / "repo"};
  std::string first = repo.commit_file("file", "first");
  test::InetdServer sshd{sshd_command()};
  std::string known_hosts;
  std::unique_ptr<Program> agent, other_agent;
};

TEST_F(GitSshTest, ARepositoryIsReadWithTheAgentsKeyFromAHostThatIsKnown) {
  EXPECT_TRUE(executes(git(url(), {})));
  EXPECT_EQ(content("file"), "first");
  EXPECT_EQ(sshd.connections(), 2);  // what the branch is, and the commit
  EXPECT_FALSE(executes(git(url(), {})));
  EXPECT_EQ(sshd.connections(), 3);
  repo.commit_file("file", "second");
  // As people write it.
  EXPECT_TRUE(executes(git(fmt::format("root@[127.0.0.1:{}]:{}", sshd.port(), repo.dir().str()), {})));
  EXPECT_EQ(content("file"), "second");
  EXPECT_EQ(sink.output.find("warning"), std::string::npos) << sink.output;
}

TEST_F(GitSshTest, AnotherHostKeyIsRefused) {
  const std::string others = fmt::format("[127.0.0.1]:{} {}", sshd.port(), text_of("other_key.pub"));
  expect_error(git(url(), {{"git.knownsshhosts", others}}), ErrorCode::io, "Host key verification failed");
  expect_error(git(url(), {{"git.knownsshhosts", "example.com " + text_of("host_key.pub")}}), ErrorCode::io, "Host key verification failed");
}

TEST_F(GitSshTest, WithoutKnownHostsWhoeverAnswersIsBelievedWithAWarning) {
  EXPECT_TRUE(executes(git(url(), {{"git.knownsshhosts", ""}})));
  EXPECT_EQ(content("file"), "first");
  EXPECT_THAT(sink.output, HasSubstr("so whoever answers is believed"));
}

TEST_F(GitSshTest, ASolveWithoutTheAgentSaysSo) {
  SolveRequest without = git(url(), {});
  without.ssh_agents.clear();
  expect_error(without, ErrorCode::not_found, "the ssh agent \"default\" is not given");
  expect_error(git(url(), {{"git.mountsshsock", "work"}}), ErrorCode::not_found, "the ssh agent \"work\" is not given");
  without.ssh_agents.emplace("default", dir / "nowhere");
  expect_error(without, ErrorCode::not_found, "nowhere");
  EXPECT_EQ(sshd.connections(), 0);
}

TEST_F(GitSshTest, AKeyThatTheHostDoesNotTakeIsRefusedAndNoOtherIsTried) {
  start_agent(other_agent, "other_agent", "other_key");
  SolveRequest other = git(url(), {});
  other.ssh_agents.at("default") = dir / "other_agent";
  expect_error(other, ErrorCode::io, "Permission denied");
}

TEST_F(GitSshTest, WhatIsKnownNeedsNoAgent) {
  const Attrs by_commit{{"git.checksum", first}, {"git.fetchbycommit", "true"}};
  EXPECT_TRUE(executes(git(url(), by_commit)));
  SolveRequest without = git(url(), by_commit);
  without.ssh_agents.clear();
  EXPECT_FALSE(executes(without));
}

TEST_F(GitSshTest, NoAddressIsAnOptionOrHoldsAPassword) {
  for (const std::string address : {"ssh://-oProxyCommand=touch@127.0.0.1/x", "ssh://-oProxyCommand=touch/x", "-oProxyCommand=touch@127.0.0.1:x"}) {
    expect_error(git(address, {}), ErrorCode::invalid_argument, "begins with \"-\"");
  }
  const SolveOutcome outcome = solve(git(url("root:hunter2@127.0.0.1"), {}));
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("a password in an address over SSH"));
  EXPECT_THAT(outcome.status.error().message, Not(HasSubstr("hunter2")));
  EXPECT_EQ(sshd.connections(), 0);
}

TEST_F(GitSshTest, OfflineAsksNobody) {
  SolveRequest offline = git(url(), {});
  offline.remote.ask = RemoteUse::Ask::never;
  expect_error(offline, ErrorCode::unavailable, "no remote side may be asked");
  EXPECT_EQ(sshd.connections(), 0);
}

// A submodule is reached over SSH only by a source that names an agent.
TEST_F(GitSshTest, SubmodulesOverSsh) {
  const test::GitRepo outer(dir / "outer");
  outer.commit_file("outside", "o");
  outer.git({"submodule", "--quiet", "add", repo.dir().str(), "sub"});
  outer.git({"config", "-f", ".gitmodules", "submodule.sub.url", url()});
  outer.commit("with a submodule");
  const test::GitDaemon daemon(dir.path());
  EXPECT_TRUE(executes(git(daemon.url("outer"), {})));
  EXPECT_EQ(content("sub/file"), "first");
  expect_error(git(daemon.url("outer"), {{"git.mountsshsock", ""}, {"git.keepgitdir", "true"}}), ErrorCode::io, "transport 'ssh' not allowed");
}

}  // namespace
}  // namespace cairn::solver
