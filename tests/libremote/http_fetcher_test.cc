// SPDX-License-Identifier: Apache-2.0
// What the fetcher makes of good servers and of bad ones, each a real one on the loopback.
#include "libremote/http_fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "tests/support/http_server.h"
#include "tests/support/loopback_listener.h"
#include "tests/support/string_source.h"

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

  HttpOptions quick{.connect_timeout = std::chrono::milliseconds(5'000),
                    .stall_timeout = std::chrono::milliseconds(200)};
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
  HttpServer server(
      [](const HttpRequest& request, HttpReply& reply) { reply.redirect(301, request.target == "/a" ? "/b" : "/a"); });
  expect_error(body_of(server.url("/a")), ErrorCode::invalid_argument,
               "it redirects in a circle, back to " + server.url("/a"));
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
  auto answer =
      fetcher->fetch({.url = server.url("/1"), .headers = {{"Authorization", "Bearer s"}, {"Accept", "a/b"}}}, {});
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
    for (int i = 0; i < 100 && !reply.is_closed(); ++i)
      reply.raw("X-" + std::to_string(i) + ": " + std::string(8000, 'h') + "\r\n");
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

// A put of `bytes`, of which so many are said to come.
FetchRequest put_of(const std::string& url, base::ByteSource& bytes, std::uint64_t size) {
  return {.url = url, .method = FetchRequest::Method::put, .body = &bytes, .body_bytes = size};
}

TEST_F(HttpFetcherTest, PutsABodyOfTheSizeThatWasSaid) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(201, {}, "thanks"); });
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{700'000}}) {
    const std::string bytes(size, 'b');
    test::BytesSource source(bytes, 9'999);
    auto answer = fetcher->fetch(put_of(server.url("/x"), source, size), {});
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 201);
    EXPECT_EQ(drain(*answer), "thanks");
    EXPECT_EQ(server.requests().back().method, "PUT");
    EXPECT_EQ(server.requests().back().header("content-length"), std::to_string(size));
    EXPECT_TRUE(server.requests().back().body == bytes);
  }
}

TEST_F(HttpFetcherTest, ABodyThatIsShorterThanSaidIsNotSentToItsEnd) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, ""); });
  test::BytesSource source("short");
  const auto answer = fetcher->fetch(put_of(server.url("/x"), source, 6), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::corrupt);
  EXPECT_THAT(answer.error().message, HasSubstr("put " + server.url("/x") + ": 1 bytes are missing"));
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(HttpFetcherTest, APutOnAConnectionThatIsJustBeingClosedBeginsAnew) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) {
    static thread_local int of_this_connection = 0;
    if (++of_this_connection == 2) return reply.close();
    reply.send(200, {}, "taken");
  });
  const auto put = [&](std::size_t size) -> Result<std::string> {
    const std::string bytes(size, 'b');
    test::BytesSource source(bytes, 9'999);
    FetchAnswer answer = TRY(fetcher->fetch(put_of(server.url("/x"), source, size), {}));
    EXPECT_EQ(answer.status, 200);
    EXPECT_TRUE(server.requests().back().body == bytes);
    return drain(answer);
  };
  EXPECT_EQ(put(100), "taken");
  EXPECT_EQ(put(200'000), "taken");
  EXPECT_EQ(server.requests().size(), 3u);
  // More than what is kept.
  expect_error(put(900'000), ErrorCode::io, "put " + server.url("/x"));
  EXPECT_EQ(put(900'000), "taken");
}

TEST_F(HttpFetcherTest, APutFollowsNoRedirect) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.redirect(307, "/elsewhere"); });
  test::BytesSource source("bytes");
  const auto answer = fetcher->fetch(put_of(server.url("/x"), source, 5), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 307);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(HttpFetcherTest, ARedirectIsAnAnswerToWhomItIs) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.redirect(302, "/elsewhere"); });
  const auto answer = fetcher->fetch({.url = server.url("/x"), .redirects = FetchRequest::Redirects::answer}, {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 302);
  EXPECT_EQ(answer->header("location"), "/elsewhere");
}

TEST_F(HttpFetcherTest, ARefusalEndsALargePutBeforeItIsSent) {
  test::LoopbackListener listener([](base::Fd socket) {
    char head[4096];
    ASSERT_GT(::recv(socket.get(), head, sizeof head, 0), 0);
    const std::string_view no = "HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    ASSERT_EQ(::send(socket.get(), no.data(), no.size(), MSG_NOSIGNAL), static_cast<ssize_t>(no.size()));
  });
  const std::string bytes(20'000'000, 'b');
  test::BytesSource source(bytes);
  const auto answer =
      fetcher->fetch(put_of(fmt::format("http://127.0.0.1:{}/x", listener.port()), source, bytes.size()), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 403);
  std::byte first{};
  ASSERT_EQ(source.read({&first, 1}).value(), 1u);  // nothing of it was read
}

TEST_F(HttpFetcherTest, ADeadlineEndsTheWaitingForHeadersAndForBodies) {
  fetcher = make_http_fetcher({});  // its own timeouts are far away
  HttpServer server([](const HttpRequest& request, HttpReply& reply) {
    if (request.target == "/silent") return reply.hang();
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    while (!reply.is_closed()) {
      reply.raw(std::string(2'000, 'x'));  // more than what is a stall
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  const auto soon = [] { return std::chrono::steady_clock::now() + std::chrono::milliseconds(200); };
  const auto silent = fetcher->fetch({.url = server.url("/silent"), .deadline = soon()}, {});
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::io);
  EXPECT_THAT(silent.error().message, HasSubstr("not done in the time that there was"));
  auto slow = fetcher->fetch({.url = server.url("/slow"), .deadline = soon()}, {});
  ASSERT_TRUE(slow) << slow.error().message;
  expect_error(drain(*slow), ErrorCode::io, "not done in the time that there was");
}

TEST_F(HttpFetcherTest, AServerThatTakesNothingStalls) {
  test::LoopbackListener listener(
      [&, kept = std::make_shared<std::vector<base::Fd>>()](base::Fd socket) { kept->push_back(std::move(socket)); });
  const std::string bytes(50'000'000, 'b');
  test::BytesSource source(bytes);
  const auto answer =
      fetcher->fetch(put_of(fmt::format("http://127.0.0.1:{}/x", listener.port()), source, bytes.size()), {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::io);
  EXPECT_THAT(answer.error().message, HasSubstr("stalled: the server took"));
}

}  // namespace
}  // namespace cairn::remote
