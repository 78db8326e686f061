// SPDX-License-Identifier: Apache-2.0
// A registry that speaks TLS and wants a password, and users who are logged in there: with docker's file, and with a
// helper. Pulled from and pushed to by the real cachectl.
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>

#include "libbase/base64.h"
#include "tests/e2e/world.h"
#include "tests/libremote/certificate.h"
#include "tests/support/must.h"
#include "tests/support/registry_server.h"

namespace cairn::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class RegistryLogin : public World {
 protected:
  RegistryLogin() {
    make_certificate(temp_.path(), "IP:127.0.0.1", tls_.key, tls_.certificate);
    registry_ = std::make_unique<RegistryServer>(RegistryServer::Access::basic, tls_);
    ::setenv("no_proxy", "*", 1);
    ::setenv("SSL_CERT_FILE", tls_.certificate.c_str(), 1);
    ::setenv("DOCKER_CONFIG", make_dir("docker").c_str(), 1);
    ImageSpec image;
    put(make_dir("files"), "hello", "over TLS");
    image.layer_tars = {tar_of(temp_ / "files")};
    write_layout(temp_ / "layout", image, "v1");
    registry_->push(temp_ / "layout", "team/app");
    // What a store that is still to be made is to know of this registry: that of this machine, which speaks TLS all the same.
    std::filesystem::create_directory(root_.str());
    put(root_, "registries.toml", "[[registry]]\nhost = \"" + registry_->host() + "\"\nhttp = false\n");
  }
  ~RegistryLogin() override {
    for (const char* name : {"SSL_CERT_FILE", "DOCKER_CONFIG"}) ::unsetenv(name);
    ::setenv("PATH", path_.c_str(), 1);
  }

  base::HostPath config() const { return temp_ / "docker" / "config.json"; }
  void log_in(const std::string& user_and_password) {
    put(temp_ / "docker", "config.json",
        R"({"auths": {"https://)" + registry_->host() + R"(": {"auth": ")" + base::base64(user_and_password) + "\"}}}");
  }
  void log_in_with_helper(const std::string& script) {
    put(temp_ / "docker", "config.json", R"({"credHelpers": {")" + registry_->host() + R"(": "test"}})");
    put(make_dir("bin"), "docker-credential-test", "#!/bin/sh\n" + script, 0755);
    ::setenv("PATH", ((temp_ / "bin").str() + ":" + path_).c_str(), 1);
  }
  Solved pull(const std::string& dest, Words more = {}) {
    more.insert(more.end(), {"--output", export_to(dest)});
    return solve_bytes(must(llb::marshal(llb::image(registry_->host() + "/team/app:v1"), {.platform = linux_amd64()})), more);
  }
  static llb::Platform linux_amd64() {
    llb::Platform platform;
    platform.os = "linux";
    platform.architecture = "amd64";
    return platform;
  }

  RegistryServer::Tls tls_{temp_ / "key.pem", temp_ / "certificate.pem"};
  std::unique_ptr<RegistryServer> registry_;
  const std::string path_ = ::getenv("PATH");
};

TEST_F(RegistryLogin, DockersFileOpensARegistryForPullsAndPushes) {
  Solved solved = pull("none");
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr("the registry refuses who gives no credentials"));
  EXPECT_THAT(solved.err, HasSubstr("docker login " + registry_->host()));

  log_in(RegistryServer::credentials);
  solved = pull("one");
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("one", "hello"), "over TLS");

  const std::string cache = "type=registry,ref=" + registry_->host() + "/team/cache:main";
  const llb::State built = output("build", "echo made > /out/file");
  solved = solve(built, {"--cache-to", cache + ",mode=max"});
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(cachectl({"prune", "--all"}).code, 0);
  solved = solve(built, {"--cache-from", cache, "--output", export_to("two")});
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(solved.executed, 0u) << solved.err;
  EXPECT_EQ(exported("two", "file"), "made\n");
  expect_clean();
}

TEST_F(RegistryLogin, AHelperIsAskedOnlyForARegistryThatTheBuildTalksTo) {
  log_in_with_helper("read -r server; echo \"$1 $server\" >> " + (temp_ / "asked").str() +
                     R"(; echo '{"ServerURL":"x","Username":"cairn","Secret":"secret"}')" + "\n");
  EXPECT_EQ(solve(output("other", "echo x > /out/x")).code, 0);
  EXPECT_EQ(read(temp_ / "asked"), "") << "no registry has to do with that";
  const Solved solved = pull("one");
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("one", "hello"), "over TLS");
  EXPECT_EQ(read(temp_ / "asked"), "get " + registry_->host() + "\n");
  expect_clean();
}

TEST_F(RegistryLogin, AMirrorIsToldWhoAsksThereAndNothingOfTheRegistryThatItStandsFor) {
  const std::string routes = "[[registry]]\nhost = \"" + registry_->host() + "\"\nhttp = false\n" +
                             "[[registry]]\nhost = \"127.0.0.1:1\"\nmirrors = [\"https://" + registry_->host() + "\"]\n";
  put(root_, "registries.toml", routes);
  const auto through_mirror = [&](const std::string& dest) {
    return solve_bytes(must(llb::marshal(llb::image("127.0.0.1:1/team/app:v1"), {.platform = linux_amd64()})),
                       {"--output", export_to(dest)});
  };
  put(temp_ / "docker", "config.json",
      R"({"auths": {"127.0.0.1:1": {"auth": ")" + base::base64(RegistryServer::credentials) + "\"}}}");
  Solved solved = through_mirror("none");
  EXPECT_NE(solved.code, 0) << "the login of the registry is not for its mirror";
  log_in_with_helper("read -r server; echo \"$server\" >> " + (temp_ / "asked").str() +
                     R"(; echo '{"ServerURL":"x","Username":"cairn","Secret":"secret"}')" + "\n");
  // Who could write the file could have any login handed out.
  ASSERT_EQ(::chmod((root_ / "registries.toml").c_str(), 0666), 0);
  EXPECT_NE(through_mirror("none").code, 0);
  EXPECT_EQ(read(temp_ / "asked"), "");
  ASSERT_EQ(::chmod((root_ / "registries.toml").c_str(), 0644), 0);
  solved = through_mirror("one");
  ASSERT_EQ(solved.code, 0) << solved.err;
  EXPECT_EQ(exported("one", "hello"), "over TLS");
  EXPECT_EQ(read(temp_ / "asked"), registry_->host() + "\n");
  expect_clean();
}

TEST_F(RegistryLogin, WhatIsWrongNamesTheRegistryAndWhereItIsFrom) {
  log_in("cairn:geheim");
  Solved solved = pull("none");
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr(registry_->host() + "/team/app: the registry refuses the credentials of " + config().str()));
  EXPECT_THAT(solved.err, Not(HasSubstr("geheim")));

  write_text(temp_ / "password", "cairn:falsch");
  const std::string id = "REGISTRY_AUTH_" + registry_->host();
  solved = pull("none", {"--secret", "id=" + id + ",src=" + (temp_ / "password").str()});
  EXPECT_THAT(solved.err, HasSubstr("the registry refuses the credentials of the secret " + id));
  EXPECT_THAT(solved.err, Not(HasSubstr("falsch")));

  log_in_with_helper("echo 'the keychain is locked'; exit 1\n");
  solved = pull("none");
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr(registry_->host() + " is asked without credentials: "));
  EXPECT_THAT(solved.err, HasSubstr("docker-credential-test: it failed (exit code 1): the keychain is locked"));

  put(temp_ / "docker", "config.json", "{");
  solved = pull("none");
  EXPECT_THAT(solved.err, HasSubstr("warning: nobody is logged in anywhere: " + config().str()));
  expect_clean();
}

TEST_F(RegistryLogin, NoStepSeesALogin) {
  log_in(RegistryServer::credentials);
  const std::string id = "REGISTRY_AUTH_" + registry_->host();
  llb::RunOptions options;
  options.mounts = {llb::Mount{.dest = "/app", .source = llb::image(registry_->host() + "/team/app:v1"), .read_only = true}};
  options.secrets = {llb::Secret{.id = id, .dest = "/secret"}};
  const auto reads = image().run({"sh", "-c", "cat /app/hello /secret"}, options);
  const Solved solved = solve_bytes(must(llb::marshal(reads.root(), {.platform = linux_amd64()})));
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr(id));
  EXPECT_THAT(solved.err, Not(HasSubstr("cairn:secret")));
  expect_clean();
}

TEST_F(RegistryLogin, WithoutTrustInTheCertificateNothingIsSent) {
  log_in(RegistryServer::credentials);
  ::unsetenv("SSL_CERT_FILE");
  const Solved solved = pull("none");
  EXPECT_NE(solved.code, 0);
  EXPECT_THAT(solved.err, HasSubstr("certificate"));
}

}  // namespace
}  // namespace cairn::test
