// SPDX-License-Identifier: Apache-2.0
// Registries that are had from others, too, and what registries.toml says of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>

#include "libbase/base64.h"
#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"
#include "libremote/http_fetcher.h"
#include "libremote/registries.h"
#include "libremote/registry/routes.h"
#include "tests/support/http_server.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::Result;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using testing::HasSubstr;
using Document = cache::Repository::Document;

class MirrorTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }
  static BlobDigest digest_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes); }

  std::shared_ptr<cache::Repository> open(const std::vector<std::string>& mirrors, const std::string& credentials = "") {
    RegistryOptions options{.tries = 2, .pause = std::chrono::milliseconds(1), .pause_max = std::chrono::milliseconds(5)};
    options.mirror_answer = std::chrono::milliseconds(500);
    RegistryRoute& route = options.routes[own_.host()];
    for (const std::string& mirror : mirrors)
      route.mirrors.push_back({mirror.substr(0, mirror.find('/')), mirror.find('/') == mirror.npos ? "" : mirror.substr(mirror.find('/') + 1)});
    registries_ = make_registries(*fetcher_, options);
    return registries_->open({.host = own_.host(), .path = "a/b"}, credentials);
  }
  static Result<std::string> drain(cache::Repository& repository, std::string_view bytes) {
    return read_whole(*TRY(repository.open_blob(digest_of(bytes), bytes.size(), {})), 64 << 20);
  }

  const std::string bytes_ = std::string(300'000, 'a') + std::string(300'000, 'b');
  HttpServer own_{[this](const HttpRequest& request, HttpReply& reply) {
    const std::string& range = request.header("range");
    if (range.empty()) return reply.send(200, {{"Docker-Content-Digest", digest_of(bytes_).str()}}, bytes_);
    const std::size_t from = std::stoul(range.substr(6));
    reply.send(206, {{"Content-Range", fmt::format("bytes {}-{}/{}", from, bytes_.size() - 1, bytes_.size())}}, bytes_.substr(from));
  }};
  std::unique_ptr<cache::Fetcher> fetcher_ = make_http_fetcher({});
  std::unique_ptr<cache::Registries> registries_;
};

TEST_F(MirrorTest, WhatAMirrorHasTheRegistryIsNotAskedFor) {
  HttpServer mirror([&](const HttpRequest&, HttpReply& reply) { reply.send(200, {{"Docker-Content-Digest", digest_of(bytes_).str()}}, bytes_); });
  const auto repository = open({mirror.host() + "/proxy"}, "me:pass");
  EXPECT_EQ(repository->resolve("v1", {}).value(), digest_of(bytes_));
  EXPECT_EQ(repository->read(Document::manifest, digest_of(bytes_), 1 << 20, {}).value(), bytes_);
  EXPECT_EQ(drain(*repository, bytes_).value(), bytes_);
  EXPECT_EQ(own_.requests().size(), 0u);
  ASSERT_EQ(mirror.requests().size(), 3u);
  EXPECT_EQ(mirror.requests()[0].target, "/v2/proxy/a/b/manifests/v1");
  for (const HttpRequest& request : mirror.requests()) EXPECT_EQ(request.header("authorization"), "");
  // What a cache is, and what is there of an upload, the registry itself has to say.
  ASSERT_TRUE(repository->read_tag("v1", 1 << 20, {}));
  ASSERT_TRUE(repository->find_blob(digest_of(bytes_), {}));
  EXPECT_EQ(own_.requests().size(), 2u);
}

TEST_F(MirrorTest, CredentialsAreForTheRegistryAlone) {
  HttpServer mirror([](const HttpRequest&, HttpReply& reply) { reply.send(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, ""); });
  const auto repository = open({mirror.host()}, "me:pass");
  EXPECT_EQ(drain(*repository, bytes_).value(), bytes_);
  for (const HttpRequest& request : mirror.requests()) EXPECT_EQ(request.header("authorization"), "");
}

TEST_F(MirrorTest, AMirrorGetsItsOwnCredentialsAndTheRegistryItsOwn) {
  const auto guarded = [&](const std::string& who) {
    return [this, who](const HttpRequest& request, HttpReply& reply) {
      if (request.header("authorization") != "Basic " + base::base64(who))
        return reply.send(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, "");
      reply.send(200, {{"Docker-Content-Digest", digest_of(bytes_).str()}}, bytes_);
    };
  };
  HttpServer first(guarded("one:1")), second(guarded("two:2"));
  std::string credentials = with_mirror_credentials("me:pass\nthe file", second.host(), "two:2\nthe file");
  credentials = with_mirror_credentials(credentials, first.host(), "one:wrong\nthe file");
  const auto repository = open({first.host(), second.host() + "/proxy"}, credentials);
  EXPECT_EQ(drain(*repository, bytes_).value(), bytes_);
  EXPECT_EQ(own_.requests().size(), 0u);
  const auto expect_only = [](const HttpServer& server, const std::string& who) {
    bool has_told = false;
    for (const HttpRequest& request : server.requests()) {
      const std::string told = request.header("authorization");
      EXPECT_TRUE(told.empty() || told == "Basic " + base::base64(who)) << told;
      has_told = has_told || !told.empty();
    }
    EXPECT_TRUE(has_told);
  };
  expect_only(first, "one:wrong");
  expect_only(second, "two:2");

  // Those of mirrors alone: the registry is told nothing.
  HttpServer closed([](const HttpRequest&, HttpReply& reply) { reply.send(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, ""); });
  RegistryOptions options{.tries = 1};
  options.routes[closed.host()].mirrors.push_back({first.host(), ""});
  const auto registries = make_registries(*fetcher_, options);
  const auto none = registries->open({.host = closed.host(), .path = "a"}, with_mirror_credentials("", first.host(), "one:wrong"));
  EXPECT_THAT(none->resolve("v1", {}).error().message, HasSubstr("refuses who gives no credentials"));
  for (const HttpRequest& request : closed.requests()) EXPECT_EQ(request.header("authorization"), "");
}

TEST_F(MirrorTest, ASickMirrorCostsTimeOnce) {
  for (const int how : {0, 1, 2}) {
    HttpServer mirror([&](const HttpRequest&, HttpReply& reply) {
      if (how == 0) return reply.send(500, {}, "");
      if (how == 1) return reply.hang();
      reply.send(200, {}, "other bytes");
    });
    const auto repository = open({mirror.host()});
    EXPECT_EQ(repository->read(Document::manifest, digest_of(bytes_), 1 << 20, {}).value(), bytes_) << how;
    const std::size_t asked = mirror.requests().size();
    EXPECT_LE(asked, 2u);
    EXPECT_EQ(repository->read(Document::manifest, digest_of(bytes_), 1 << 20, {}).value(), bytes_) << how;
    EXPECT_EQ(drain(*registries_->open({.host = own_.host(), .path = "other"}, ""), bytes_).value(), bytes_) << how;
    EXPECT_EQ(mirror.requests().size(), asked) << "it rests";
  }
}

TEST_F(MirrorTest, WhatAMirrorDoesNotHaveTheNextMayHave) {
  HttpServer empty([](const HttpRequest&, HttpReply& reply) { reply.send(404, {}, ""); });
  HttpServer full([&](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, bytes_); });
  const auto repository = open({empty.host(), full.host()});
  for (int i = 0; i < 2; ++i) EXPECT_EQ(drain(*repository, bytes_).value(), bytes_);
  EXPECT_EQ(empty.requests().size(), 2u) << "lacking one blob is no sickness";
  EXPECT_EQ(full.requests().size(), 2u);
  EXPECT_EQ(own_.requests().size(), 0u);
}

TEST_F(MirrorTest, ATransferThatAMirrorBreaksOffGoesOnAtTheRegistry) {
  HttpServer mirror([&](const HttpRequest& request, HttpReply& reply) {
    if (!request.header("range").empty()) return reply.close();
    reply.raw(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes_.size()));
    reply.raw(std::string_view(bytes_).substr(0, 400'000));
    reply.close();
  });
  const auto repository = open({mirror.host()});
  EXPECT_EQ(drain(*repository, bytes_).value(), bytes_);
  ASSERT_EQ(own_.requests().size(), 1u);
  EXPECT_THAT(own_.requests()[0].header("range"), testing::StartsWith("bytes="));
}

TEST_F(MirrorTest, OtherBytesOfAMirrorAreAnErrorOnce) {
  std::string other = bytes_;
  other[100] = 'x';
  HttpServer mirror([&](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, other); });
  const auto repository = open({mirror.host()});
  const auto got = drain(*repository, bytes_);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ErrorCode::corrupt);
  EXPECT_THAT(got.error().message, HasSubstr(mirror.host()));
  EXPECT_EQ(drain(*repository, bytes_).value(), bytes_) << "it is not asked again";
}

TEST(RegistryRoutes, AreReadFromToml) {
  const auto routes = parse_registries(R"(
[[registry]]
host = "docker.io"
mirrors = ["mirror.example.com", "http://10.0.0.5:5000/proxy/hub/"]

[[registry]]
host = "10.0.0.6:5000"
http = true

[[registry]]
host = "127.0.0.1:5443" # ä
http = false

[[registry]]
host = '''c.example''' # it's "ä
mirrors = ["""m.example""", 'n.example'] # '''ä
)",
                                       "registries.toml");
  ASSERT_TRUE(routes) << routes.error().message;
  using Scheme = RegistryRoute::Scheme;
  const RegistryRoute& hub = routes->at("docker.io");
  ASSERT_EQ(hub.mirrors.size(), 2u);
  EXPECT_EQ(hub.mirrors[0].host, "mirror.example.com");
  EXPECT_EQ(hub.mirrors[0].scheme, Scheme::usual);
  EXPECT_EQ(hub.mirrors[1].host, "10.0.0.5:5000");
  EXPECT_EQ(hub.mirrors[1].path, "proxy/hub");
  EXPECT_EQ(hub.mirrors[1].scheme, Scheme::http);
  EXPECT_EQ(routes->at("10.0.0.6:5000").scheme, Scheme::http);
  EXPECT_EQ(routes->at("c.example").mirrors.size(), 2u);
  EXPECT_EQ(registry_url("10.0.0.6:5000", Scheme::http), "http://10.0.0.6:5000");
  EXPECT_EQ(registry_url("127.0.0.1:5443", routes->at("127.0.0.1:5443").scheme), "https://127.0.0.1:5443");
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {"[[registry]]\nmirrors = []", "host"},
           {"[[registry]]\nhost = \"a/b\"", "host"},
           {"[[registry]]\nhost = \"a\\nb\"", "host"},
           {"[[registry]]\nhost = \"ä\"", "host"},
           {"[[registry]]\nhost = \"a\"\nmirrors = [\"m/a\\nb\"]", "mirrors"},
           {"[[registry]]\nhost = \"a\"\ninsecure = true", "insecure"},
           {"[[registry]]\nhost = \"a\"\nmirrors = [\"ftp://x\"]", "mirrors"},
           {"[[registry]]\nhost = \"a\"\nmirrors = [\"u:p@x\"]", "mirrors"},
           {"[[registry]]\nhost = \"a\"\n[[registry]]\nhost = \"a\"", "twice"},
           {"[[registry]]\nä = 1", "line 2: only strings and comments"},
           {"[[registry]]\nhost = \"a\"\nhttp =  true", "line 3"},
           {"[?[registry]]\nho =aW", "line 1"},
           {"[registries]", "registries"},
           {"[[registry", ""}}) {
    const auto wrong = parse_registries(text, "registries.toml");
    ASSERT_FALSE(wrong) << text;
    EXPECT_EQ(wrong.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(wrong.error().message, HasSubstr("registries.toml"));
    EXPECT_THAT(wrong.error().message, HasSubstr(part)) << text;
  }
}

}  // namespace
}  // namespace cairn::remote
