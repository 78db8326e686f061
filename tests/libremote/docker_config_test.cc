// SPDX-License-Identifier: Apache-2.0
// What users are logged in with: files as docker and podman write them, and helpers that are programs of the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>

#include "libbase/base64.h"
#include "libremote/docker_config.h"
#include "libremote/registry/credentials.h"
#include "tests/support/host_state.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::Result;
using testing::HasSubstr;
using testing::Not;

class DockerConfigTest : public testing::Test {
 protected:
  DockerConfigTest() { ::setenv("PATH", (dir_.path().str() + ":" + path_).c_str(), 1); }
  ~DockerConfigTest() override {
    ::setenv("PATH", path_.c_str(), 1);
    for (const char* name : {"DOCKER_CONFIG", "REGISTRY_AUTH_FILE"}) ::unsetenv(name);
  }

  Result<std::string> login(const std::string& json, const std::string& registry) {
    return TRY(DockerConfig::parse(json, "the file", {.helper_time = helper_time_})).credentials(registry);
  }
  // Without the line that says where it is from.
  std::string told(const std::string& json, const std::string& registry) {
    const auto text = login(json, registry);
    EXPECT_TRUE(text) << text.error().message;
    return text ? text->substr(0, text->find('\n')) : "";
  }
  void expect_error(const std::string& json, ErrorCode code, const std::string& part) {
    const auto text = login(json, "r.example");
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, code) << text.error().message;
    EXPECT_THAT(text.error().message, HasSubstr(part));
    EXPECT_THAT(text.error().message, Not(HasSubstr("geheim")));
  }
  // A program docker-credential-<name>.
  void make_helper(const std::string& name, const std::string& script) {
    const auto file = dir_ / ("docker-credential-" + name);
    test::write_text(file, "#!/bin/sh\n" + script);
    ASSERT_EQ(::chmod(file.c_str(), 0755), 0);
  }
  static std::string auth(const std::string& plain) { return R"({"auth": ")" + base::base64(plain) + "\"}"; }

  test::TempDir dir_;
  const std::string path_ = ::getenv("PATH");
  std::chrono::milliseconds helper_time_{20'000};
};

TEST_F(DockerConfigTest, AnEntryIsFoundHoweverItsKeyIsWritten) {
  for (const char* key : {"r.example", "https://r.example", "http://r.example/", "https://r.example/v2/", "r.example/team"}) {
    const std::string json = "{\"auths\": {\"" + std::string(key) + "\": " + auth("me:pass:word") + "}}";
    EXPECT_EQ(told(json, "r.example"), "me:pass:word") << key;
    EXPECT_EQ(told(json, "r.example:5000"), "") << key;
    EXPECT_EQ(told(json, "example"), "") << key;
  }
  EXPECT_EQ(told(R"({"auths": {"127.0.0.1:5000": )" + auth("a:b") + "}}", "127.0.0.1:5000"), "a:b");
  const std::string hub = std::string("https://index.") + "docker.io/v1/";
  EXPECT_EQ(told("{\"auths\": {\"" + hub + "\": " + auth("hub:x") + "}}", "docker.io"), "hub:x");
  EXPECT_EQ(told(R"({"auths": {"docker.io": )" + auth("hub:y") + "}}", "docker.io"), "hub:y");
}

TEST_F(DockerConfigTest, TheEntryOfTheWholeRegistryComesFirst) {
  EXPECT_EQ(told(R"({"auths": {"r.example/team": )" + auth("team:x") + R"(, "https://r.example": )" + auth("all:x") +
                     R"(, "r.example": )" + auth("exact:x") + "}}",
                 "r.example"),
            "exact:x");
}

TEST_F(DockerConfigTest, AnEntryMayHoldTokens) {
  const auto identity = login(R"({"auths": {"r.example": {"auth": "bWU6", "identitytoken": "it"}}})", "r.example");
  ASSERT_TRUE(identity);
  Credentials parsed = parse_credentials(*identity);
  EXPECT_EQ(parsed.kind, Credentials::Kind::identity_token);
  EXPECT_EQ(parsed.secret, "it");
  EXPECT_EQ(parsed.from, "the file");
  parsed = parse_credentials(login(R"({"auths": {"r.example": {"registrytoken": "rt"}}})", "r.example").value());
  EXPECT_EQ(parsed.kind, Credentials::Kind::registry_token);
  EXPECT_EQ(parsed.secret, "rt");
  EXPECT_EQ(told(R"({"auths": {"r.example": {"username": "u", "password": "p"}}})", "r.example"), "u:p");
}

TEST_F(DockerConfigTest, WhatIsNoConfigIsAnError) {
  for (const char* json : {"", "[]", "{\"auths\": 1}", "{\"auths\": {\"r.example\": \"x\"}}", "{\"credHelpers\": []}",
                           "{\"credHelpers\": {\"r.example\": 1}}", "{\"auths\": "})
    expect_error(json, ErrorCode::invalid_argument, "the file");
  for (const std::string& entry : {std::string(R"({"auth": "!!"})"), auth("nocolon"), auth("a:b\nc"),
                                   std::string(R"({"identitytoken": "a\nb"})")})
    expect_error(R"({"auths": {"r.example": )" + entry + "}}", ErrorCode::invalid_argument, "the file");
}

TEST_F(DockerConfigTest, NothingIsSaidOfOthers) {
  EXPECT_EQ(told("{}", "r.example"), "");
  EXPECT_EQ(told(R"({"auths": null, "credHelpers": null, "HttpHeaders": {}})", "r.example"), "");
  EXPECT_EQ(told(R"({"auths": {"r.example": {}}})", "r.example"), "");
}

TEST_F(DockerConfigTest, AHelperIsAskedForItsRegistryAlone) {
  make_helper("kept", "read -r server; echo \"$1 $server\" >> " + (dir_ / "asked").str() +
                          "; printf '{\"ServerURL\":\"%s\",\"Username\":\"me\",\"Secret\":\"geheim\"}' \"$server\"\n");
  const std::string json = R"({"credHelpers": {"r.example": "kept"}, "auths": {"other.example": )" + auth("o:p") + "}}";
  const auto login_of = login(json, "r.example");
  ASSERT_TRUE(login_of) << login_of.error().message;
  EXPECT_EQ(*login_of, "me:geheim\ndocker-credential-kept (the file)");
  EXPECT_EQ(told(json, "other.example"), "o:p");
  EXPECT_EQ(told(json, "third.example"), "");
  EXPECT_EQ(test::read_text((dir_ / "asked").str()), "get r.example\n");
  // One for all others, by the address that docker writes.
  EXPECT_EQ(told(R"({"credsStore": "kept"})", "docker.io"), "me:geheim");
  EXPECT_EQ(test::read_text((dir_ / "asked").str()), "get r.example\nget https://index." "docker.io/v1/\n");
}

TEST_F(DockerConfigTest, AHelperThatKeepsNothingLeavesItToTheFile) {
  make_helper("empty", "echo 'credentials not found in native keychain'; exit 1\n");
  EXPECT_EQ(told(R"({"credsStore": "empty"})", "r.example"), "");
  EXPECT_EQ(told(R"({"credsStore": "empty", "auths": {"r.example": )" + auth("a:b") + "}}", "r.example"), "a:b");
}

TEST_F(DockerConfigTest, AnIdentityTokenMayComeFromAHelper) {
  make_helper("token", "echo '{\"Username\":\"<token>\",\"Secret\":\"it\"}'\n");
  const auto parsed = parse_credentials(login(R"({"credsStore": "token"})", "r.example").value());
  EXPECT_EQ(parsed.kind, Credentials::Kind::identity_token);
  EXPECT_EQ(parsed.secret, "it");
}

TEST_F(DockerConfigTest, AHelperThatFailsIsAnErrorThatNamesItAndNoSecret) {
  make_helper("locked", "echo 'the keychain is locked'; exit 3\n");
  expect_error(R"({"credsStore": "locked"})", ErrorCode::unavailable,
               "the file: docker-credential-locked: it failed (exit code 3): the keychain is locked");
  make_helper("leaky", "echo '{\"Username\":\"me\",\"Secret\":\"geheim\"}'; exit 1\n");
  expect_error(R"({"credsStore": "leaky"})", ErrorCode::unavailable, "docker-credential-leaky: it failed (exit code 1)");
  make_helper("odd", "echo 'geheim'\n");
  expect_error(R"({"credsStore": "odd"})", ErrorCode::unavailable, "its answer is no JSON object");
  make_helper("half", "echo '{\"Secret\":\"geheim\"}'\n");
  expect_error(R"({"credsStore": "half"})", ErrorCode::unavailable, "lacks Username or Secret");
  make_helper("killed", "kill -9 $$\n");
  expect_error(R"({"credsStore": "killed"})", ErrorCode::unavailable, "it failed (signal 9)");
  make_helper("endless", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done\n");
  expect_error(R"({"credsStore": "endless"})", ErrorCode::unavailable, "it says too much");
  make_helper("breaks", "printf '{\"Username\":\"a\\\\nb\",\"Secret\":\"geheim\"}'\n");
  expect_error(R"({"credsStore": "breaks"})", ErrorCode::invalid_argument, "holds what none may hold");
  expect_error(R"({"credsStore": "nowhere"})", ErrorCode::unavailable, "docker-credential-nowhere: it cannot be run");
  for (const char* name : {"../evil", "a b", "/bin/sh", ".x"})
    expect_error(R"({"credsStore": ")" + std::string(name) + "\"}", ErrorCode::invalid_argument, "names no credential helper");
}

TEST_F(DockerConfigTest, AHelperThatHangsIsEndedWithAllThatItStarted) {
  helper_time_ = std::chrono::milliseconds(300);
  const auto pid_file = dir_ / "pid";
  make_helper("hangs", "sleep 1000 & echo $! > " + pid_file.str() + "; wait\n");
  const auto begun = std::chrono::steady_clock::now();
  expect_error(R"({"credsStore": "hangs"})", ErrorCode::unavailable, "it did not answer in time");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(60));
  const std::string pid = test::read_text(pid_file.str());
  ASSERT_FALSE(pid.empty());
  const std::filesystem::path stat = "/proc/" + pid.substr(0, pid.size() - 1) + "/stat";
  for (int i = 0; i < 6'000; ++i) {
    const std::string now = std::filesystem::exists(stat) ? test::read_text(stat.string()) : "";
    if (now.empty() || now.find(") Z ") != now.npos) return;
    ::usleep(10'000);
  }
  ADD_FAILURE() << "what the helper started is still running";
}

TEST_F(DockerConfigTest, TheEnvironmentSaysWhichFile) {
  ::setenv("DOCKER_CONFIG", dir_.path().c_str(), 1);
  EXPECT_EQ(DockerConfig::of_environment().value().credentials("r.example").value(), "") << "there is no file";
  test::write_text(dir_ / "config.json", R"({"auths": {"r.example": )" + auth("docker:x") + "}}");
  EXPECT_EQ(DockerConfig::of_environment().value().credentials("r.example").value(),
            "docker:x\n" + (dir_ / "config.json").str());
  test::write_text(dir_ / "auth.json", R"({"auths": {"r.example": )" + auth("podman:x") + "}}");
  ::setenv("REGISTRY_AUTH_FILE", (dir_ / "auth.json").c_str(), 1);
  EXPECT_EQ(DockerConfig::of_environment().value().credentials("r.example").value(),
            "podman:x\n" + (dir_ / "auth.json").str());
}

}  // namespace
}  // namespace cairn::remote
