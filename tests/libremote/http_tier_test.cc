// SPDX-License-Identifier: Apache-2.0
// The tier over plain HTTP against a server that keeps what it is put, as nginx does with dav_methods PUT, and against
// sick ones. tests/e2e_cached has it against cached.
#include "libremote/http_tier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>

#include "libremote/http_fetcher.h"
#include "tests/conformance/remote_tier_suite.h"
#include "tests/support/http_server.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::Result;
using cache::call_for;
using cache::EntryName;
using cache::expect_error;
using cache::patient_call;
using cache::RemoteTier;
using cache::sized;
using cache::SizedBlob;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using testing::HasSubstr;
using testing::Not;

class DavServer final : public cache::TierUnderTest {
 public:
  DavServer() { ::setenv("no_proxy", "*", 1); }
  std::unique_ptr<RemoteTier> open() override {
    return std::move(make_http_tier(*fetcher_, {.url = server_.url("/cache/"), .user = "user", .password = "pass:word"}).value());
  }
  const HttpServer& server() const { return server_; }

 private:
  void answer(const HttpRequest& request, HttpReply& reply) {
    if (request.header("authorization") != "Basic dXNlcjpwYXNzOndvcmQ=") return reply.send(401, {}, "who are you");
    auto files = files_.lock();
    const auto found = files->find(request.target);
    const bool is_there = found != files->end();
    if (request.method == "PUT") {
      (*files)[request.target] = request.body;
      return reply.send(is_there ? 204 : 201, {}, "");
    }
    if (!is_there) return reply.send(404, {}, "<html>not found</html>");
    reply.send(200, {}, found->second);
  }
  base::Guarded<std::map<std::string, std::string>> files_;
  std::unique_ptr<cache::Fetcher> fetcher_ = make_http_fetcher();
  HttpServer server_{[this](const HttpRequest& request, HttpReply& reply) { answer(request, reply); }};
};

}  // namespace
}  // namespace cairn::remote

namespace cairn::cache {
namespace {
INSTANTIATE_TEST_SUITE_P(http, RemoteTierSuite,
                         ::testing::Values(WayToMakeATier{"dav", [] { return std::make_unique<remote::DavServer>(); }}),
                         [](const auto& way) { return way.param.name; });
}  // namespace
}  // namespace cairn::cache

namespace cairn::remote {
namespace {

const EntryName entry_name{.door = "bazel", .key = std::string(64, 'a')};

class HttpTier : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }
  std::unique_ptr<RemoteTier> tier_on(const HttpServer& server) {
    return std::move(make_http_tier(*fetcher, {.url = server.url(""), .token = "secret"}).value());
  }
  // Each kind of call ends so on a server that answers so.
  void expect_all(const HttpServer::Handler& handler, ErrorCode code, const std::string& part, std::chrono::milliseconds time = std::chrono::seconds(30)) {
    HttpServer server(handler);
    cache::expect_all(*tier_on(server), entry_name, code, part, part, time);
  }
  static HttpServer::Handler always(int status) {
    return [status](const HttpRequest&, HttpReply& reply) { reply.send(status, {{"Location", "/elsewhere"}}, "words"); };
  }

  std::unique_ptr<cache::Fetcher> fetcher = make_http_fetcher();
};

TEST_F(HttpTier, PathsAreThoseOfBazel) {
  DavServer dav;
  const auto tier = dav.open();
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  ASSERT_TRUE(tier->put_entry(entry_name, {.value = "value"}, patient_call()));
  EntryName of_team = entry_name;
  of_team.instance = "team/a@b";
  ASSERT_TRUE(tier->put_entry(of_team, {.value = "value"}, patient_call()));
  const auto requests = dav.server().requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].target, "/cache/cas/" + sized("bytes").digest.hex());
  EXPECT_EQ(requests[1].target, "/cache/ac/" + entry_name.key);
  EXPECT_EQ(requests[1].body, "value");
  EXPECT_EQ(requests[2].target, "/cache/team/a%40b/ac/" + entry_name.key);
}

TEST_F(HttpTier, EntriesThatItCannotTellApartAreNotItsOwn) {
  DavServer dav;
  const auto tier = dav.open();
  EntryName untrusted = entry_name, of_ccache = entry_name, of_words = entry_name;
  untrusted.trust = cache::Trust::untrusted;
  of_ccache.door = "ccache";
  of_words.key = "../../etc";
  for (const EntryName& name : {untrusted, of_ccache, of_words}) {
    expect_error(tier->put_entry(name, {.value = "value"}, patient_call()), ErrorCode::invalid_argument, "is not for it");
    EXPECT_FALSE(tier->find_entry(name, patient_call()).value());
  }
  EXPECT_TRUE(dav.server().requests().empty());
}

TEST_F(HttpTier, ClosuresAreUnknown) {
  DavServer dav;
  const auto tier = dav.open();
  ASSERT_TRUE(tier->put_entry(entry_name, {.value = "value", .closure = std::vector<SizedBlob>{}}, patient_call()));
  EXPECT_FALSE(tier->find_entry(entry_name, patient_call()).value()->closure);
}

TEST_F(HttpTier, EachStatusMeansWhatTheSeamSays) {
  expect_all(always(503), ErrorCode::busy, "status 503");
  expect_all(always(429), ErrorCode::busy, "status 429");
  expect_all(always(507), ErrorCode::busy, "status 507");
  expect_all(always(401), ErrorCode::unavailable, "status 401");
  expect_all(always(403), ErrorCode::unavailable, "status 403");
  expect_all(always(302), ErrorCode::unavailable, "status 302");
  expect_all(always(500), ErrorCode::io, "status 500");
  expect_all(always(202), ErrorCode::io, "status 202");
}

TEST_F(HttpTier, AServerThatNeverAnswersCostsTheTimeOfTheCall) {
  expect_all([](const HttpRequest&, HttpReply& reply) { reply.hang(); }, ErrorCode::io, "not done in the time that there was", std::chrono::milliseconds(100));
}

TEST_F(HttpTier, AServerOfAnotherProtocolIsAnError) {
  const auto rubbish = [](const HttpRequest&, HttpReply& reply) {
    reply.raw("SSH-2.0-OpenSSH_9.2\r\n");
    reply.close();
  };
  expect_all(rubbish, ErrorCode::io, "http://127.0.0.1");
  const auto endless = [](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100 && !reply.is_closed(); ++i) reply.raw("X-A: " + std::string(8000, 'h') + "\r\n");
    reply.close();
  };
  expect_all(endless, ErrorCode::io, "bytes of headers");
}

TEST_F(HttpTier, NothingGoesWhereAServerRedirects) {
  HttpServer elsewhere([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, "bytes"); });
  HttpServer server([&](const HttpRequest&, HttpReply& reply) { reply.redirect(307, elsewhere.url("/")); });
  expect_error(tier_on(server)->open_blob(sized("bytes"), patient_call()), ErrorCode::unavailable, "status 307");
  EXPECT_TRUE(elsewhere.requests().empty());
  EXPECT_EQ(server.requests()[0].header("authorization"), "Bearer secret");
}

TEST_F(HttpTier, BodiesThatAreCutOrOfAnotherSizeAreCorrupt) {
  HttpServer server([](const HttpRequest& request, HttpReply& reply) {
    if (request.target.find("/ac/") != std::string::npos || request.method == "HEAD") return reply.send(200, {}, std::string(5 << 20, 'v'));
    if (request.target != "/cas/" + sized("bytes").digest.hex()) return reply.send(200, {}, "bytes");
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nby");
    reply.close();
  });
  const auto tier = tier_on(server);
  const SizedBlob blob = sized("bytes");
  EXPECT_EQ(tier->has_blobs({&blob, 1}, patient_call()).value(), std::vector<bool>{false});
  expect_error(cache::get(*tier, blob), ErrorCode::corrupt, "it ended too early");
  expect_error(cache::get(*tier, sized("longer")), ErrorCode::corrupt, "5 bytes");
  expect_error(tier->find_entry(entry_name, patient_call()), ErrorCode::corrupt, "more than 4194304 bytes");
}

TEST_F(HttpTier, WhatCannotBe) {
  const auto refused = [&](HttpTierOptions options) {
    const auto tier = make_http_tier(*fetcher, std::move(options));
    return tier ? "" : tier.error().code == ErrorCode::invalid_argument ? tier.error().message : "another error";
  };
  EXPECT_EQ(refused({.url = "https://host:8080/path/"}), "");
  for (const char* url : {"", "host", "ftp://host", "http://user:password@host", "http://host/a?b", "http://ho st"}) {
    EXPECT_THAT(refused({.url = url}), HasSubstr("is not https://HOST")) << url;
    EXPECT_THAT(refused({.url = url}), Not(HasSubstr("password")));
  }
  EXPECT_THAT(refused({.url = "http://host", .user = "user", .token = "token"}), HasSubstr("either"));
}

}  // namespace
}  // namespace cairn::remote
