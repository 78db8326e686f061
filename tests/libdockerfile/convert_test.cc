// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/libdockerfile/fixture.h"

namespace cairn::dockerfile {
namespace {

using solver::wire::ExecOp;
using solver::wire::FileActionCopy;
using solver::wire::FileActionMkDir;
using solver::wire::FileOp;
using solver::wire::MountType;
using solver::wire::SourceOp;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

FileActionCopy copy_in(const FileOp& op, std::size_t action = 0) {
  return std::get<FileActionCopy>(op.actions.at(action).action);
}

TEST(RunMounts, EveryKindHasItsPlaceInTheStep) {
  Converted converted({{"build-arg:BUILDKIT_CACHE_MOUNT_NS", "ns"}});
  converted.convert(
      "FROM x AS tools\nFROM y\nWORKDIR /w\nARG ID=me\n"
      "RUN --mount=type=cache,target=/c,id=$ID,sharing=locked --mount=type=cache,target=rel,uid=7,mode=700 "
      "--mount=from=tools,source=/bin,target=/t --mount=type=bind,target=/ctx,rw "
      "--mount=type=tmpfs,target=/tmp,size=1k "
      "--mount=type=secret,id=key --mount=type=secret,id=tok,env=TOKEN,required --mount=type=ssh make $TOKEN\n");
  const auto runs = converted.ops_of<ExecOp>();
  ASSERT_EQ(runs.size(), 1u) << converted.error();
  std::map<std::string, solver::wire::Mount> mounts;
  for (const auto& mount : runs[0].mounts) mounts[mount.dest] = mount;
  EXPECT_EQ(mounts.at("/c").cache->id, "ns/me");
  EXPECT_EQ(mounts.at("/c").cache->sharing, solver::wire::CacheSharing::locked);
  EXPECT_EQ(mounts.at("/c").input, -1);
  EXPECT_EQ(mounts.at("/w/rel").selector, "/cache");
  EXPECT_EQ(mounts.at("/w/rel").cache->id, "ns/rel");
  EXPECT_EQ(mounts.at("/t").selector, "/bin");
  EXPECT_TRUE(mounts.at("/t").readonly);
  EXPECT_FALSE(mounts.at("/ctx").readonly);
  EXPECT_EQ(mounts.at("/ctx").output, -1);
  EXPECT_EQ(mounts.at("/tmp").tmpfs->size, 1024);
  EXPECT_EQ(mounts.at("/run/secrets/key").secret->mode, 0400u);
  EXPECT_TRUE(mounts.at("/run/secrets/key").secret->optional);
  EXPECT_EQ(mounts.at("/run/buildkit/ssh_agent.0").type, MountType::ssh);
  ASSERT_EQ(runs[0].secret_env.size(), 1u);
  EXPECT_FALSE(runs[0].secret_env[0].optional);
  EXPECT_THAT(runs[0].meta->env, Contains("SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"));
  EXPECT_NE(converted.image().definition.find("make ****"), std::string::npos);
}

TEST(Copies, OwnersModesAndPatternsAreThoseOfTheFlags) {
  Converted converted;
  converted.convert(
      "FROM x\nARG U=app\nWORKDIR /w\nCOPY --chown=$U:0 --chmod=0755 --exclude=*.o --exclude=$U a b/ ./\nCOPY "
      "--chmod=u=rwX,go=rX a .\n"
      "COPY --parents src/./lib/a *.h /dst/\nCOPY --chown=root c/. /d/.\n");
  const auto files = converted.ops_of<FileOp>();
  ASSERT_EQ(files.size(), 5u) << converted.error();
  EXPECT_TRUE(std::holds_alternative<FileActionMkDir>(files[0].actions[0].action));
  const FileActionCopy first = copy_in(files[1]);
  EXPECT_EQ(first.src, "/a");
  EXPECT_EQ(first.dest, "/w/");
  EXPECT_EQ(first.mode, 0755);
  EXPECT_EQ(std::get<solver::wire::NamedUserOpt>(first.owner->user->user).name, "app");
  EXPECT_EQ(std::get<std::uint32_t>(first.owner->group->user), 0u);
  EXPECT_THAT(first.exclude_patterns, ElementsAre("*.o", "$U"));  // not expanded
  EXPECT_EQ(copy_in(files[1], 1).src, "/b");
  EXPECT_EQ(copy_in(files[2]).mode_str, "u=rwX,go=rX");
  EXPECT_EQ(copy_in(files[2]).mode, -1);
  EXPECT_EQ(copy_in(files[3]).src, "/src");
  EXPECT_THAT(copy_in(files[3]).include_patterns, ElementsAre("lib/a"));
  EXPECT_THAT(copy_in(files[3]).required_paths, ElementsAre("/src/lib/a"));
  EXPECT_THAT(copy_in(files[3], 1).include_patterns, ElementsAre("*.h"));
  EXPECT_THAT(copy_in(files[3], 1).required_paths, IsEmpty());
  EXPECT_EQ(copy_in(files[4]).dest, "/d/.");
  EXPECT_EQ(std::get<std::uint32_t>(copy_in(files[4]).owner->user->user), 0u);
  EXPECT_FALSE(copy_in(files[4]).owner->group);
}

TEST(Copies, OfTheNetworkAreSourcesOfTheirOwn) {
  Converted converted;
  converted.convert(
      "FROM scratch\nADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d "
      "https://e.org/d/a%20b.tgz?x#y /t/\n"
      "ADD --unpack https://e.org /r\nADD https://e.org/x.git?branch=b&keep-git-dir=1 /g\n");
  const auto sources = converted.ops_of<SourceOp>();
  ASSERT_EQ(sources.size(), 3u) << converted.error();
  EXPECT_EQ(sources[0].attrs.at("http.filename"), "a b.tgz");
  EXPECT_EQ(sources[0].attrs.at("http.checksum"),
            "sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d");
  EXPECT_EQ(sources[1].attrs.at("http.filename"), "__unnamed__");
  EXPECT_EQ(sources[2].identifier, "git://e.org/x.git#refs/heads/b");
  EXPECT_EQ(sources[2].attrs.at("git.keepgitdir"), "true");
  const auto files = converted.ops_of<FileOp>();
  EXPECT_FALSE(copy_in(files[0]).attempt_unpack);
  EXPECT_TRUE(copy_in(files[1]).attempt_unpack);
}

TEST(Arguments, AreSeenWhereTheyAreDeclared) {
  Converted converted({{"build-arg:G", "given"}, {"platform", "linux/arm64"}});
  converted.convert(
      "ARG G=g\nARG D=${G}-d\nFROM x\nARG D\nARG N\nARG TARGETARCH BUILDARCH=mine\nENV E=$D$N\nENV E=new F=$E\nRUN "
      "a\nUSER ${E}x\n");
  ASSERT_TRUE(converted.result) << converted.error();
  const auto run = converted.ops_of<ExecOp>().at(0);
  EXPECT_THAT(run.meta->env,
              ElementsAre("PATH=/bin", "D=given-d", "TARGETARCH=arm64", "BUILDARCH=mine", "E=new", "F=given-d"));
  const auto config = nlohmann::json::parse(converted.image().config);
  EXPECT_EQ(config["architecture"], "arm64");
  EXPECT_EQ(config["config"]["User"], "newx");
  EXPECT_EQ(config["history"][5]["created_by"],
            "RUN |4 D=given-d N= TARGETARCH=arm64 BUILDARCH=mine /bin/sh -c a # buildkit");
}

TEST(Stages, OnlyWhatTheTargetNeedsIsAskedFor) {
  Converted converted({{"target", "B"}});
  converted.convert("FROM a AS a\nFROM b AS b\nCOPY --from=c:1 /x /\nFROM d\n");
  ASSERT_TRUE(converted.result) << converted.error();
  EXPECT_THAT(converted.facts.asked,
              UnorderedElementsAre("docker.io/library/b:latest linux/amd64", "docker.io/library/c:1 linux/amd64"));
  EXPECT_EQ(Converted({{"target", "bb"}}).convert("FROM a AS b\n").error(),
            "target stage \"bb\" could not be found (did you mean b?)");
}

TEST(Stages, TenThousandAreLinearWork) {
  std::string text = "FROM x AS s0\n";
  for (int i = 1; i < 10000; ++i) text += fmt::format("FROM s{} AS s{}\nRUN {}\n", i - 1, i, i);
  Converted converted;
  converted.convert(text);
  ASSERT_TRUE(converted.result) << converted.error();
  EXPECT_EQ(converted.ops_of<ExecOp>().size(), 9999u);
  EXPECT_EQ(converted.facts.asked.size(), 1u);
}

TEST(Stages, TenThousandThatTakeTheSameArgumentShareWhatTheySay) {
  std::string text = "FROM x AS s0\n";
  for (int i = 1; i < 10000; ++i) text += fmt::format("FROM s{} AS s{}\nARG A=1\n", i - 1, i);
  Converted converted;
  converted.convert(text + "RUN one\n");
  ASSERT_TRUE(converted.result) << converted.error();
  EXPECT_EQ(converted.ops_of<ExecOp>().size(), 1u);
}

TEST(OnBuild, TriggersComeFirstAndMayNeedOtherStages) {
  Converted converted;
  converted.facts.container_of["docker.io/library/base:latest"] =
      R"({"OnBuild":["COPY --from=tools /t /t","RUN trigger"]})";
  converted.convert("FROM x AS tools\nRUN tool\nFROM base AS mid\nONBUILD RUN of-mid\nRUN mine\nFROM mid\nRUN last\n");
  ASSERT_TRUE(converted.result) << converted.error();
  std::vector<std::string> lines;
  for (const auto& run : converted.ops_of<ExecOp>()) lines.push_back(run.meta->args.back());
  EXPECT_THAT(lines, ElementsAre("tool", "trigger", "mine", "of-mid", "last"));
  EXPECT_FALSE(nlohmann::json::parse(converted.image().config)["config"].contains("OnBuild"));
}

TEST(OnBuild, ChainsInImagesAreRefused) {
  for (const char* trigger : {"ONBUILD RUN a", "FROM y", "RUN a\\nRUN b", "NOPE"}) {
    Converted converted;
    converted.facts.container_of["docker.io/library/x:latest"] = fmt::format(R"({{"OnBuild":["{}"]}})", trigger);
    converted.convert("FROM x\n");
    EXPECT_FALSE(converted.result) << trigger;
    EXPECT_EQ(converted.diagnostics.error_lines.first, 1);
  }
}

TEST(NamedContexts, TakeThePlaceOfImagesAndStages) {
  Converted converted({{"context:dep", "https://e.org/r.git#v1"},
                       {"context:x", "docker-image://other:2"},
                       {"context:none", "docker-image://scratch"}});
  converted.convert("FROM none AS n\nFROM x\nCOPY --from=dep /a /\nCOPY --from=n /b /\n");
  ASSERT_TRUE(converted.result) << converted.error();
  EXPECT_THAT(converted.facts.asked, ElementsAre("docker.io/library/other:2 linux/amd64"));
  std::vector<std::string> identifiers;
  for (const auto& source : converted.ops_of<SourceOp>()) identifiers.push_back(source.identifier);
  EXPECT_THAT(identifiers, ElementsAre("docker-image://docker.io/library/other:2", "git://e.org/r.git#v1"));
  Converted bad({{"context:x", "floppy:a"}});
  EXPECT_EQ(bad.convert("FROM x\n").error(), "unsupported context source floppy for x");
}

TEST(NamedContexts, AnInputIsOfNoUseWhereNobodyHandsOneOn) {
  Converted converted({{"context:base", "input:other"}});
  EXPECT_EQ(converted.convert("FROM base\n").error(), "context base is the input other of the build, and it has none");
}

TEST(Contexts, AFileOfTheDirectoryMayHoldTheContext) {
  Converted converted({{"context-archive", "all.tar"}});
  converted.facts.files["Dockerfile"] = "FROM scratch\nCOPY a /b\n";
  converted.facts.files[".dockerignore"] = "a\n";
  converted.result = build_dockerfile(converted.options, converted.facts, converted.diagnostics);
  ASSERT_EQ(converted.error(), "");
  EXPECT_TRUE(converted.diagnostics.warnings.empty()) << "the archive is taken whole";
  const auto sources = converted.ops_of<solver::wire::SourceOp>();
  ASSERT_EQ(sources.size(), 1u);
  EXPECT_EQ(sources[0].identifier, "local://context");
  const auto copies = converted.ops_of<solver::wire::FileOp>();
  ASSERT_EQ(copies.size(), 2u);
  const auto& unpack = std::get<solver::wire::FileActionCopy>(copies[0].actions.at(0).action);
  EXPECT_EQ(unpack.src, "/all.tar");
  EXPECT_TRUE(unpack.attempt_unpack);
}

TEST(Contexts, AnArchiveOfTheNetworkIsUnpackedAndAFileIsTheDockerfile) {
  Converted archive({{"context", "https://e.org/c.tgz"}});
  archive.facts.files = {{"context", std::string("\x1f\x8b\x08rest")}, {"Dockerfile", "FROM scratch\nCOPY a /\n"}};
  archive.result = build_dockerfile(archive.options, archive.facts, archive.diagnostics);
  ASSERT_TRUE(archive.result) << archive.error();
  EXPECT_TRUE(copy_in(archive.ops_of<FileOp>().at(0)).attempt_unpack);
  Converted file({{"context", "https://e.org/Dockerfile"}});
  file.facts.files = {{"context", "FROM x\nRUN a\n"}};
  file.result = build_dockerfile(file.options, file.facts, file.diagnostics);
  ASSERT_TRUE(file.result) << file.error();
  EXPECT_EQ(file.ops_of<ExecOp>().size(), 1u);
}

TEST(Config, IsWrittenAsBuildKitWritesIt) {
  Converted converted({{"build-arg:SOURCE_DATE_EPOCH", "1"}});
  converted.convert(
      "FROM scratch\nEXPOSE 8000-8001 53/UDP\nVOLUME [\"/a b\"]\nHEALTHCHECK --interval=1m30s --retries=3 CMD a || "
      "b\nSTOPSIGNAL SIGKILL\n"
      "ENTRYPOINT [\"/e\"]\nCMD [\"c\", \"<d>\"]\nLABEL a='1 2' \"b c\"=3\nONBUILD RUN x\nSHELL [\"/s\"]\n");
  ASSERT_TRUE(converted.result) << converted.error();
  const auto config = nlohmann::json::parse(converted.image().config)["config"];
  EXPECT_EQ(config["ExposedPorts"].dump(), R"({"53/udp":{},"8000/tcp":{},"8001/tcp":{}})");
  EXPECT_EQ(config["Volumes"].dump(), R"({"/a b":{}})");
  EXPECT_EQ(config["Healthcheck"].dump(), R"({"Interval":90000000000,"Retries":3,"Test":["CMD-SHELL","a || b"]})");
  EXPECT_EQ(config["Labels"].dump(), R"({"a":"1 2","b c":"3"})");
  EXPECT_EQ(config["OnBuild"].dump(), R"(["RUN x"])");
  const auto history = nlohmann::json::parse(converted.image().config)["history"];
  EXPECT_EQ(
      history[2]["created_by"],
      "HEALTHCHECK {Test:[CMD-SHELL a || b] Interval:1m30s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}");
  EXPECT_EQ(history[2]["created"], "1970-01-01T00:00:01Z");
  EXPECT_NE(converted.image().config.find("\\u003cd\\u003e"), std::string::npos);
}

TEST(Checks, SayWhatAndWhere) {
  Converted converted({{"build-arg:T", "1"}});
  converted.convert(
      "ARG T\nFROM busybox:$T AS Up\nFROM x$NOTHING\nfrom --platform=$TARGETPLATFORM x\nRUN a \\\n\n b\nEXPOSE 80/TCP "
      "1:2\nCOPY x/y /\nENV A=$PAHT\n"
      "FROM y AS up\nFROM z AS scratch\n",
      {"x"});
  EXPECT_THAT(converted.warnings(),
              UnorderedElementsAre(
                  "NoEmptyContinuation: Empty continuation line (line 7)",
                  "ConsistentInstructionCasing: Command 'from' should match the case of the command majority "
                  "(uppercase) (line 4)",
                  "StageNameCasing: Stage name 'Up' should be lowercase (line 2)",
                  "DuplicateStageName: Duplicate stage name \"up\", stage names should be unique (line 11)",
                  "ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\" (line 12)",
                  "InvalidDefaultArgInFrom: Default value for ARG busybox:$T results in empty or invalid base image "
                  "name (line 2)",
                  "UndefinedArgInFrom: FROM argument 'NOTHING' is not declared (line 3)",
                  "RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as "
                  "this is the default behavior (line 4)"));
  Converted of_stage;
  of_stage.convert("FROM x\nEXPOSE 80/TCP 1:2\nCOPY x/y /\nENV A=$PAHT\n", {"x"});
  EXPECT_THAT(of_stage.warnings(),
              UnorderedElementsAre(
                  "ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase (line 2)",
                  "ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found "
                  "'1:2' (line 2)",
                  "CopyIgnoredFile: Attempting to Copy file \"x/y\" that is excluded by .dockerignore (line 3)",
                  "UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?) (line 4)"));
}

TEST(Checks, CanBeSkippedOrMadeErrors) {
  Converted skipped;
  skipped.convert("# check=skip=StageNameCasing\nFROM x AS Up\n");
  EXPECT_THAT(skipped.warnings(), IsEmpty());
  Converted errors;
  errors.convert("# check=error=true\nFROM x AS Up\n");
  EXPECT_EQ(errors.error(), "lint violation found for rules: StageNameCasing");
  Converted by_argument({{"build-arg:BUILDKIT_DOCKERFILE_CHECK", "skip=all"}});
  by_argument.convert("# check=error=true\nFROM x AS Up\n");
  EXPECT_TRUE(by_argument.result);
}

}  // namespace
}  // namespace cairn::dockerfile
