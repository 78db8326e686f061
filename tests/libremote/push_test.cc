// SPDX-License-Identifier: Apache-2.0
// Uploads to registries that break off, forget, send elsewhere or ask who it is. Against a real one they are tested where caches are
// (tests/libsolver_remote_cache).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>

#include "libbase/base64.h"
#include "libbase/hash/sha256.h"
#include "libbase/sync.h"
#include "libremote/bodies/bodies.h"
#include "libremote/http_fetcher.h"
#include "libremote/registries.h"
#include "tests/support/http_server.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using testing::HasSubstr;

class PushTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }
  std::shared_ptr<cache::Repository> open(const HttpServer& server, const std::string& credentials = "") {
    return registries->open({.host = server.host(), .path = "a/b"}, credentials);
  }
  base::Status push(const HttpServer& server, const std::string& bytes, const std::string& credentials = "") {
    const auto source = [&](std::uint64_t offset) -> base::Result<std::unique_ptr<base::ByteSource>> {
      offsets.push_back(offset);
      return std::make_unique<StringBody>(bytes.substr(offset));
    };
    return open(server, credentials)->push_blob(base::digest_of<BlobDigest>(bytes), bytes.size(), source, {});
  }
  static std::string first_digits(std::string_view text) { return std::string(text.substr(0, text.find('-'))); }

  std::vector<std::uint64_t> offsets;  // from which the blob was read
  std::unique_ptr<cache::Fetcher> fetcher = make_http_fetcher({});
  std::unique_ptr<cache::Registries> registries =
      make_registries(*fetcher, {.tries = 3, .pause = std::chrono::milliseconds(1), .pause_max = std::chrono::milliseconds(5),
                                 .asked_pause_max = std::chrono::milliseconds(20)});
};

TEST_F(PushTest, ASmallBlobIsOneBody) {
  HttpServer server([](const HttpRequest& request, HttpReply& reply) {
    if (request.method == "POST") return reply.send(202, {{"Location", "/v2/a/b/blobs/uploads/7?state=x"}}, "");
    EXPECT_EQ(request.body, "bytes");
    reply.send(201, {}, "");
  });
  EXPECT_TRUE(push(server, "bytes"));
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[1].target, "/v2/a/b/blobs/uploads/7?state=x&digest=" + base::digest_of<BlobDigest>("bytes").str());
}

TEST_F(PushTest, WhatBreaksOffGoesOnFromWhatTheRegistryHas) {
  std::string blob(40 << 20, 'b');
  for (std::size_t i = 0; i < blob.size(); i += 4096) blob[i] = static_cast<char>('a' + i / 4096 % 26);
  base::Guarded<std::string> upload;  // what the registry has of it; each connection is a thread of its own
  std::atomic<int> pieces{0};
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.method == "POST") return reply.send(202, {{"Location", "/upload"}}, "");
    auto held = upload.lock();
    std::string& taken = *held;
    const HttpReply::Headers here = {{"Location", "/upload"}, {"Range", fmt::format("0-{}", taken.size() - 1)}};
    if (request.method == "GET") return reply.send(204, here, "");
    if (request.method == "PATCH") {
      EXPECT_EQ(first_digits(request.header("content-range")), std::to_string(taken.size()));
      const bool breaks = ++pieces == 2;
      taken += breaks ? request.body.substr(0, 1 << 20) : request.body;
      if (breaks) return reply.close();
      return reply.send(202, {{"Location", "/upload"}}, "");
    }
    reply.send(201, {}, "");
  });
  const base::Status pushed = push(server, blob);
  EXPECT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(upload.lock()->size(), blob.size());
  EXPECT_TRUE(*upload.lock() == blob);
  EXPECT_EQ(offsets, (std::vector<std::uint64_t>{0, 17u << 20})) << "what was taken is not sent again";
}

TEST_F(PushTest, AnUploadThatIsForgottenBeginsAnew) {
  std::atomic<int> begun{0};
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.method == "POST") return reply.send(202, {{"Location", fmt::format("/upload/{}", ++begun)}}, "");
    reply.send(request.target.starts_with("/upload/1") ? 404 : 201, {}, "");
  });
  EXPECT_TRUE(push(server, "bytes"));
  EXPECT_EQ(begun, 2);
}

TEST_F(PushTest, SecretsDoNotFollowAnUploadElsewhere) {
  HttpServer elsewhere([](const HttpRequest& request, HttpReply& reply) {
    EXPECT_EQ(request.header("authorization"), "");
    reply.send(201, {}, "");
  });
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.header("authorization").empty()) return reply.send(401, {{"WWW-Authenticate", "Basic realm=\"r\""}}, "");
    reply.send(202, {{"Location", elsewhere.url("/bucket/upload")}}, "");
  });
  EXPECT_TRUE(push(server, "bytes", "user:password"));
  EXPECT_EQ(elsewhere.count("PUT", "/bucket/upload?digest=" + base::digest_of<BlobDigest>("bytes").str()), 1u);
}

TEST_F(PushTest, AnotherHostThatAsksWhoItIsIsToldNothing) {
  HttpServer elsewhere([](const HttpRequest& request, HttpReply& reply) {
    EXPECT_EQ(request.header("authorization"), "");
    reply.send(401, {{"WWW-Authenticate", "Basic realm=\"r\""}}, "");
  });
  HttpServer server([&](const HttpRequest&, HttpReply& reply) { reply.send(202, {{"Location", elsewhere.url("/upload")}}, ""); });
  const base::Status pushed = push(server, "bytes", "user:password");
  ASSERT_FALSE(pushed);
  EXPECT_EQ(pushed.error().code, ErrorCode::unavailable);
  EXPECT_THAT(pushed.error().message, testing::Not(HasSubstr("password")));
}

TEST_F(PushTest, ATokenIsAskedForWithTheRightToPush) {
  HttpServer tokens([](const HttpRequest& request, HttpReply& reply) {
    EXPECT_THAT(request.target, HasSubstr("scope=repository%3Aa%2Fb%3Apull%2Cpush"));
    EXPECT_EQ(request.header("authorization"), "Basic " + base::base64("user:password"));
    reply.send(200, {}, R"({"token":"t"})");
  });
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.header("authorization") != "Bearer t") {
      return reply.send(401, {{"WWW-Authenticate", fmt::format("Bearer realm=\"{}\",service=\"s\"", tokens.url("/token"))}}, "");
    }
    reply.send(request.method == "POST" ? 202 : 201, {{"Location", "/upload"}}, "");
  });
  EXPECT_TRUE(push(server, "bytes", "user:password"));
}

TEST_F(PushTest, AManifestIsTriedAgainWhenTheRegistryIsBusy) {
  std::atomic<int> asked{0};
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    EXPECT_EQ(request.header("content-type"), "application/x");
    EXPECT_EQ(request.body, "{}");
    reply.send(++asked < 3 ? 503 : 201, {}, "");
  });
  const auto pushed = open(server)->push_manifest("tag", "application/x", "{}", {});
  ASSERT_TRUE(pushed) << pushed.error().message;
  EXPECT_EQ(*pushed, base::digest_of<BlobDigest>("{}"));
  EXPECT_EQ(server.count("PUT", "/v2/a/b/manifests/tag"), 3u);
}

TEST_F(PushTest, AMountIsOneRequest) {
  const auto blob = base::digest_of<BlobDigest>("bytes");
  std::atomic<int> status{201};
  HttpServer server([&](const HttpRequest&, HttpReply& reply) { reply.send(status, {{"Location", "/upload"}}, ""); });
  const cache::RepositoryName other{server.host(), "c/d"};
  EXPECT_TRUE(open(server)->mount_blob(blob, other, {}).value());
  status = 202;
  EXPECT_FALSE(open(server)->mount_blob(blob, other, {}).value()) << "it is to be uploaded";
  EXPECT_EQ(server.count("POST", "/v2/a/b/blobs/uploads/?mount=" + blob.str() + "&from=c/d"), 2u);
}

TEST_F(PushTest, ABlobThatIsNotThereIsNoError) {
  HttpServer server([](const HttpRequest& request, HttpReply& reply) {
    EXPECT_EQ(request.method, "HEAD");
    if (request.target.ends_with(base::digest_of<BlobDigest>("here").str())) return reply.send(200, {}, "here");
    reply.send(404, {}, "");
  });
  EXPECT_EQ(open(server)->find_blob(base::digest_of<BlobDigest>("here"), {}).value(), 4u);
  EXPECT_EQ(open(server)->find_blob(base::digest_of<BlobDigest>("gone"), {}).value(), std::nullopt);
}

}  // namespace
}  // namespace cairn::remote
