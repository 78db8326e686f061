// SPDX-License-Identifier: Apache-2.0
// Whatever comes in, it ends in one clear error, nothing escapes the root, nothing half-made stays, and the next solve
// works.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "tests/e2e/world.h"
#include "tests/libsnapshot/tar_builder.h"
#include "tests/libsolver_wire/support.h"

namespace cairn::test {
namespace {

namespace wire = solver::wire;
using solver::test::definition_of;
using solver::test::definition_with;
using solver::test::digest_text;
using solver::test::exec_op;
using solver::test::head_op;
using solver::test::source_op;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class BadInput : public World {
 protected:
  void SetUp() override { put(outside_, "sentinel", "untouched"); }
  void TearDown() override {
    EXPECT_THAT(names_in(outside_), ElementsAre("sentinel"));
    EXPECT_EQ(read(outside_ / "sentinel"), "untouched");
    World::TearDown();
  }

  // One error line, and a store that works.
  void expect_refused(const Solved& solved, int code, const std::vector<std::string>& named) {
    EXPECT_EQ(solved.code, code) << solved.err;
    EXPECT_THAT(solved.err, StartsWith("cachectl: "));
    std::size_t errors = 0;
    for (std::size_t at = 0; (at = solved.err.find("cachectl: ", at)) != std::string::npos; ++at) ++errors;
    EXPECT_EQ(errors, 1u) << solved.err;
    for (const std::string& part : named) EXPECT_THAT(solved.err, HasSubstr(part));
    expect_clean();
    const Solved next = solve(output("next", "true"));
    EXPECT_EQ(next.code, 0) << next.err;
  }
  void refuse_graph(const std::string& bytes, const std::vector<std::string>& named) {
    expect_refused(solve_bytes(bytes), 1, named);
  }

  const base::HostPath outside_ = make_dir("outside");
};

class BadDefinition : public BadInput {};

TEST_F(BadDefinition, TruncatedAnywhereIsRefused) {
  const std::string bytes = bytes_of(output("step", "true"));
  ASSERT_EQ(solve_bytes(bytes).code, 0);
  for (std::size_t size = 0; size < bytes.size(); size += bytes.size() / 12) {
    const Solved solved = solve_bytes(bytes.substr(0, size));
    EXPECT_EQ(solved.code, 1) << size << " bytes of " << bytes.size() << solved.err;
    EXPECT_THAT(solved.err, StartsWith("cachectl: load definition: "));
  }
  refuse_graph(bytes.substr(0, bytes.size() / 2), {"load definition"});
}

TEST_F(BadDefinition, NoiseIsRefused) {
  refuse_graph(std::string(1000, '\xff'), {"load definition"});
  refuse_graph("#!/bin/sh\necho this is no graph\n", {"load definition"});
  refuse_graph("x\n", {"it holds no steps"});
}

TEST_F(BadDefinition, InputsThatAreNotThereAreRefused) {
  const std::string missing = digest_text("nobody");
  refuse_graph(definition_with(exec_op(missing)), {"load definition", missing});
  refuse_graph(definition_with(exec_op("sha256:short")), {"load definition", "sha256:short"});
}

TEST_F(BadDefinition, OutputsThatAreNotThereAreRefused) {
  const std::string source = wire::encode(source_op("local://src"));
  const auto graph = definition_of({source, wire::encode(head_op(digest_text(source), 7))});
  expect_refused(solve_bytes(graph, {"--local", "src=" + outside_.str()}), 1, {"7"});
}

TEST_F(BadDefinition, UnknownSourcesAreNamed) {
  refuse_graph(definition_with(source_op("gopher://hole")), {"gopher"});
  refuse_graph(definition_with(source_op("")), {});
}

TEST_F(BadDefinition, WhatIsNotSupportedIsNamed) {
  const auto step = image().run({"true"}, {.devices = {{.name = "vendor.com/gpu=0", .optional = false, .unknown = {}}}});
  refuse_graph(bytes_of(step.root()), {"not supported", "CDI devices of exec op"});
}

TEST_F(BadDefinition, MillionOpsAreAnsweredQuickly) {
  std::string bytes;
  const std::string op = wire::encode(source_op("local://x"));
  wire::DefinitionMessage message;
  for (int i = 0; i < 1'000'000; ++i) message.def.push_back({op});
  refuse_graph(wire::encode(message), {"load definition"});
}

TEST_F(BadDefinition, DeepChainWithoutABaseFailsWithoutARun) {
  std::vector<std::string> ops = {wire::encode(source_op("local://nothing"))};
  for (int i = 0; i < 20'000; ++i) ops.push_back(wire::encode(exec_op(digest_text(ops.back()))));
  ops.push_back(wire::encode(head_op(digest_text(ops.back()))));
  const Solved solved = solve_bytes(definition_of(ops));
  EXPECT_NE(solved.code, 0);
  EXPECT_EQ(solved.executed, 0u);
  expect_refused(solved, solved.code, {"nothing"});
}

TEST_F(BadDefinition, MissingBindingsNameTheOptionThatIsMissing) {
  const auto local = solve(output("use", "true", {{.dest = "/in", .source = llb::local("context", {.name = "my source"})}}));
  expect_refused(local, local.code, {"context", "--local"});
  const auto layout = solve(llb::oci_layout("elsewhere@" + busybox_image().manifest.str(), {.name = "other image"}));
  expect_refused(layout, layout.code, {"elsewhere", "--oci-layout"});
  EXPECT_NE(local.code, 0);
  EXPECT_NE(layout.code, 0);
}

TEST_F(BadDefinition, BindingsToNowhereNameTheDirectory) {
  const std::string nowhere = (temp_ / "nowhere").str();
  const auto source = llb::local("context");
  expect_refused(solve(source, {"--local", "context=" + nowhere}), 3, {nowhere});
  put(temp_.path(), "file", "x");
  const Solved file = solve(source, {"--local", "context=" + (temp_ / "file").str()});
  expect_refused(file, 3, {(temp_ / "file").str(), "Not a directory"});
}

class BadLayout : public BadInput {
 protected:
  Solved solve_layout(const BlobDigest& manifest) {
    return solve(llb::oci_layout("bad@" + manifest.str(), {.name = "bad image"}), {"--oci-layout", "bad=" + layout_.str()});
  }
  BlobDigest write(const std::string& tar) {
    return write_layout(layout_, {.layer_tars = {tar}, .env = {}, .compression = base::Compression::none, .variant = ""});
  }
  base::HostPath blob(const std::string& digest) const { return layout_ / ("blobs/sha256/" + digest.substr(7)); }
  // One bit of the blob is another one.
  void damage(const std::string& digest) {
    std::string bytes = read(blob(digest));
    ASSERT_FALSE(bytes.empty());
    bytes[bytes.size() / 2] ^= 1;
    write_text(blob(digest), bytes);
  }
  nlohmann::json manifest_json(const BlobDigest& manifest) { return nlohmann::json::parse(read(blob(manifest.str()))); }
  void refuse_layer(const snapshot::TarBuilder& tar, const std::vector<std::string>& named) {
    const Solved solved = solve_layout(write(tar.finish()));
    EXPECT_NE(solved.code, 0);
    expect_refused(solved, solved.code, named);
  }

  const base::HostPath layout_ = temp_ / "layout";
};

TEST_F(BadLayout, DamagedLayerIsCorruption) {
  const auto manifest = write(snapshot::TarBuilder().file("a", std::string(5000, 'a')).finish());
  const std::string layer = manifest_json(manifest)["layers"][0]["digest"];
  damage(layer);
  expect_refused(solve_layout(manifest), 4, {"bad image", layer});
}

TEST_F(BadLayout, DamagedManifestIsCorruption) {
  const auto manifest = write(snapshot::TarBuilder().file("a", "a").finish());
  damage(manifest.str());
  expect_refused(solve_layout(manifest), 4, {"bad image", manifest.str()});
}

TEST_F(BadLayout, DamagedConfigIsCorruption) {
  const auto manifest = write(snapshot::TarBuilder().file("a", "a").finish());
  const std::string config = manifest_json(manifest)["config"]["digest"];
  damage(config);
  expect_refused(solve_layout(manifest), 4, {"bad image", config});
}

TEST_F(BadLayout, MissingBlobsAreNotFound) {
  const auto manifest = write(snapshot::TarBuilder().file("a", "a").finish());
  const std::string layer = manifest_json(manifest)["layers"][0]["digest"];
  ASSERT_EQ(::unlink(blob(layer).c_str()), 0);
  expect_refused(solve_layout(manifest), 3, {"bad image", layer});
  ASSERT_EQ(::unlink(blob(manifest.str()).c_str()), 0);
  expect_refused(solve_layout(manifest), 3, {"bad image", manifest.str()});
}

TEST_F(BadLayout, ShortLayerIsCorruption) {
  const auto manifest = write(snapshot::TarBuilder().file("a", std::string(5000, 'a')).finish());
  const std::string layer = manifest_json(manifest)["layers"][0]["digest"];
  ASSERT_EQ(::truncate(blob(layer).c_str(), 3000), 0);
  expect_refused(solve_layout(manifest), 4, {"bad image", layer});
}

TEST_F(BadLayout, RepairedLayoutWorksAfterwards) {
  const auto manifest = write(snapshot::TarBuilder().file("a", "a").finish());
  const std::string layer = manifest_json(manifest)["layers"][0]["digest"];
  damage(layer);
  EXPECT_EQ(solve_layout(manifest).code, 4);
  damage(layer);  // the same bit again
  const Solved solved = solve_layout(manifest);
  EXPECT_EQ(solved.code, 0) << solved.err;
}

TEST_F(BadLayout, NamesThatStepUpAreRefused) {
  refuse_layer(snapshot::TarBuilder().file("good", "x").file("../../../../outside/evil", "x"), {"bad image", "../../../../outside/evil"});
  refuse_layer(snapshot::TarBuilder().file("a/../../evil", "x"), {"a/../../evil"});
}

TEST_F(BadLayout, AbsoluteNamesAreRefused) {
  refuse_layer(snapshot::TarBuilder().file((outside_ / "evil").str(), "x"), {"bad image", (outside_ / "evil").str(), "absolute"});
}

TEST_F(BadLayout, HardLinksOutOfTheTreeAreRefused) {
  refuse_layer(snapshot::TarBuilder().hard_link("stolen", "../../../../outside/sentinel"), {"bad image", "stolen"});
  refuse_layer(snapshot::TarBuilder().hard_link("stolen", (outside_ / "sentinel").str()), {"bad image", "stolen"});
}

TEST_F(BadLayout, WritingThroughLinksStaysInside) {
  const std::string up = "../../../../../../../.." + outside_.str();
  for (const std::string& to : {outside_.str(), up}) {
    const auto manifest = write(snapshot::TarBuilder().symlink("door", to).file("door/evil", "x").hard_link("door/linked", "door/evil").finish());
    const Solved solved = solve_layout(manifest);
    EXPECT_THAT(names_in(outside_), ElementsAre("sentinel"));
    if (solved.code != 0) expect_refused(solved, solved.code, {"door"});
  }
}

class BadLinks : public BadInput {
 protected:
  const base::HostPath src_ = make_dir("src");
  Words local() const { return {"--local", "src=" + src_.str(), "--output", export_to("out")}; }
};

TEST_F(BadLinks, SelectorsThatLeadOutSeeTheTreeOnly) {
  put(src_, "file", "inside");
  ASSERT_EQ(::symlink(outside_.c_str(), (src_ / "absolute").c_str()), 0);
  ASSERT_EQ(::symlink("../outside", (src_ / "relative").c_str()), 0);
  for (const std::string selector : {"absolute", "relative", "absolute/sentinel", "../outside", "relative/../../outside/sentinel"}) {
    const auto graph = output("look " + selector, "cat /in/sentinel /in > /out/seen; true",
                              {{.dest = "/in", .source = llb::local("src"), .selector = selector, .read_only = true}});
    const Solved solved = solve(graph, local());
    EXPECT_THAT(exported("out", "seen"), Not(HasSubstr("untouched"))) << selector;
    if (solved.code != 0) expect_refused(solved, solved.code, {"look " + selector});
  }
}

TEST_F(BadLinks, WritableSelectorsThatLeadOutWriteNothingOutside) {
  ASSERT_EQ(::symlink(outside_.c_str(), (src_ / "door").c_str()), 0);
  const auto graph = output("write", "echo evil > /in/evil; echo evil > /in/sentinel; true",
                            {{.dest = "/in", .source = llb::local("src"), .selector = "door"}});
  const Solved solved = solve(graph, local());
  if (solved.code != 0) expect_refused(solved, solved.code, {"write"});
}

TEST_F(BadLinks, MountPointsBehindLinksAreMadeInTheRoot) {
  const auto linked = image().run({"sh", "-c", "ln -s \"$0\" /door; ln -s ../../../../../../..\"$0\" /up", outside_.str()}, {.name = "link"}).root();
  for (const std::string door : {"/door", "/up"}) {
    const auto graph = linked.run({"sh", "-c", "echo evil > " + door + "/made/evil; true"},
                                  {.mounts = {{.dest = door + "/made"}, {.dest = "/out"}}, .name = "mount behind " + door})
                           .mount_output("/out");
    const Solved solved = solve(graph);
    if (solved.code != 0) expect_refused(solved, solved.code, {"mount behind " + door});
    EXPECT_THAT(names_in(outside_), ElementsAre("sentinel"));
  }
}

TEST_F(BadLinks, LinkAsTheSourceDirectorysEntryIsCopiedAsALink) {
  ASSERT_EQ(::symlink(outside_.c_str(), (src_ / "door").c_str()), 0);
  const Solved solved = solve(llb::local("src"), local());
  EXPECT_EQ(solved.code, 0) << solved.err;
  struct ::stat entry{};
  ASSERT_EQ(::lstat((temp_ / "out/door").c_str(), &entry), 0);
  EXPECT_TRUE(S_ISLNK(entry.st_mode));
}

TEST_F(BadLinks, ExportOverALinkWritesNothingBehindIt) {
  const base::HostPath out = make_dir("out");
  ASSERT_EQ(::symlink(outside_.c_str(), (out / "d").c_str()), 0);
  ASSERT_EQ(::symlink((outside_ / "sentinel").c_str(), (out / "f").c_str()), 0);
  solve(output("make", "mkdir /out/d; echo evil > /out/d/evil; echo evil > /out/f"), {"--output", export_to("out")});
  EXPECT_THAT(names_in(outside_), ElementsAre("sentinel"));
}

class BadProcess : public BadInput {
 protected:
  Solved run(const std::string& script) { return solve(output("step", script)); }
  std::string marker() const { return temp_.path().str().substr(temp_.path().str().rfind('/') + 1); }
};

TEST_F(BadProcess, FailureNamesTheStepTheCommandAndTheCode) {
  expect_refused(run("exit 41"), 1, {"step", "sh -c exit 41", "exit code: 41"});
}

TEST_F(BadProcess, KilledProcessIsAFailure) {
  const auto victim = start_solve(image().run({"sh", "-c", "sleep 600; true", marker()}, {.name = "victim"}).root());
  ASSERT_TRUE(eventually([&] { return find_process(marker()).has_value(); }));
  ASSERT_EQ(::kill(*find_process(marker()), SIGKILL), 0);  // as the kernel does when memory runs out
  Ended ended = victim->wait();
  ended.err.erase(0, ended.err.find("cachectl: "));
  expect_refused(parse_solved(ended), 1, {"victim", "exit code: 137"});
}

TEST_F(BadProcess, MissingProgramIsNamed) {
  const Solved solved = solve(image().run({"no-such-program"}, {.name = "absent"}).root());
  EXPECT_NE(solved.code, 0);
  expect_refused(solved, solved.code, {"absent", "no-such-program"});
}

TEST_F(BadProcess, ForkedDaemonDoesNotOutliveItsStep) {
  const auto daemon = image().run({"sh", "-c", "setsid sh -c 'sleep 600; true' " + marker() + " > /dev/null 2>&1 & echo done > /out/f"},
                                  {.mounts = {{.dest = "/out"}}, .name = "fork"}).mount_output("/out");
  const Solved solved = solve(daemon, {"--output", export_to("out")});
  EXPECT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("out", "f"), "done\n");
  EXPECT_FALSE(find_process(marker()));
}

TEST_F(BadProcess, DaemonThatHoldsTheOutputDoesNotHoldTheStep) {
  const auto daemon = image().run({"sh", "-c", "setsid sh -c 'trap \"\" TERM HUP; sleep 600; true' " + marker() + " & exit 3"}, {.name = "fork"}).root();
  expect_refused(solve(daemon), 1, {"fork", "exit code: 3"});
  EXPECT_FALSE(find_process(marker()));
}

TEST_F(BadProcess, MountsOfAStepStayInIt) {
  const Solved solved = run("mount -t tmpfs none /tmp && echo x > /tmp/x; mount --bind /bin /out; true");
  EXPECT_EQ(solved.code, 0) << solved.err;
}

TEST_F(BadProcess, ControlCharactersOfNamesDoNotReachTheTerminal) {
  const Solved solved = solve(output("evil\033[31m\nname", "exit 1"));
  EXPECT_EQ(solved.code, 1);
  EXPECT_THAT(solved.err, Not(HasSubstr("\033")));
}

}  // namespace
}  // namespace cairn::test
