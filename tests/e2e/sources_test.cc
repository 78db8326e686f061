// SPDX-License-Identifier: Apache-2.0
// Sources of the network through the real cachectl: git, HTTP and a registry, what is asked again and what is not, and what a
// source policy makes of them, also in graphs that only a file knows.
#include <stdlib.h>

#include "tests/e2e/world.h"
#include "tests/libsolver_sources/git_server.h"
#include "tests/support/http_server.h"
#include "tests/support/must.h"
#include "tests/support/registry_server.h"
#include "tests/libsolver_sources/source_graph.h"

namespace cairn::test {
namespace {

using ::testing::HasSubstr;

class Sources : public World {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }

  Solved solve_to(const std::string& dest, const std::string& graph, Words more = {}) {
    more.insert(more.end(), {"--output", export_to(dest)});
    return solve_bytes(graph, more);
  }
  std::string policy(const std::string& rules) {
    const base::HostPath file = temp_ / "policy.json";
    write_text(file, "{\"version\": 1, \"rules\": [" + rules + "]}");
    return file.str();
  }

  static llb::Platform linux_amd64() {
    llb::Platform platform;
    platform.os = "linux";
    platform.architecture = "amd64";
    return platform;
  }

  HttpServer server{[](const HttpRequest& request, HttpReply& reply) {
    const std::string etag = "\"" + request.target + "\"";
    if (request.header("if-none-match") == etag) return reply.send(304, {{"ETag", etag}}, "");
    reply.send(200, {{"ETag", etag}}, "bytes of " + request.target);
  }};
};

TEST_F(Sources, AGitTreeIsFetchedOnceAndTheRefIsAskedAgain) {
  const GitRepo repo(temp_ / "served/repo");
  repo.commit_file("file", "first");
  const GitDaemon daemon(temp_ / "served");
  const std::string graph = source_graph("git://example/repo#main", {{"git.fullurl", daemon.url("repo")}});
  Solved solved = solve_to("one", graph);
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(solved.executed, 1u);
  EXPECT_EQ(exported("one", "file"), "first");
  EXPECT_EQ(daemon.connections(), 2);
  solved = solve_to("two", graph);
  EXPECT_EQ(solved.executed, 0u);
  EXPECT_EQ(daemon.connections(), 3);
  solved = solve_to("three", graph, {"--resolve-age", "1h"});
  EXPECT_EQ(solved.executed, 0u);
  EXPECT_EQ(daemon.connections(), 3);
  repo.commit_file("file", "second");
  solved = solve_to("four", graph, {"--offline"});
  EXPECT_EQ(exported("four", "file"), "first");
  solved = solve_to("five", graph);
  EXPECT_EQ(exported("five", "file"), "second");
  expect_clean();
}

TEST_F(Sources, AnImageOfARegistryIsABuildsRoot) {
  const RegistryServer registry(RegistryServer::Access::basic);
  const TempDir layout;
  ImageSpec image;
  image.layer_tars = {tar_of(make_dir("empty"))};
  put(make_dir("files"), "hello", "from the registry");
  image.layer_tars.push_back(tar_of(temp_ / "files"));
  write_layout(layout.path(), image, "v1");
  registry.push(layout.path(), "team/app");
  const auto state = llb::image(registry.host() + "/team/app:v1")
                         .file(llb::FileActions().mkfile("/new", 0644, "made here"));
  write_text(temp_ / "password", RegistryServer::credentials);
  const Words secret{"--secret", "id=REGISTRY_AUTH_" + registry.host() + ",src=" + (temp_ / "password").str()};
  Words more = secret;
  more.insert(more.end(), {"--output", export_to("one")});
  Solved solved = solve_bytes(must(llb::marshal(state, {.platform = linux_amd64()})), more);
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("one", "hello"), "from the registry");
  EXPECT_EQ(exported("one", "new"), "made here");
  solved = solve_bytes(must(llb::marshal(state, {.platform = linux_amd64()})), {"--offline"});
  EXPECT_EQ(solved.executed, 0u) << solved.err;
  solved = solve_bytes(must(llb::marshal(llb::image(registry.host() + "/team/other:v1"), {.platform = linux_amd64()})));
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr("the registry refuses who gives no credentials"));
  EXPECT_THAT(solved.err, HasSubstr("give the secret REGISTRY_AUTH_" + registry.host()));
  // The image alone, which nobody has looked into, is fetched for the export.
  solved = solve_to("three", must(llb::marshal(llb::image(registry.host() + "/team/app:v1"), {.platform = linux_amd64()})), secret);
  EXPECT_EQ(exported("three", "hello"), "from the registry");
  expect_clean();
}

TEST_F(Sources, OfflineAsksNobody) {
  const std::string graph = source_graph(server.url("/file"));
  Solved solved = solve_to("none", graph, {"--offline"});
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr("no remote side may be asked"));
  EXPECT_EQ(server.requests().size(), 0u);
  ASSERT_EQ(solve_to("one", graph).code, 0);
  solved = solve_to("two", graph, {"--offline"});
  EXPECT_EQ(solved.executed, 0u);
  EXPECT_EQ(exported("two", "file"), "bytes of /file");
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(Sources, WrongOptionsOfSourcesAreUsageErrors) {
  const std::string graph = source_graph(server.url("/file"));
  EXPECT_EQ(solve_to("x", graph, {"--resolve-age", "soon"}).code, 2);
  EXPECT_EQ(solve_to("x", graph, {"--max-download", "20%"}).code, 2);
  const Solved solved = solve_to("x", graph, {"--max-download", "10"});
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr("file has more than 10 bytes"));
  EXPECT_EQ(solve_to("y", graph, {"--max-download", "1MB"}).code, 0);
}

TEST_F(Sources, APolicyDeniesAndConverts) {
  const std::string graph = source_graph(server.url("/a"));
  const std::string deny = policy(R"({"action": "DENY", "selector": {"identifier": "http://*"}})");
  Solved solved = solve_to("x", graph, {"--source-policy", deny});
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr("is denied by the source policy"));
  EXPECT_EQ(server.requests().size(), 0u);
  const std::string convert = policy(R"({"action": "CONVERT", "selector": {"identifier": ")" + server.url("/a") +
                                     R"("}, "updates": {"identifier": ")" + server.url("/b") + R"("}})");
  solved = solve_to("y", graph, {"--source-policy", convert});
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("y", "b"), "bytes of /b");
  EXPECT_EQ(server.count("GET", "/a"), 0u);
  EXPECT_EQ(solve_to("z", graph, {"--source-policy", convert}).executed, 0u);
}

// What was built without a policy is no proof of what may be built under one.
TEST_F(Sources, APolicyReachesTheGraphsOfBuildSteps) {
  const std::string graph = nested_graph(source_graph(server.url("/a")));
  Solved solved = solve_to("one", graph);
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("one", "a"), "bytes of /a");
  const std::string deny = policy(R"({"action": "DENY", "selector": {"identifier": "http://*"}})");
  solved = solve_to("x", graph, {"--source-policy", deny});
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr("is denied by the source policy"));
  const std::string convert = policy(R"({"action": "CONVERT", "selector": {"identifier": ")" + server.url("/a") +
                                     R"("}, "updates": {"identifier": ")" + server.url("/b") + R"("}})");
  solved = solve_to("two", graph, {"--source-policy", convert});
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("two", "b"), "bytes of /b");
  EXPECT_EQ(solve_to("three", graph, {"--source-policy", convert}).executed, 0u);
  EXPECT_EQ(solve_to("four", graph).executed, 0u);
}

}  // namespace
}  // namespace cairn::test
