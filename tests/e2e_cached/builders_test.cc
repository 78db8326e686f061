// SPDX-License-Identifier: Apache-2.0
// The real Bazel and the real Gradle: what one build has made, a clean one is given, and they say so themselves.
#include <gtest/gtest.h>
#include <signal.h>

#include "libbase/fs/host_tree.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

// A build, a clean one of the same, and what cached counted.
void expect_bazel_is_served(CachedProgram& cached, const std::string& remote_cache) {
  const base::HostPath workspace = cached.work("workspace"), output = cached.work("bazel");
  ASSERT_TRUE(base::make_host_dirs(workspace));
  write_text(workspace / "WORKSPACE", "");
  write_text(workspace / "in.txt", "b\na\n");
  write_text(workspace / "BUILD.bazel", "genrule(name = 'one', srcs = ['in.txt'], outs = ['one.txt'], cmd = 'sort $< > $@')\n"
                                        "genrule(name = 'two', srcs = [':one'], outs = ['two.txt'], cmd = 'cat $< $< > $@')\n");
  const auto bazel = [&](const std::string& words) {
    return cached.run({"sh", "-c",
                       "cd " + workspace.str() + " && HOME=" + workspace.str() + " exec bazel --nohome_rc --output_user_root=" + output.str() +
                           " --host_jvm_args=-Xmx512m --max_idle_secs=60 " + words});
  };
  const std::string build = "build //:two --spawn_strategy=local --noshow_progress " + remote_cache;
  const Ended first = bazel(build);
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_NE(first.err.find("2 local"), std::string::npos) << first.err;
  EXPECT_EQ(bazel("clean").code, 0);
  const Ended clean = bazel(build);
  EXPECT_EQ(clean.code, 0) << clean.err;
  EXPECT_NE(clean.err.find("2 remote cache hit"), std::string::npos) << clean.err;
  EXPECT_EQ(clean.err.find("local"), std::string::npos) << clean.err;
  EXPECT_EQ(read_text((workspace / "bazel-bin/two.txt").str()), "a\nb\na\nb\n");
  EXPECT_EQ(bazel("shutdown").code, 0);
  const std::string metrics = cached.metrics();
  EXPECT_NE(metrics.find("cairn_hits_total{project=\"bazel/team\"} 2\n"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("cairn_misses_total{project=\"bazel/team\",cause=\"never_seen\"} 2\n"), std::string::npos) << metrics;
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

TEST(BazelClient, ACleanBuildIsServedOverHttp) {
  CachedProgram cached;
  expect_bazel_is_served(cached, "--remote_cache=" + cached.url("/team"));
}

TEST(BazelClient, ACleanBuildIsServedOverGrpc) {
  CachedProgram cached({"--grpc", "127.0.0.1:0"});
  ASSERT_NE(cached.grpc_address(), "");
  expect_bazel_is_served(cached, "--remote_cache=grpc://" + cached.grpc_address() + " --remote_instance_name=team");
}

TEST(GradleClient, ACleanBuildIsServedFromTheStore) {
  CachedProgram cached;
  const base::HostPath project = cached.work("project");
  ASSERT_TRUE(base::make_host_dirs(project));
  write_text(project / "in.txt", "words\n");
  write_text(project / "settings.gradle", "buildCache {\n  local(DirectoryBuildCache) { enabled = false }\n  remote(HttpBuildCache) { url = '" +
                                              cached.url("/gradle/") + "'; push = true }\n}\n");
  write_text(project / "build.gradle", R"(@CacheableTask
class Gen extends DefaultTask {
  @InputFile @PathSensitive(PathSensitivity.NONE) File source
  @OutputFile File made
  @TaskAction void make() { made.text = source.text.toUpperCase() }
}
task gen(type: Gen) { source = file('in.txt'); made = file("$buildDir/out.txt") }
)");
  const auto gradle = [&] {
    return cached.run({"sh", "-c",
                       "cd " + project.str() + " && JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64 exec gradle --build-cache --no-daemon --console=plain -g " +
                           cached.work("gradle-home").str() + " gen"});
  };
  const Ended first = gradle();
  EXPECT_EQ(first.code, 0) << first.out << first.err;
  EXPECT_EQ(first.out.find("FROM-CACHE"), std::string::npos) << first.out;
  ASSERT_TRUE(base::remove_host_tree(project / "build"));
  const Ended clean = gradle();
  EXPECT_EQ(clean.code, 0) << clean.out << clean.err;
  EXPECT_NE(clean.out.find(":gen FROM-CACHE"), std::string::npos) << clean.out;
  EXPECT_EQ(read_text((project / "build/out.txt").str()), "WORDS\n");
  const std::string metrics = cached.metrics();
  EXPECT_NE(metrics.find("cairn_hits_total{project=\"gradle\"} 1\n"), std::string::npos) << metrics;
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
}

}  // namespace
}  // namespace cairn::test
