// SPDX-License-Identifier: Apache-2.0
// What the fetcher makes of good servers and of bad ones, each a real one on the loopback.
#include "libremote/http_fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <thread>

#include "tests/support/http_server.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::Result;
using cache::FetchAnswer;
using cache::FetchRequest;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using testing::HasSubstr;
using testing::Not;

Result<std::string> drain(FetchAnswer& answer) {
  std::string out;
  std::vector<std::byte> buffer(10'000);
  while (true) {
    const std::size_t count = TRY(answer.body->read(buffer));
    if (count == 0) return out;
    out.append(reinterpret_cast<const char*>(buffer.data()), count);
  }
}

class HttpFetcherTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }

  Result<FetchAnswer> fetch(const std::string& url, std::stop_token stop = {}) {
    return fetcher->fetch({.url = url}, std::move(stop));
  }
  // Fetches what must answer with 200, and gives its body.
  Result<std::string> body_of(const std::string& url) {
    FetchAnswer answer = TRY(fetch(url));
    EXPECT_EQ(answer.status, 200);
    return drain(answer);
  }
  void expect_error(const Result<std::string>& result, ErrorCode code, const std::string& part) {
    ASSERT_FALSE(result) << *result;
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(part));
  }

  HttpOptions quick{.connect_timeout = std::chrono::milliseconds(5'000), .stall_timeout = std::chrono::milliseconds(200)};
  std::unique_ptr<cache::Fetcher> fetcher = make_http_fetcher(quick);
};

TEST_F(HttpFetcherTest, GivesTheWholeBodyAndTheHeaders) {
  const std::string bytes(3'000'000, 'x');
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    reply.send(200, {{"ETag", "\"one\""}, {"X-Twice", "a"}, {"x-twice", "b"}}, bytes);
  });
  auto answer = fetch(server.url("/file"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->url, server.url("/file"));
  EXPECT_EQ(answer->size, bytes.size());
  EXPECT_EQ(answer->header("etag"), "\"one\"");
  EXPECT_EQ(answer->header("x-twice"), "a, b");
  EXPECT_EQ(answer->header("none"), "");
  const auto got = drain(*answer);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_TRUE(*got == bytes);
}

TEST_F(HttpFetcherTest, ASlowReaderIsNotAStallOfTheServer) {
  const std::string bytes(3'000'000, 'y');
  HttpServer server([&](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, bytes); });
  auto answer = fetch(server.url("/"));
  ASSERT_TRUE(answer);
  std::vector<std::byte> some(1000);
  ASSERT_TRUE(answer->body->read(some));
  std::this_thread::sleep_for(2 * quick.stall_timeout);
  const auto rest = drain(*answer);
  ASSERT_TRUE(rest) << rest.error().message;
  EXPECT_EQ(rest->size() + 1000, bytes.size());
}

TEST_F(HttpFetcherTest, AStatusIsAnAnswer) {
  HttpServer server([](const HttpRequest& request, HttpReply& reply) {
    reply.send(request.target == "/304" ? 304 : 404, {}, "no such thing");
  });
  EXPECT_EQ(fetch(server.url("/304"))->status, 304);
  auto missing = fetch(server.url("/404"));
  EXPECT_EQ(missing->status, 404);
  EXPECT_EQ(drain(*missing).value(), "no such thing");
}

TEST_F(HttpFetcherTest, KeepsTheConnectionForLaterRequests) {
  std::atomic<int> answered{0};
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    // A second connection would be served by a second thread; this one is told apart by what it keeps.
    static thread_local int of_this_thread = 0;
    ++answered;
    reply.send(200, {}, std::to_string(++of_this_thread));
  });
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(body_of(server.url("/")).value(), std::to_string(i));
  EXPECT_EQ(answered, 3);
}

TEST_F(HttpFetcherTest, FollowsRedirectsToTheEnd) {
  HttpServer server([](const HttpRequest& request, HttpReply& reply) {
    if (request.target == "/a") return reply.redirect(302, "b/c?x=1");
    if (request.target == "/b/c?x=1") return reply.redirect(308, "/end");
    reply.send(200, {}, "arrived");
  });
  auto answer = fetch(server.url("/a"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->url, server.url("/end"));
  EXPECT_EQ(drain(*answer).value(), "arrived");
}

TEST_F(HttpFetcherTest, RefusesRedirectsInACircle) {
  HttpServer server([](const HttpRequest& request, HttpReply& reply) {
    reply.redirect(301, request.target == "/a" ? "/b" : "/a");
  });
  expect_error(body_of(server.url("/a")), ErrorCode::invalid_argument, "it redirects in a circle, back to " + server.url("/a"));
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(HttpFetcherTest, RefusesRedirectsWithoutEnd) {
  HttpServer server([](const HttpRequest& request, HttpReply& reply) { reply.redirect(302, request.target + "x"); });
  expect_error(body_of(server.url("/")), ErrorCode::invalid_argument, "it redirects more than 10 times");
  EXPECT_EQ(server.requests().size(), 11u);
}

TEST_F(HttpFetcherTest, RefusesRedirectsToOtherSchemes) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.redirect(302, "file:///etc/passwd"); });
  expect_error(body_of(server.url("/")), ErrorCode::invalid_argument, "not an HTTP address: file:///etc/passwd");
}

TEST_F(HttpFetcherTest, SecretsGoToTheOriginOnly) {
  HttpServer other([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, "other"); });
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    reply.redirect(302, request.target == "/1" ? "/2" : other.url("/"));
  });
  auto answer = fetcher->fetch({.url = server.url("/1"), .headers = {{"Authorization", "Bearer s"}, {"Accept", "a/b"}}}, {});
  ASSERT_TRUE(answer) << answer.error().message;
  for (const HttpRequest& request : server.requests()) EXPECT_EQ(request.header("authorization"), "Bearer s");
  ASSERT_EQ(other.requests().size(), 1u);
  EXPECT_EQ(other.requests()[0].header("authorization"), "");
  EXPECT_EQ(other.requests()[0].header("accept"), "a/b");
}

TEST_F(HttpFetcherTest, GivesUpOnAServerThatNeverAnswers) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.hang(); });
  expect_error(body_of(server.url("/")), ErrorCode::io, "stalled: the server sent 0 bytes");
}

TEST_F(HttpFetcherTest, GivesUpOnAServerThatStopsInTheMiddle) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(5000, 'x'));
    reply.hang();
  });
  expect_error(body_of(server.url("/")), ErrorCode::io, "stalled");
}

TEST_F(HttpFetcherTest, GivesUpOnAServerThatDribbles) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (!reply.is_closed()) {
      reply.raw("x");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  expect_error(body_of(server.url("/")), ErrorCode::io, "stalled");
}

TEST_F(HttpFetcherTest, ABodyThatEndsTooEarlyIsCorrupt) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort");
    reply.close();
  });
  expect_error(body_of(server.url("/")), ErrorCode::corrupt, "it ended too early");
}

TEST_F(HttpFetcherTest, RefusesHeadersWithoutEnd) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 100 && !reply.is_closed(); ++i) reply.raw("X-" + std::to_string(i) + ": " + std::string(8000, 'h') + "\r\n");
    reply.close();
  });
  expect_error(body_of(server.url("/")), ErrorCode::invalid_argument, "more than 262144 bytes of headers");
}

TEST_F(HttpFetcherTest, WhatIsNotHttpIsAnError) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) {
    reply.raw("SSH-2.0-OpenSSH_9.2\r\n");
    reply.close();
  });
  expect_error(body_of(server.url("/")), ErrorCode::io, "fetch " + server.url("/"));
}

TEST_F(HttpFetcherTest, NobodyListening) {
  std::string url;
  {
    HttpServer gone([](const HttpRequest&, HttpReply&) {});
    url = gone.url("/");
  }
  expect_error(body_of(url), ErrorCode::io, "fetch " + url);
}

TEST_F(HttpFetcherTest, BadAddresses) {
  expect_error(body_of("http://"), ErrorCode::invalid_argument, "fetch");
  expect_error(body_of("ftp://127.0.0.1/x"), ErrorCode::invalid_argument, "not an HTTP address");
  EXPECT_EQ(cache::url_without_secrets("https://user:pw@host/a@b"), "https://host/a@b");
  EXPECT_EQ(cache::url_without_secrets("https://host/a@b"), "https://host/a@b");
}

TEST_F(HttpFetcherTest, AHeaderIsOneLine) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, ""); });
  const auto answer = fetcher->fetch({.url = server.url("/"), .headers = {{"Authorization", "token\nX-Other: 1"}}}, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(answer.error().message, Not(HasSubstr("token")));
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(HttpFetcherTest, CancellingEndsTheWaiting) {
  fetcher = make_http_fetcher({});  // its own timeouts are far away
  std::stop_source stop;
  std::atomic<bool> asked{false};
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    asked = true;
    reply.hang();
  });
  std::jthread canceller([&] {
    while (!asked) std::this_thread::yield();
    stop.request_stop();
  });
  const auto answer = fetch(server.url("/"), stop.get_token());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace cairn::remote
