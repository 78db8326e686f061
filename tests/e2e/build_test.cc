// SPDX-License-Identifier: Apache-2.0
// cachectl build: Dockerfiles by the real program, with steps that are real containers.
#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "tests/e2e/world.h"

namespace cairn::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class Build : public World {
 protected:
  Build() : context_(make_dir("context")) {}

  void dockerfile(std::string_view text) { put(context_, "Dockerfile", text); }
  // What --json says; the image "base" is busybox.
  Solved build(Words more = {}, const std::string& input = "") {
    Words words{"--root", root_.str(), "build", "--json", "--progress", "plain", "--build-context", "base=oci-layout://" + busybox_image().layout().str()};
    words.insert(words.end(), more.begin(), more.end());
    words.push_back(context_.str());
    return parse_solved(cachectl(words, input));
  }
  Words check_command(const std::string& flag = "--check") const {
    return {"--root", root_.str(), "build", flag, "--progress", "none", "--build-context", "base=oci-layout://" + busybox_image().layout().str(), context_.str()};
  }
  // The JSON that a call answers with.
  nlohmann::json answer(const std::string& call, int code = 0) {
    const Ended ended = cachectl(check_command("--call=" + call));
    EXPECT_EQ(ended.code, code) << ended.err;
    return nlohmann::json::parse(ended.out, nullptr, false);
  }
  // Of a build whose context is on standard input.
  Words archive_command(const std::string& output) const {
    return {"--root", root_.str(), "build", "--json", "--progress", "none", "--build-context", "base=oci-layout://" + busybox_image().layout().str(), "-o", (temp_ / output).str(), "-"};
  }
  Words to(const std::string& name) const { return {"-o", (temp_ / name).str()}; }

  base::HostPath context_;
};

TEST_F(Build, StagesAreBuiltAndTheTargetsFilesComeOut) {
  put(context_, "words.txt", "one two three\n");
  put(context_, "ignored.log", "noise");
  put(context_, ".dockerignore", "*.log\n");
  dockerfile("FROM base AS count\n"
             "WORKDIR /work\n"
             "COPY . .\n"
             "RUN wc -w words.txt | tr -d ' ' > /count && ls -a > /list\n"
             "FROM scratch\n"
             "COPY --from=count /count /list /\n");
  const Solved first = build(to("out"));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(exported("out", "count"), HasSubstr("3"));
  EXPECT_THAT(exported("out", "list"), AllOf(HasSubstr("words.txt"), Not(HasSubstr("ignored.log"))));
  EXPECT_GT(first.executed, 0u);
  const Solved again = build(to("out"));
  EXPECT_EQ(again.executed, 0u) << again.out;
  put(context_, "ignored.log", "other noise");
  EXPECT_EQ(build(to("out")).executed, 0u) << "it is ignored";
  put(context_, "words.txt", "one two three four\n");
  EXPECT_EQ(build(to("out")).executed, 4u) << "the context, two steps and the copy of what they made";
  EXPECT_THAT(exported("out", "count"), HasSubstr("4"));
}

TEST_F(Build, ArgumentsSecretsAndMountsReachTheSteps) {
  put(temp_.path(), "token", "hunter2");
  dockerfile("FROM base AS work\n"
             "ARG GREETING=hello\n"
             "RUN --mount=type=secret,id=token --mount=type=cache,target=/cache <<SCRIPT\n"
             "mkdir /result\n"
             "echo $GREETING > /result/greeting\n"
             "wc -c < /run/secrets/token > /result/length\n"
             "SCRIPT\n"
             "FROM scratch\n"
             "COPY --from=work /result /\n");
  Words words = to("out");
  words.insert(words.end(), {"--build-arg", "GREETING=salve", "--secret", "id=token,src=" + (temp_ / "token").str()});
  const Solved built = build(words);
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_EQ(exported("out", "greeting"), "salve\n");
  EXPECT_THAT(exported("out", "length"), HasSubstr("7"));
  EXPECT_THAT(built.out + built.err, Not(HasSubstr("hunter2")));
}

TEST_F(Build, AFailedStepIsShownInTheDockerfile) {
  dockerfile("FROM base\n"
             "RUN true\n"
             "RUN echo about to fail && exit 7\n"
             "RUN true\n");
  const Solved built = build();
  EXPECT_EQ(built.code, 1);
  EXPECT_THAT(built.err, HasSubstr("Dockerfile:3\n--------------------\n"));
  EXPECT_THAT(built.err, HasSubstr("   3 | >>> RUN echo about to fail && exit 7\n"));
  EXPECT_THAT(built.err, HasSubstr("exit code: 7"));
  EXPECT_THAT(built.err, HasSubstr("about to fail"));
}

TEST_F(Build, AnErrorOfTheTextIsShownInTheDockerfileAndNothingRuns) {
  dockerfile("FROM base\nRUN true\nCOPI a b\n");
  const Solved built = build();
  EXPECT_NE(built.code, 0);
  EXPECT_THAT(built.err, HasSubstr("   3 | >>> COPI a b\n"));
  EXPECT_THAT(built.err, HasSubstr("unknown instruction: COPI"));
  EXPECT_EQ(built.executed, 0u);
}

TEST_F(Build, CheckTellsTheWarningsAndBuildsNothing) {
  dockerfile("FROM base as work\nRUN touch /made\n");
  Words words = check_command();
  const Ended checked = cachectl(words);
  EXPECT_EQ(checked.code, 1);
  EXPECT_THAT(checked.out, HasSubstr("WARNING: FromAsCasing - https://"));
  EXPECT_THAT(checked.out, HasSubstr("   1 | >>> FROM base as work\n"));
  EXPECT_THAT(checked.out, HasSubstr("Check complete, 1 warning has been found!\n"));
  dockerfile("FROM base AS work\nRUN touch /made\n");
  const Ended clean = cachectl(words);
  EXPECT_EQ(clean.code, 0);
  EXPECT_EQ(clean.out, "Check complete, no warnings found.\n");
  words.insert(words.begin() + 3, "--json");
  EXPECT_EQ(nlohmann::json::parse(cachectl(words).out).at("executed"), 0);
  // A build says them, too, and goes on.
  dockerfile("FROM base as work\nRUN touch /made\n");
  const Solved built = build();
  EXPECT_EQ(built.code, 0);
  EXPECT_THAT(built.err, HasSubstr(" - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"));
  EXPECT_EQ(nlohmann::json::parse(built.out).at("checks")[0].at("rule"), "FromAsCasing");
}

TEST_F(Build, ACallTellsWhatATargetTakes) {
  dockerfile("# VERSION is what is built\n"
             "ARG VERSION=1.0\n"
             "FROM base AS other\n"
             "RUN --mount=type=ssh,required touch /other\n"
             "# app is the program\n"
             "FROM base AS app\n"
             "ARG VERSION\n"
             "RUN --mount=type=secret,id=token --mount=type=cache,target=/cache touch /made\n"
             "FROM other\n");
  Words words = check_command("--call=outline");
  words.insert(words.end(), {"--target", "app"});
  const Ended text = cachectl(words);
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.out,
            "TARGET:      app\n"
            "DESCRIPTION: is the program\n"
            "\n"
            "BUILD ARG  VALUE  DESCRIPTION\n"
            "VERSION    1.0    is what is built\n"
            "\n"
            "SECRET  REQUIRED\n"
            "token\n"
            "\n"
            "CACHE MOUNT\n"
            "/cache\n");
  const auto outline = answer("outline,format=json");
  EXPECT_EQ(outline.at("ssh")[0].at("name"), "default");
  EXPECT_EQ(outline.at("ssh")[0].at("required"), true);
  EXPECT_FALSE(outline.contains("args"));
  words.insert(words.end(), {"--json", "--build-arg", "VERSION=2.0"});
  const auto report = nlohmann::json::parse(cachectl(words).out);
  EXPECT_EQ(report.at("answer").at("args")[0].at("value"), "2.0");
  EXPECT_EQ(report.at("executed"), 0);

  const Ended targets = cachectl(check_command("--call=targets"));
  EXPECT_EQ(targets.code, 0) << targets.err;
  EXPECT_EQ(targets.out,
            "TARGET     DESCRIPTION\n"
            "other\n"
            "app        is the program\n"
            "(default)\n");
  EXPECT_EQ(answer("targets,format=json").at("targets")[1].at("location").at("ranges")[0].at("start").at("line"), 6);
  // Of the targets nothing has to be known but the text.
  dockerfile("FROM example.invalid/nothing:1 AS a\n");
  EXPECT_EQ(answer("targets,format=json").at("targets")[0].at("base"), "example.invalid/nothing:1");
}

TEST_F(Build, ACheckIsToldAsJson) {
  dockerfile("FROM base as work\nRUN touch /made\n");
  const auto lint = answer("check,format=json", 1);
  ASSERT_EQ(lint.at("warnings").size(), 1u);
  EXPECT_EQ(lint.at("warnings")[0].at("ruleName"), "FromAsCasing");
  EXPECT_EQ(lint.at("sources")[0].at("filename"), "Dockerfile");
  EXPECT_FALSE(lint.contains("buildError"));
  EXPECT_EQ(answer("lint,format=json,ignorestatus=true", 0).at("warnings").size(), 1u);
  dockerfile("FROM base as work\nCOPI a b\n");
  const Ended failed = cachectl(check_command("--call=check,format=json"));
  EXPECT_EQ(failed.code, cachectl(check_command()).code);
  EXPECT_NE(failed.code, 0);
  EXPECT_THAT(failed.err, HasSubstr("   2 | >>> COPI a b\n"));
  const auto told = nlohmann::json::parse(failed.out);
  EXPECT_THAT(told.at("buildError").at("message").get<std::string>(), HasSubstr("unknown instruction: COPI"));
  EXPECT_EQ(told.at("buildError").at("location").at("ranges")[0].at("start").at("line"), 2);
}

TEST_F(Build, TheCallsThatThereAreAreDescribed) {
  const Ended text = cachectl(check_command("--call=subrequests.describe"));
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, AllOf(HasSubstr("NAME                  VERSION  DESCRIPTION\n"), HasSubstr("outline               1.0.0 "), HasSubstr("lint "), HasSubstr("targets ")));
  EXPECT_EQ(answer("subrequests.describe,format=json")[1].at("name"), "frontend.targets");
  dockerfile("FROM scratch\n");
  for (const char* wrong : {"--call=paint", "--call=outline,targets", "--call=format=json", "--call=outline,format=xml", "--call=check,x=y", "--call=,format=json"}) {
    const Ended ended = cachectl(check_command(wrong));
    EXPECT_EQ(ended.code, 2) << wrong << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("--call"));
  }
  dockerfile("COPI a b\n");
  EXPECT_THAT(cachectl(check_command("--call=targets")).err, HasSubstr("   1 | >>> COPI a b\n"));
}

TEST_F(Build, TheDockerfileMayLieElsewhereOrComeFromStandardInput) {
  put(context_, "file", "of the context");
  put(make_dir("elsewhere"), "my.Dockerfile", "FROM scratch\nCOPY file /copied\n");
  Words words = to("out");
  words.insert(words.end(), {"-f", (temp_ / "elsewhere/my.Dockerfile").str()});
  ASSERT_EQ(build(words).code, 0);
  EXPECT_EQ(exported("out", "copied"), "of the context");

  Words from_input = to("out2");
  from_input.insert(from_input.end(), {"-f", "-"});
  ASSERT_EQ(build(from_input, "FROM scratch\nCOPY file /again\n").code, 0);
  EXPECT_EQ(exported("out2", "again"), "of the context");

  Words alone{"--root", root_.str(), "build", "--build-context", "base=oci-layout://" + busybox_image().layout().str(), "-o", (temp_ / "out3").str(), "-"};
  ASSERT_EQ(cachectl(alone, "FROM base AS work\nRUN echo x > /x\nFROM scratch\nCOPY --from=work /x /\n").code, 0);
  EXPECT_EQ(exported("out3", "x"), "x\n");
  const Ended neither = cachectl(alone, std::string("FROM base\n\0", 11));
  EXPECT_EQ(neither.code, 2);
  EXPECT_THAT(neither.err, HasSubstr("this is no Dockerfile"));
}

TEST_F(Build, AnArchiveOnStandardInputIsTheContext) {
  put(context_, "file", "in the archive");
  put(make_dir("context/docker"), "other", "FROM scratch\nCOPY file /other\n");
  dockerfile("FROM base AS work\nCOPY . /work\nRUN chmod 600 /work/file\nFROM scratch\nCOPY --from=work /work/file /copied\n");
  const std::string tar = tar_of(context_);
  for (const char* program : {"", "gzip", "bzip2", "xz", "zstd"}) {
    const std::string archive = *program == '\0' ? tar : run_program(temp_.path(), {program, "-c"}, tar).out;
    Words words = archive_command("out");
    const Solved built = parse_solved(cachectl(words, archive));
    ASSERT_EQ(built.code, 0) << program << built.err;
    EXPECT_EQ(exported("out", "copied"), "in the archive") << program;
    if (*program != '\0') {
      EXPECT_THAT(built.in_state("executed"), Not(Contains("[work 3/3] RUN chmod 600 /work/file"))) << program << ": the same files";
    }
    EXPECT_EQ(parse_solved(cachectl(words, archive)).executed, 0u) << program;
    std::filesystem::remove_all((temp_ / "out").str());
  }
  Words named = archive_command("out2");
  named.insert(named.begin() + 3, {"-f", "docker/other"});
  EXPECT_EQ(parse_solved(cachectl(named, tar)).code, 0);
  EXPECT_EQ(exported("out2", "other"), "in the archive");
  Words targets = archive_command("out3");
  targets.insert(targets.begin() + 3, "--call=targets,format=json");
  EXPECT_EQ(nlohmann::json::parse(cachectl(targets, tar).out).at("targets")[0].at("name"), "work");
}

TEST_F(Build, AnArchiveThatIsWrongIsRefused) {
  put(context_, "file", std::string(100000, 'x'));
  dockerfile("FROM scratch\nCOPY file /\n");
  const std::string tar = tar_of(context_);
  const Words words = archive_command("out");
  const std::string gzip = run_program(temp_.path(), {"gzip", "-c"}, tar).out;
  for (const std::string& cut : {tar.substr(0, 60000), gzip.substr(0, gzip.size() - 20)}) {
    const Ended ended = cachectl(words, cut);
    EXPECT_NE(ended.code, 0);
    EXPECT_THAT(ended.err, HasSubstr("unpack")) << ended.err;
  }
  put(make_dir("empty"), "file", "x");
  const Ended without = cachectl(words, tar_of(temp_ / "empty"));
  EXPECT_EQ(without.code, 3) << without.err;
  EXPECT_THAT(without.err, HasSubstr("open Dockerfile: no such file"));
  // A name that steps out of it.
  std::string outside = run_program(temp_.path(), {"tar", "-C", context_.str(), "--transform", "s,^file$,../../escaped,", "-P", "-cf", "-", "Dockerfile", "file"}).out;
  const Ended escaping = cachectl(words, outside);
  EXPECT_NE(escaping.code, 0);
  EXPECT_THAT(escaping.err, HasSubstr("escaped"));
  // What only begins as an archive, and one for both.
  EXPECT_NE(cachectl(words, std::string("\x1f\x8b\x08 nothing", 11)).code, 0);
  Words both = words;
  both.insert(both.begin() + 3, {"-f", "-"});
  EXPECT_EQ(cachectl(both, tar).code, 2);
  both.back() = context_.str();
  const Ended no_text = cachectl(both, tar);
  EXPECT_EQ(no_text.code, 2);
  EXPECT_THAT(no_text.err, HasSubstr("is taken as the context"));
  EXPECT_FALSE(std::filesystem::exists((temp_ / "out").str()));
}

TEST_F(Build, AnInputOfAnotherBuildIsNoContextHere) {
  dockerfile("FROM more\n");
  for (const std::string more : {"input:base", "target:base"}) {
    const Solved built = build({"--build-context", "more=" + more});
    EXPECT_EQ(built.code, 2);
    EXPECT_THAT(built.err, AllOf(HasSubstr(more + " is what another build hands on"), HasSubstr("hint: build it first with -o DIR")));
  }
}

TEST_F(Build, NamedContextsAreDirectoriesToo) {
  put(make_dir("other"), "file", "from elsewhere");
  dockerfile("FROM scratch\nCOPY --from=more file /copied\n");
  Words words = to("out");
  words.insert(words.end(), {"--build-context", "more=" + (temp_ / "other").str()});
  const Solved built = build(words);
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_EQ(exported("out", "copied"), "from elsewhere");
}

TEST_F(Build, TheContextMayStandBetweenOptions) {
  put(make_dir("other"), "file", "from elsewhere");
  dockerfile("FROM scratch\nARG NAME\nCOPY --from=more file /$NAME\n");
  const Ended built = cachectl({"--root", root_.str(), "build", "--build-context", "more=" + (temp_ / "other").str(), "--build-arg", "NAME=a", context_.str(), "-o", (temp_ / "out").str()});
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_EQ(exported("out", "a"), "from elsewhere");
}

TEST_F(Build, TheHistoryTellsOfBuildsAndWhyStepsRan) {
  put(context_, "file", "1");
  dockerfile("FROM base\nCOPY file /\nRUN cat /file\n");
  ASSERT_EQ(build().code, 0);
  put(context_, "file", "2");
  Words words{"--explain"};
  const Solved built = build(words);
  ASSERT_EQ(built.code, 0);
  EXPECT_THAT(built.out, HasSubstr("file")) << "the path that changed";
  const Ended history = cachectl({"--root", root_.str(), "history", "list", "--json"});
  EXPECT_EQ(nlohmann::json::parse(history.out).at("solves").size(), 2u) << "what is read for a build is none of its own\n" << history.out;
}

TEST_F(Build, ACacheIsTakenBetweenStores) {
  put(context_, "file", "1");
  dockerfile("FROM base\nCOPY file /\nRUN cat /file > /made\n");
  ASSERT_EQ(build({"--cache-to", "type=local,mode=max,dest=" + (temp_ / "cache").str()}).code, 0);
  std::filesystem::remove_all(root_.str());
  Words words = to("out");
  words.insert(words.end(), {"--cache-from", "type=local,src=" + (temp_ / "cache").str()});
  const Solved built = build(words);
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_EQ(built.in_state("executed"), Words{"[internal] load build context"}) << built.out;
  EXPECT_EQ(built.states.at("[2/3] RUN cat /file > /made"), "cached");
  EXPECT_EQ(exported("out", "made"), "1");
}

TEST_F(Build, AnImageWhoseLayersTheCacheHasLostIsMadeAgain) {
  dockerfile("FROM base\nRUN echo one > /one\nRUN echo two > /two\n");
  const std::string cache = (temp_ / "cache").str();
  ASSERT_EQ(build({"--cache-to", "type=local,dest=" + cache + ",mode=max"}).code, 0);
  std::filesystem::remove_all(root_.str());
  ASSERT_EQ(build({"--cache-from", "type=local,src=" + cache}).executed, 0u);
  std::filesystem::remove_all(cache);
  // Of a stream the beginning may be gone already: nothing follows it.
  Words stream = check_command();
  stream[std::find(stream.begin(), stream.end(), "--check") - stream.begin()] = "--output=type=oci,dest=-";
  EXPECT_EQ(cachectl(stream).code, 3);
  const Solved built = build({"-o", "type=oci,dest=" + (temp_ / "image.tar").str()});
  ASSERT_EQ(built.code, 0) << built.err;
  EXPECT_EQ(built.in_state("executed"), (Words{"[1/3] RUN echo one > /one", "[2/3] RUN echo two > /two", "[context base] OCI load from client"})) << built.out;
  EXPECT_THAT(built.err, HasSubstr("is done again"));
  EXPECT_TRUE(std::filesystem::exists((temp_ / "image.tar").str()));
  EXPECT_EQ(build({"-o", "type=oci,dest=" + (temp_ / "again.tar").str()}).executed, 0u);
  expect_clean();
}

TEST_F(Build, WhatMeansNothingIsSaidBeforeAnythingRuns) {
  dockerfile("FROM scratch\n");
  for (const Words& words : {Words{"--build-arg", "=x"}, Words{"--build-context", "more"}, Words{"--label", "=x"}, Words{"-o", "type=cloud"},
                             Words{"--tag", "UPPER"}, Words{"--add-host", "name"}, Words{"--shm-size", "often"}, Words{"--cache-to", "type=cloud"},
                             Words{"--annotation", "key"}}) {
    const Solved built = build(words);
    EXPECT_EQ(built.code, 2) << words[0] << ' ' << words[1] << built.err;
  }
  const Ended missing = cachectl({"--root", root_.str(), "build", (temp_ / "nowhere").str()});
  EXPECT_EQ(missing.code, 3) << missing.err;
}

}  // namespace
}  // namespace cairn::test
