// SPDX-License-Identifier: Apache-2.0
// The real Turborepo and the real Nx (clients/package-lock.json says which): what one run has made, one that has lost all of
// it is given, and they say so themselves.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "libbase/fs/host_tree.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

using nlohmann::json;

class NodeClient : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(base::make_host_dirs(project_ / "packages/a"));
    ASSERT_EQ(cached_.run({"ln", "-s", CAIRN_NODE_CLIENTS "/node_modules", (project_ / "node_modules").str()}).code, 0);
    write_text(project_ / "packages/a/in.txt", "words\n");
  }
  void TearDown() override {
    EXPECT_EQ(cached_.stop(SIGTERM).code, 0);
    EXPECT_EQ(cached_.cachectl({"fsck"}).code, 0);
  }

  void write_json(const std::string& name, const json& document) { write_text(project_ / name, document.dump(2) + "\n"); }
  // The client sees nothing of this machine's own settings.
  Ended run(const std::vector<std::string>& environment, const std::string& command) {
    std::string line = "cd " + project_.str() + " && exec env -i PATH=\"$PATH\" CI=1 NO_PROXY=127.0.0.1 npm_config_update_notifier=false HOME=" +
                       cached_.work("home").str();
    for (const std::string& each : environment) line += " " + each;
    return cached_.run({"sh", "-c", line + " " + command});
  }
  void forget(const std::vector<std::string>& names) {
    for (const std::string& name : names) ASSERT_TRUE(base::remove_host_tree(project_ / name)) << name;
  }
  std::string made() { return read_text((project_ / "packages/a/dist/out.txt").str()); }

  CachedProgram cached_;
  const base::HostPath project_ = cached_.work("project");
};

constexpr const char* build_command = "mkdir -p dist && tr a-z A-Z < in.txt > dist/out.txt";

TEST_F(NodeClient, TurborepoIsServedFromTheStore) {
  write_json("package.json", {{"name", "world"}, {"private", true}, {"packageManager", "npm@9.2.0"}, {"workspaces", {"packages/*"}}});
  write_json("packages/a/package.json", {{"name", "a"}, {"version", "1.0.0"}, {"scripts", {{"build", build_command}}}});
  write_json("package-lock.json",
             {{"name", "world"}, {"lockfileVersion", 3}, {"requires", true},
              {"packages", {{"", {{"name", "world"}, {"workspaces", {"packages/*"}}}},
                            {"node_modules/a", {{"resolved", "packages/a"}, {"link", true}}},
                            {"packages/a", {{"version", "1.0.0"}}}}}});
  write_json("turbo.json", {{"tasks", {{"build", {{"inputs", {"in.txt", "package.json"}}, {"outputs", {"dist/**"}}}}}}});
  // What it says of the one task.
  const auto turbo = [&]() -> json {
    const Ended ended = run({"TURBO_TELEMETRY_DISABLED=1", "TURBO_API=" + cached_.url(""), "TURBO_TOKEN=token", "TURBO_TEAM=team"},
                            "node_modules/.bin/turbo run build --no-daemon --skip-infer --no-update-notifier --summarize");
    EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
    const Ended summary = cached_.run({"sh", "-c", "cat " + (project_ / ".turbo/runs").str() + "/*.json"});
    const json document = json::parse(summary.out, nullptr, false);
    EXPECT_FALSE(document.is_discarded()) << summary.out;
    return document.is_discarded() ? json::object() : document["tasks"][0]["cache"];
  };
  EXPECT_EQ(turbo().value("status", ""), "MISS");
  EXPECT_EQ(made(), "WORDS\n");
  forget({".turbo", "packages/a/.turbo", "packages/a/dist"});
  const json clean = turbo();
  EXPECT_EQ(clean.value("status", ""), "HIT");
  EXPECT_EQ(clean.value("source", ""), "REMOTE");
  EXPECT_EQ(made(), "WORDS\n");
  EXPECT_NE(cached_.metrics().find("cairn_hits_total{project=\"turborepo\"} 1\n"), std::string::npos) << cached_.metrics();
}

TEST_F(NodeClient, NxIsServedFromTheStore) {
  write_json("package.json", {{"name", "world"}, {"private", true}});
  write_json("nx.json", {{"neverConnectToCloud", true}});
  write_json("packages/a/project.json",
             {{"name", "a"},
              {"targets", {{"build", {{"executor", "nx:run-commands"}, {"cache", true}, {"inputs", {"{projectRoot}/in.txt"}},
                                      {"outputs", {"{projectRoot}/dist"}},
                                      {"options", {{"command", build_command}, {"cwd", "packages/a"}}}}}}}});
  const auto nx = [&] {
    Ended ended = run({"NX_DAEMON=false", "NX_NO_CLOUD=true", "NX_SELF_HOSTED_REMOTE_CACHE_SERVER=" + cached_.url(""),
                       "NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN=token"},
                      "node node_modules/nx/bin/nx.js run a:build");
    EXPECT_EQ(ended.code, 0) << ended.out << ended.err;
    return ended.out;
  };
  const std::string first = nx();
  EXPECT_EQ(first.find("[remote cache]"), std::string::npos) << first;
  EXPECT_EQ(made(), "WORDS\n");
  forget({".nx", "packages/a/dist"});
  const std::string clean = nx();
  EXPECT_NE(clean.find("[remote cache]"), std::string::npos) << clean;
  EXPECT_NE(clean.find("for 1 out of 1 tasks"), std::string::npos) << clean;
  EXPECT_EQ(made(), "WORDS\n");
  EXPECT_NE(cached_.metrics().find("cairn_hits_total{project=\"nx\"} 1\n"), std::string::npos) << cached_.metrics();
}

}  // namespace
}  // namespace cairn::test
