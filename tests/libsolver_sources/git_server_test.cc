// SPDX-License-Identifier: Apache-2.0
// git:// sources over HTTP, with secrets, and from servers that are old, slow, circling or not what they seem.
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "libbase/base64.h"
#include "tests/libsolver_sources/git_server.h"
#include "tests/libsolver_sources/remote_fixture.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using test::GitProtocol;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using testing::HasSubstr;
using testing::Not;

// In their arguments. The helper of HTTP has the address there.
int processes_with(const std::string& text) {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    const std::string arguments{std::istreambuf_iterator<char>(file), {}};
    found += arguments.find(text) != std::string::npos;
  }
  return found;
}

class GitServerTest : public RemoteSourceTest {
 protected:
  SolveRequest git(const std::string& url, const std::string& ref, std::map<std::string, std::string> attrs = {}) {
    attrs["git.fullurl"] = url;
    return request("git://example.org/x.git" + (ref.empty() ? "" : "#" + ref), attrs);
  }
  SolveRequest impatient(const std::string& url) {
    SolveRequest made = git(url, "main");
    made.remote.stalled_after = std::chrono::milliseconds(1'500);
    return made;
  }
  HttpServer::Handler serve(GitProtocol protocol = GitProtocol::as_asked) {
    return [this, protocol](const HttpRequest& request, HttpReply& reply) {
      test::answer_git_request(served.path(), request, reply, protocol);
    };
  }

  test::TempDir served;
  test::GitRepo repo{served / "repo"};
  std::string first = repo.commit_file("file", "first");
};

TEST_F(GitServerTest, SmartHttpServesBranchesAndCommits) {
  HttpServer server(serve());
  EXPECT_TRUE(executes(git(server.url("/repo/.git"), "main")));
  EXPECT_EQ(content("file"), "first");
  EXPECT_FALSE(executes(git(server.url("/repo/.git"), first)));
}

// One that speaks the oldest protocol gives only what its refs name.
TEST_F(GitServerTest, ACommitThatOnlyHistoryHasIsFetchedWithAllOfIt) {
  repo.commit_file("file", "second");
  HttpServer server(serve(GitProtocol::oldest));
  EXPECT_TRUE(executes(git(server.url("/repo/.git"), first)));
  EXPECT_EQ(content("file"), "first");
  const std::string third = repo.commit_file("file", "third");
  EXPECT_TRUE(executes(git(server.url("/repo/.git"), third)));
  EXPECT_EQ(content("file"), "third");
  expect_error(git(server.url("/repo/.git"), std::string(40, '2')), ErrorCode::not_found, "has no commit 2222");
}

TEST_F(GitServerTest, ASecretIsSentToItsHostOnlyAndNeverStored) {
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.header("authorization").empty()) return reply.send(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, "");
    test::answer_git_request(served.path(), request, reply);
  });
  const std::string url = server.url("/repo/.git");
  const std::map<std::string, std::string> attrs{{"git.authtokensecret", "TOKEN"}, {"git.authheadersecret", "HEADER"}};
  expect_error(git(url, "main", attrs), ErrorCode::io, "could not read Username");
  SolveRequest known = git(url, "main", attrs);
  known.secrets["TOKEN"] = "hunter2";
  EXPECT_TRUE(executes(known));
  const std::string sent = "basic " + base::base64("x-access-token:hunter2");
  EXPECT_EQ(server.requests().back().header("authorization"), sent);
  known.secrets["TOKEN." + server.host()] = "of the host";
  EXPECT_FALSE(executes(known));
  EXPECT_EQ(server.requests().back().header("authorization"), "basic " + base::base64("x-access-token:of the host"));
  known.secrets["HEADER." + server.host()] = "Bearer abc";
  EXPECT_FALSE(executes(known));
  EXPECT_EQ(server.requests().back().header("authorization"), "Bearer abc");
  result.reset();
  solver.reset();
  store.close();
  for (const std::string& secret : {std::string("hunter2"), sent.substr(6)}) {
    EXPECT_NE(::system(fmt::format("grep -rqF -- '{}' '{}'", secret, store.root().str()).c_str()), 0);
  }
}

TEST_F(GitServerTest, UserAndPasswordOfAUrlAreNoArgumentsAndInNoMessage) {
  std::atomic<bool> fails{false};
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (fails) return reply.send(500, {}, "");
    test::answer_git_request(served.path(), request, reply);
  });
  const std::string url = "http://me:p%40ss@" + server.host() + "/repo/.git";
  EXPECT_TRUE(executes(git(url, "main", {{"git.keepgitdir", "true"}})));
  EXPECT_EQ(server.requests()[0].header("authorization"), "Basic " + base::base64("me:p@ss"));
  EXPECT_THAT(content(".git/config"), HasSubstr("url = " + server.url("/repo/.git")));
  fails = true;
  const SolveOutcome outcome = solve(git(url, "other"));
  ASSERT_FALSE(outcome.status);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("The requested URL returned error: 500"));
  EXPECT_THAT(outcome.status.error().message, Not(HasSubstr("p%40ss")));
}

TEST_F(GitServerTest, ServersThatStallAreGivenUp) {
  HttpServer slow([](const HttpRequest&, HttpReply& reply) { reply.hang(); });
  expect_error(impatient(slow.url("/repo/.git")), ErrorCode::io, "stalled: nothing came for 1500 ms");
  expect_error(impatient("git" + slow.url("/repo").substr(4)), ErrorCode::io, "stalled: nothing came for 1500 ms");
  HttpServer midway([&](const HttpRequest& request, HttpReply& reply) {
    if (request.method == "GET") return test::answer_git_request(served.path(), request, reply);
    reply.raw("HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-result\r\nContent-Length: 100000\r\n\r\n");
    reply.hang();
  });
  expect_error(impatient(midway.url("/repo/.git")), ErrorCode::io, "stalled: nothing came for 1500 ms");
}

TEST_F(GitServerTest, CirclesAndWrongAnswersAreErrors) {
  HttpServer bad([](const HttpRequest& request, HttpReply& reply) {
    if (request.target.starts_with("/circle")) return reply.redirect(302, request.target);
    if (request.target.starts_with("/away")) return reply.redirect(302, "file:///etc/passwd");
    const bool smart = request.target.starts_with("/smart");
    reply.send(200, {{"Content-Type", smart ? "application/x-git-upload-pack-advertisement" : "text/html"}}, "<html>hello</html>");
  });
  expect_error(git(bad.url("/circle/.git"), "main"), ErrorCode::io, "redirects followed");
  expect_error(git(bad.url("/away/.git"), "main"), ErrorCode::io, "git source");
  expect_error(git(bad.url("/page/.git"), "main"), ErrorCode::not_found, "no branch, tag or ref");
  expect_error(git(bad.url("/smart/.git"), "main"), ErrorCode::io, "protocol error");
}

// Every object is named by what it is, so other bytes are no answer.
TEST_F(GitServerTest, AServerThatGivesAnotherCommitUnderThePinIsFoundOut) {
  const std::string second = repo.commit_file("file", "second");
  HttpServer liar([&](const HttpRequest& request, HttpReply& reply) {
    HttpRequest changed = request;
    for (std::size_t at; (at = changed.body.find(first)) != std::string::npos;) changed.body.replace(at, 40, second);
    test::answer_git_request(served.path(), changed, reply);
  });
  expect_error(git(liar.url("/repo/.git"), first), ErrorCode::io, "git source");
}

TEST_F(GitServerTest, CancellingKillsGitAndEverythingItStarted) {
  std::atomic<bool> asked{false};
  HttpServer slow([&](const HttpRequest&, HttpReply& reply) {
    asked = true;
    reply.hang();
  });
  SolveRequest endless = git(slow.url("/repo/.git"), "main");
  endless.remote.stalled_after = std::chrono::hours(1);
  std::stop_source stop;
  std::jthread stopping([&] {
    while (!asked) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_GT(processes_with(slow.url("/repo/.git")), 0);
    stop.request_stop();
  });
  const SolveOutcome outcome = solve(endless, stop.get_token());
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, ErrorCode::cancelled);
  EXPECT_EQ(processes_with(slow.url("/repo/.git")), 0);
}

// Each forks the repository as it finds it, and none waits for another.
TEST_F(GitServerTest, ParallelSolvesOfOneRemoteSideAllSucceed) {
  HttpServer server(serve());
  std::vector<std::string> commits{first};
  for (int i = 0; i < 3; ++i) commits.push_back(repo.commit_file("file", std::to_string(i)));
  std::atomic<int> executed{0};
  {
    std::vector<std::jthread> threads;
    for (const std::string& commit : commits) {
      threads.emplace_back([&, made = git(server.url("/repo/.git"), commit)] {
        BytesSink own;
        const SolveOutcome outcome = solver->solve(made, own, {});
        EXPECT_TRUE(outcome.status) << outcome.status.error().message;
        executed += static_cast<int>(outcome.count(StepState::executed));
      });
    }
  }
  EXPECT_EQ(executed, 4);
  EXPECT_FALSE(executes(git(server.url("/repo/.git"), first)));
  EXPECT_EQ(content("file"), "first");
}

}  // namespace
}  // namespace cairn::solver
