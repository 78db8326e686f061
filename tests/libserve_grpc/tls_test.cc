// SPDX-License-Identifier: Apache-2.0
// TLS at every door, with certificates that the test makes: who may connect, as whom, and what does not speak it well enough.
#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/e2e/program.h"
#include "tests/libremote/certificate.h"
#include "tests/libserve/resp_client.h"
#include "tests/libserve_grpc/grpc_client.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::serve {
namespace {

using test::run_program;

const std::string key_path = "/gradle/" + std::string(32, 'a');

struct Certificates {
  Certificates() {
    test::make_certificate(dir.path(), "DNS:ca", dir / "ca.key", dir / "ca.pem");
    test::make_certificate(dir.path(), "DNS:ca", dir / "foreign-ca.key", dir / "foreign-ca.pem");
    sign("server", "server", "IP:127.0.0.1");
    sign("ci", "ci", "DNS:ci.example.com");
    sign("stranger", "stranger", "DNS:stranger.example.com");
    sign("expired", "ci", "DNS:ci.example.com", "ca", "-1");
    sign("foreign", "ci", "DNS:ci.example.com", "foreign-ca");
  }
  void sign(const std::string& file, const std::string& name, const std::string& alternative, const std::string& ca = "ca",
            const std::string& days = "2") {
    test::write_text(dir / "extensions", "subjectAltName=" + alternative + "\n");
    const auto run = [&](std::vector<std::string> argv) {
      const auto ended = run_program(dir.path(), std::move(argv));
      EXPECT_EQ(ended.code, 0) << ended.err;
    };
    run({"openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name, "-keyout",
         path(file + ".key"), "-out", path("request")});
    run({"openssl", "x509", "-req", "-in", path("request"), "-CA", path(ca + ".pem"), "-CAkey", path(ca + ".key"), "-CAcreateserial", "-days", days,
         "-extfile", path("extensions"), "-out", path(file + ".pem")});
  }
  std::string path(const std::string& file) const { return (dir / file).str(); }
  std::string text(const std::string& file) const { return *base::read_file(dir / file, 1 << 20); }
  TlsFiles files(const std::string& key = "server.key") const {
    return {.certificate = dir / "server.pem", .key = dir / key, .client_ca = dir / "ca.pem"};
  }
  test::TempDir dir;
};

AccessRules rules() {
  AccessRules made;
  Grant all{.instances = {*InstancePattern::parse("*")}, .rights = Rights::write};
  made.certificates.push_back({{.name = "builders", .grants = {all}}, {"DNS:ci.example.com"}});
  made.tokens.push_back({{.name = "token", .grants = {all}}, SecretHash::of_token("token")});
  return made;
}

struct TlsDoors : ::testing::Test {
  static void SetUpTestSuite() { certificates = std::make_unique<Certificates>(); }
  static void TearDownTestSuite() { certificates.reset(); }

  // The status, or 000 if there was no answer.
  std::string curl(const std::string& address, const std::string& client, std::vector<std::string> more) {
    std::vector<std::string> argv = {"curl", "--noproxy", "*", "--silent", "--write-out", "%{http_code}", "--max-time", "60",
                                     "--cacert", certificates->path("ca.pem")};
    if (!client.empty())
      argv.insert(argv.end(), {"--cert", certificates->path(client + ".pem"), "--key", certificates->path(client + ".key")});
    if (std::find(more.begin(), more.end(), "--output") == more.end()) argv.insert(argv.end(), {"--output", "/dev/null"});
    argv.insert(argv.end(), more.begin(), more.end());
    argv.push_back("https://" + address + key_path);
    return run_program(certificates->dir.path(), std::move(argv)).out;
  }
  // What openssl says of a handshake.
  static bool shakes_hands(const std::string& address, const std::string& version) {
    return run_program(certificates->dir.path(), {"openssl", "s_client", "-connect", address, version, "-cipher", "ALL:@SECLEVEL=0"}, "").out.find(
               "Cipher is (NONE)") == std::string::npos;
  }

  static inline std::unique_ptr<Certificates> certificates;
  const Access access{rules()};
};

TEST_F(TlsDoors, OverHttpACertificateSaysWhoSomebodyIs) {
  Served served({.access = &access, .tls = certificates->files()});
  const std::string address = served.server->address();
  const std::vector<std::string> put = {"--request", "PUT", "--data-binary", "value"};
  EXPECT_EQ(curl(address, "", put), "401");
  EXPECT_EQ(curl(address, "stranger", put), "401") << "one of ours, and nobody has said what it may";
  EXPECT_EQ(curl(address, "expired", put), "000");
  EXPECT_EQ(curl(address, "foreign", put), "000");
  EXPECT_EQ(curl(address, "", {}), "401");
  EXPECT_EQ(curl(address, "ci", put), "200");
  EXPECT_EQ(curl(address, "ci", {}), "200");
  EXPECT_EQ(curl(address, "", {"--oauth2-bearer", "token"}), "200");
  EXPECT_EQ(curl(address, "ci", {"--oauth2-bearer", "wrong"}), "401") << "what is shown counts";
  EXPECT_EQ(served.findings(), std::vector<std::string>{});
}

TEST_F(TlsDoors, LargeValuesGoBothWays) {
  Served served({.access = &access, .tls = certificates->files()});
  std::string bytes;
  for (int i = 0; bytes.size() < 3'000'000; ++i) bytes += std::to_string(i * 7);
  test::write_text(certificates->dir / "large", bytes);
  EXPECT_EQ(curl(served.server->address(), "ci", {"--upload-file", certificates->path("large")}), "200");
  const std::string got = certificates->path("got");
  EXPECT_EQ(curl(served.server->address(), "ci", {"--output", got}), "200");
  EXPECT_TRUE(base::read_file(certificates->dir / "got", 10'000'000).value_or("") == bytes);
}

TEST_F(TlsDoors, WhatDoesNotSpeakItWellEnoughIsToldNothing) {
  Served served({.header_time = std::chrono::milliseconds(500), .access = &access, .tls = certificates->files()});
  const std::string address = served.server->address();
  EXPECT_TRUE(shakes_hands(address, "-tls1_3"));
  EXPECT_TRUE(shakes_hands(address, "-tls1_2"));
  EXPECT_FALSE(shakes_hands(address, "-tls1_1"));
  EXPECT_FALSE(shakes_hands(address, "-tls1"));
  Client plain(address);
  EXPECT_EQ(plain.ask("GET", "/health").status, 0) << "no HTTP without TLS";
  Client slow(address);
  slow.send(std::string("\x16\x03\x01", 3));
  EXPECT_TRUE(slow.is_closed()) << "a handshake has its time";
  EXPECT_EQ(curl(address, "ci", {}), "404") << "and all others are served";
}

TEST_F(TlsDoors, OverRedisProtocolToo) {
  RespServed served({.access = &access, .tls = certificates->files()});
  const std::string address = served.server->address();
  const auto redis = [&](const std::string& client, std::vector<std::string> words) {
    std::vector<std::string> argv = {"redis-cli", "-h", "127.0.0.1", "-p", address.substr(address.rfind(':') + 1), "--no-auth-warning", "--tls", "--cacert",
                                     certificates->path("ca.pem")};
    if (!client.empty()) argv.insert(argv.end(), {"--cert", certificates->path(client + ".pem"), "--key", certificates->path(client + ".key")});
    argv.insert(argv.end(), words.begin(), words.end());
    return run_program(certificates->dir.path(), std::move(argv)).out;
  };
  EXPECT_TRUE(redis("", {"SET", "k", "v"}).starts_with("NOAUTH"));
  EXPECT_TRUE(redis("stranger", {"SET", "k", "v"}).starts_with("NOAUTH"));
  EXPECT_EQ(redis("expired", {"SET", "k", "v"}), "");
  EXPECT_EQ(redis("foreign", {"SET", "k", "v"}), "");
  EXPECT_EQ(redis("ci", {"SET", "k", "v"}), "OK\n");
  EXPECT_EQ(redis("", {"-a", "token", "GET", "k"}), "v\n");
  EXPECT_FALSE(shakes_hands(address, "-tls1_1"));
  EXPECT_EQ(RespClient(address).ask({"PING"}), "") << "nothing without TLS";
}

TEST_F(TlsDoors, OverGrpcToo) {
  cache::OpenStore store;
  const auto server = must(GrpcServer::start(*store.cache, {.address = "127.0.0.1:0", .spool = {}, .access = &access, .tls = certificates->files()}));
  const auto code = [&](const std::shared_ptr<grpc::ChannelCredentials>& credentials, const std::string& token = "") {
    const auto stub = reapi::Capabilities::NewStub(grpc::CreateChannel(server->address(), credentials));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
    reapi::ServerCapabilities capabilities;
    return stub->GetCapabilities(&context, {}, &capabilities).error_code();
  };
  const auto with = [&](const std::string& client) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = certificates->text("ca.pem");
    if (!client.empty()) {
      options.pem_private_key = certificates->text(client + ".key");
      options.pem_cert_chain = certificates->text(client + ".pem");
    }
    return grpc::SslCredentials(options);
  };
  EXPECT_EQ(code(with("ci")), grpc::StatusCode::OK);
  EXPECT_EQ(code(with("")), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(with(""), "token"), grpc::StatusCode::OK);
  EXPECT_EQ(code(with("ci"), "wrong"), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(with("stranger")), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(with("expired")), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(code(with("foreign")), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(code(grpc::InsecureChannelCredentials(), "token"), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(shakes_hands(server->address(), "-tls1_1"));
  EXPECT_TRUE(shakes_hands(server->address(), "-tls1_2"));
}

TEST_F(TlsDoors, AKeyOfAnotherCertificateIsSaidAtTheStart) {
  cache::OpenStore store;
  const TlsFiles wrong = certificates->files("ci.key");
  const auto http = HttpServer::start(*store.cache, {.address = "127.0.0.1:0", .tls = wrong});
  ASSERT_FALSE(http);
  EXPECT_NE(http.error().message.find("ci.key: no private key in PEM of that certificate"), std::string::npos) << http.error().message;
  EXPECT_FALSE(GrpcServer::start(*store.cache, {.address = "127.0.0.1:0", .spool = {}, .tls = wrong}));
  EXPECT_FALSE(HttpServer::start(*store.cache, {.address = "127.0.0.1:0", .tls = certificates->files("nowhere")}));
}

}  // namespace
}  // namespace cairn::serve
