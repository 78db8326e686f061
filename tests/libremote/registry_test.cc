// SPDX-License-Identifier: Apache-2.0
// What the registry client makes of registries that misbehave, each a server on the loopback; against a real one it is tested
// where images are (tests/libsolver_sources).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <thread>

#include "libbase/base64.h"
#include "libbase/hash/sha256.h"
#include "libremote/bodies/bodies.h"
#include "libremote/http_fetcher.h"
#include "libremote/registries.h"
#include "libremote/registry/challenge.h"
#include "libremote/registry/http_repository.h"
#include "libremote/registry/retry_after.h"
#include "libremote/registry/routes.h"
#include "libremote/registry/upload.h"
#include "tests/support/http_server.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using base::Result;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class RegistryTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }
  static std::string digest_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes).str(); }

  std::shared_ptr<cache::Repository> open(const HttpServer& server, const std::string& credentials = "") {
    return registries->open({.host = server.host(), .path = "a/b"}, credentials);
  }
  Result<std::string> read(const HttpServer& server, std::string_view bytes, const std::string& credentials = "") {
    return open(server, credentials)->read(cache::Repository::Document::blob, base::digest_of<BlobDigest>(bytes), 1 << 20, {});
  }
  Result<std::string> drain(const HttpServer& server, std::string_view bytes, std::optional<std::uint64_t> size) {
    const auto repository = open(server);
    const auto body = TRY(repository->open_blob(base::digest_of<BlobDigest>(bytes), size, {}));
    return read_whole(*body, 64 << 20);
  }
  template <class T>
  void expect_error(const Result<T>& result, ErrorCode code, const std::string& part) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(part));
  }

  // For servers that hang.
  void be_impatient() {
    fetcher = make_http_fetcher({.stall_timeout = std::chrono::milliseconds(300)});
    registries = make_registries(*fetcher, {.tries = 3, .pause = std::chrono::milliseconds(1), .pause_max = std::chrono::milliseconds(5),
                                            .asked_pause_max = std::chrono::milliseconds(20)});
  }

  std::unique_ptr<cache::Fetcher> fetcher = make_http_fetcher({});
  std::unique_ptr<cache::Registries> registries =
      make_registries(*fetcher, {.tries = 3, .pause = std::chrono::milliseconds(1), .pause_max = std::chrono::milliseconds(5),
                                 .asked_pause_max = std::chrono::milliseconds(20)});
};

TEST_F(RegistryTest, OtherBytesThanTheDigestSaysAreCorrupt) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, "other"); });
  expect_error(read(server, "wanted"), ErrorCode::corrupt, "holds other bytes: " + digest_of("other"));
  EXPECT_EQ(server.requests().size(), 1u);  // asking again would not help
}

TEST_F(RegistryTest, TheTypeThatARegistrySaysOfBytesDecidesNothing) {
  for (const char* type : {"text/html", "application/vnd.oci.image.index.v1+json", "\x01", ""}) {
    HttpServer server([&](const HttpRequest&, HttpReply& reply) { reply.send(200, {{"Content-Type", type}}, "bytes"); });
    EXPECT_EQ(read(server, "bytes").value(), "bytes") << type;
    EXPECT_EQ(open(server)->read_tag("v1", 1 << 20, {}).value().bytes, "bytes") << type;
    expect_error(read(server, "other"), ErrorCode::corrupt, "holds other bytes");
  }
}

TEST_F(RegistryTest, ATokenServiceThatRedirectsElsewhereTakesNoCredentialsAlong) {
  HttpServer elsewhere([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, R"({"token":"t1"})"); });
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.target.starts_with("/token")) return reply.redirect(307, elsewhere.url("/token"));
    if (request.header("authorization") == "Bearer t1") return reply.send(200, {}, "bytes");
    reply.send(401, {{"WWW-Authenticate", "Bearer realm=\"http://" + request.header("host") + "/token\""}}, "");
  });
  EXPECT_EQ(read(server, "bytes", "me:pass").value(), "bytes");
  const auto asked = server.requests();
  ASSERT_GE(asked.size(), 2u);
  EXPECT_EQ(asked[1].header("authorization"), "Basic " + base::base64("me:pass"));
  // An identity token is in a body, which follows no redirect.
  expect_error(read(server, "bytes", "<token>:geheim"), ErrorCode::io, "the token service answers with status 307");
  ASSERT_EQ(elsewhere.requests().size(), 1u);
  EXPECT_EQ(elsewhere.requests()[0].header("authorization"), "");
}

TEST_F(RegistryTest, ADocumentHasALimit) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, std::string(2 << 20, 'x')); });
  expect_error(read(server, "wanted"), ErrorCode::invalid_argument, "more than 1048576 bytes");
}

TEST_F(RegistryTest, WhatPassesIsTriedAgain) {
  std::atomic<int> asked{0};
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    const int now = ++asked;
    if (now == 1) return reply.send(429, {{"Retry-After", "3600"}}, "");
    if (now == 2) return reply.send(503, {}, "");
    reply.send(200, {}, "bytes");
  });
  const auto bytes = read(server, "bytes");
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(asked, 3);
}

TEST_F(RegistryTest, WhatDoesNotPassIsAnErrorAfterAllTries) {
  HttpServer busy([](const HttpRequest&, HttpReply& reply) { reply.send(500, {}, ""); });
  expect_error(read(busy, "x"), ErrorCode::io, "with status 500");
  EXPECT_EQ(busy.requests().size(), 3u);
  HttpServer empty([](const HttpRequest&, HttpReply& reply) { reply.send(404, {}, ""); });
  expect_error(read(empty, "x"), ErrorCode::not_found, "the registry has no blobs/" + digest_of("x"));
  EXPECT_EQ(empty.requests().size(), 1u);
  HttpServer odd([](const HttpRequest&, HttpReply& reply) { reply.send(418, {}, ""); });
  expect_error(read(odd, "x"), ErrorCode::io, "with status 418");
  EXPECT_EQ(odd.requests().size(), 1u);
}

TEST_F(RegistryTest, NothingOrAPartIsNotTheWholeThatWasAskedFor) {
  for (const int status : {201, 204, 206}) {
    HttpServer odd([&](const HttpRequest&, HttpReply& reply) { reply.send(status, {}, ""); });
    const std::string part = "with status " + std::to_string(status);
    expect_error(read(odd, ""), ErrorCode::io, part);  // although its bytes are those of the digest
    expect_error(drain(odd, "", std::nullopt), ErrorCode::io, part);
    expect_error(open(odd)->resolve("v1", {}), ErrorCode::io, part);
    expect_error(open(odd)->read_tag("v1", 1 << 20, {}), ErrorCode::io, part);
  }
}

TEST_F(RegistryTest, StallsAndCirclesAreErrors) {
  be_impatient();
  HttpServer slow([](const HttpRequest&, HttpReply& reply) { reply.hang(); });
  expect_error(read(slow, "x"), ErrorCode::io, "stalled");
  HttpServer circle([](const HttpRequest& request, HttpReply& reply) { reply.redirect(307, request.target); });
  expect_error(read(circle, "x"), ErrorCode::invalid_argument, "it redirects in a circle");
}

TEST_F(RegistryTest, ABrokenTransferGoesOnWhereItWas) {
  std::string bytes(3'000'000, 'x');
  for (std::size_t i = 0; i < bytes.size(); i += 1'000) bytes[i] = static_cast<char>('a' + i / 1'000 % 26);
  std::vector<std::string> ranges;
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    const std::string range = request.header("range");
    ranges.push_back(range);
    const std::size_t from = range.empty() ? 0 : std::stoul(range.substr(6));
    reply.raw(fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n", range.empty() ? "200 OK" : "206 Partial",
                          bytes.size() - from, range.empty() ? "" : fmt::format("Content-Range: bytes {}-{}/{}\r\n", from, bytes.size() - 1, bytes.size())));
    reply.raw(std::string_view(bytes).substr(from, 1'200'000));
    if (from + 1'200'000 < bytes.size()) reply.close();
  });
  const auto got = drain(server, bytes, bytes.size());
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(digest_of(*got), digest_of(bytes));
  // Of what came before a break some may be lost.
  ASSERT_GE(ranges.size(), 3u);
  EXPECT_EQ(ranges[0], "");
  std::size_t before = 0;
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    const std::size_t from = std::stoul(ranges[i].substr(6));
    EXPECT_GT(from, before);
    before = from;
  }
}

TEST_F(RegistryTest, ARegistryWithoutRangesGivesEverythingAgain) {
  const std::string bytes = std::string(500'000, 'a') + std::string(500'000, 'b');
  std::atomic<int> asked{0};
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    if (++asked > 1) return reply.send(200, {}, bytes);
    reply.raw(fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.size()));
    reply.raw(std::string_view(bytes).substr(0, 700'000));
    reply.close();
  });
  const auto got = drain(server, bytes, bytes.size());
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, bytes);
}

TEST_F(RegistryTest, ATransferThatDoesNotGetOnEnds) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    reply.close();
  });
  expect_error(drain(server, "x", 100), ErrorCode::corrupt, "ended too early");
  EXPECT_LE(server.requests().size(), 9u);  // three tries of three requests
}

TEST_F(RegistryTest, AnotherSizeOrRangeThanAnnouncedIsCorrupt) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, "four"); });
  expect_error(drain(server, "four", 5), ErrorCode::corrupt, "has 4 bytes where 5 are announced");
  HttpServer endless([](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n4\r\nmore\r\n0\r\n\r\n");
  });
  expect_error(drain(endless, "four", 4), ErrorCode::corrupt, "has more bytes than the 4 announced");
  be_impatient();
  HttpServer wrong([](const HttpRequest& request, HttpReply& reply) {
    if (!request.header("range").empty()) return reply.send(206, {{"Content-Range", "bytes 0-99999/100000"}}, std::string(100'000, 'x'));
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + std::string(90'000, 'x'));
    reply.hang();
  });
  expect_error(drain(wrong, "x", 100'000), ErrorCode::corrupt, "another range than was asked for");
}

TEST_F(RegistryTest, ATagWithoutADigestHeaderIsHashed) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, "{}"); });
  const auto digest = open(server)->resolve("v1", {});
  ASSERT_TRUE(digest) << digest.error().message;
  EXPECT_EQ(digest->str(), digest_of("{}"));
  EXPECT_EQ(server.count("HEAD", "/v2/a/b/manifests/v1"), 1u);
  EXPECT_EQ(server.count("GET", "/v2/a/b/manifests/v1"), 1u);
  EXPECT_THAT(server.requests()[0].header("accept"), HasSubstr("application/vnd.oci.image.index.v1+json"));
}

// A registry behind a token service, as the large public ones are.
struct TokenWorld {
  std::atomic<int> tokens{0};
  std::string token = "t1", realm_path = "/token";
  HttpServer server{[this](const HttpRequest& request, HttpReply& reply) {
    if (request.target.starts_with("/token")) {
      ++tokens;
      return reply.send(200, {}, "{\"token\": \"" + token + "\"}");
    }
    if (request.header("authorization") == "Bearer t1") return reply.send(200, {}, "bytes");
    reply.send(401, {{"WWW-Authenticate", "Bearer realm=\"" + server.url(realm_path) + "\",service=\"the registry\",scope=\"x\""}}, "");
  }};
};

TEST_F(RegistryTest, ATokenIsFetchedOnceAndSentFromThenOn) {
  TokenWorld world;
  const auto repository = open(world.server);
  for (int i = 0; i < 2; ++i) {
    const auto bytes = repository->read(cache::Repository::Document::blob, base::digest_of<BlobDigest>("bytes"), 100, {});
    ASSERT_TRUE(bytes) << bytes.error().message;
  }
  EXPECT_EQ(world.tokens, 1);
  const auto requests = world.server.requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[1].target, "/token?service=the%20registry&scope=repository%3Aa%2Fb%3Apull");
  EXPECT_EQ(requests[1].header("authorization"), "");
  EXPECT_EQ(requests[3].header("authorization"), "Bearer t1");
}

TEST_F(RegistryTest, TheTokenServiceGetsTheCredentials) {
  TokenWorld world;
  ASSERT_TRUE(read(world.server, "bytes", "me:pass"));
  EXPECT_EQ(world.server.requests()[1].header("authorization"), "Basic " + base::base64("me:pass"));
}

TEST_F(RegistryTest, AnIdentityTokenIsChangedForAnother) {
  TokenWorld world;
  ASSERT_TRUE(read(world.server, "bytes", "<token>:it&x\nthe file"));
  const auto requests = world.server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[1].method, "POST");
  EXPECT_EQ(requests[1].target, "/token");
  EXPECT_EQ(requests[1].header("authorization"), "");
  EXPECT_EQ(requests[1].header("content-type"), "application/x-www-form-urlencoded");
  EXPECT_EQ(requests[1].body,
            "grant_type=refresh_token&client_id=cairn&service=the%20registry&scope=repository%3Aa%2Fb%3Apull&refresh_token=it%26x");
  EXPECT_EQ(requests[2].header("authorization"), "Bearer t1");
}

TEST_F(RegistryTest, AnIdentityTokenThatIsNoneAnyMoreIsRefused) {
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.method == "POST") return reply.send(400, {}, R"({"error": "invalid_grant"})");
    reply.send(401, {{"WWW-Authenticate", "Bearer realm=\"" + server.url("/token") + "\""}}, "");
  });
  const auto result = read(server, "x", "<token>:geheim\ndocker-credential-x (the file)");
  expect_error(result, ErrorCode::unavailable, "refuses the credentials of docker-credential-x (the file) (status 400)");
  EXPECT_EQ(result.error().message.find("geheim"), std::string::npos);
  EXPECT_EQ(server.count("POST", "/token"), 1u);
}

TEST_F(RegistryTest, ATokenForTheRegistryIsSentAsItIs) {
  TokenWorld world;
  ASSERT_TRUE(read(world.server, "bytes", "<registry token>:t1\nthe file"));
  EXPECT_EQ(world.tokens, 0);
}

TEST_F(RegistryTest, WhatIsRefusedSaysWhoseItWas) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, ""); });
  auto result = read(server, "x", "me:geheim\n/home/me/.docker/config.json");
  expect_error(result, ErrorCode::unavailable, server.host() + "/a/b: the registry refuses the credentials of /home/me/.docker/config.json (status 401)");
  EXPECT_EQ(result.error().message.find("geheim"), std::string::npos);
  EXPECT_THAT(result.error().hint, HasSubstr("docker login " + server.host()));
  result = read(server, "x", "\nthe helper hung");
  expect_error(result, ErrorCode::unavailable, "refuses who gives no credentials");
  EXPECT_THAT(result.error().hint, HasSubstr("the helper hung"));
  // An identity token is no password.
  expect_error(read(server, "x", "<token>:geheim"), ErrorCode::unavailable, "refuses the credentials");
  for (const HttpRequest& request : server.requests()) EXPECT_EQ(request.header("authorization").find("token"), std::string::npos);
}

TEST_F(RegistryTest, ATransferMayBreakOffAnywhere) {
  std::string bytes;
  for (int i = 0; i < 5'000; ++i) bytes += static_cast<char>('a' + i * i % 26);
  const auto range_from = [](const HttpRequest& request) -> std::size_t {
    const std::string& range = request.header("range");
    return range.empty() ? 0 : std::stoul(range.substr(6));
  };
  // Every offset near the ends, and some between.
  std::vector<std::size_t> offsets;
  for (std::size_t at = 0; at <= bytes.size(); at += at < 40 || at + 40 > bytes.size() ? 1 : 97) offsets.push_back(at);
  for (const bool has_ranges : {true, false}) {
    std::atomic<std::size_t> broken_at{0};
    std::atomic<bool> is_broken{false};
    HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
      const std::size_t from = has_ranges ? range_from(request) : 0;
      reply.raw(fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n", from == 0 ? "200 OK" : "206 Partial", bytes.size() - from,
                            from == 0 ? "" : fmt::format("Content-Range: bytes {}-{}/{}\r\n", from, bytes.size() - 1, bytes.size())));
      if (!is_broken.exchange(true) && broken_at < bytes.size()) {
        reply.raw(std::string_view(bytes).substr(0, broken_at));
        return reply.close();
      }
      reply.raw(std::string_view(bytes).substr(from));
    });
    for (const std::size_t at : offsets) {
      broken_at = at;
      is_broken = false;
      const auto got = drain(server, bytes, bytes.size());
      ASSERT_TRUE(got) << at << ": " << got.error().message;
      ASSERT_EQ(*got, bytes) << at;
    }
  }
}

TEST_F(RegistryTest, ADocumentThatBreaksOffIsReadAnew) {
  const std::string bytes(1'000, 'x');
  std::atomic<int> asked{0};
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    const int now = ++asked;
    if (now % 2 == 0) return reply.send(200, {}, bytes);
    const std::string answer = fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.size()) + bytes;
    reply.raw(std::string_view(answer).substr(0, static_cast<std::size_t>(now) * 7));
    reply.close();
  });
  for (int i = 0; i < 60; ++i) {
    const auto got = read(server, bytes);
    ASSERT_TRUE(got) << i << ": " << got.error().message;
    ASSERT_EQ(*got, bytes);
  }
}

TEST_F(RegistryTest, AnEndlessBodyEndsWhereItsSizeIsOver) {
  std::atomic<bool> is_over{false};
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
    while (!is_over && !reply.is_closed()) reply.raw(chunk);
  });
  expect_error(drain(server, "x", 1'000'000), ErrorCode::corrupt, "has more bytes than the 1000000 announced");
  expect_error(read(server, "x"), ErrorCode::invalid_argument, "more than 1048576 bytes");
  is_over = true;
}

TEST_F(RegistryTest, ATokenThatIsRefusedIsNoLoop) {
  TokenWorld world;
  world.token = "t2";
  expect_error(read(world.server, "bytes"), ErrorCode::unavailable, "refuses who gives no credentials (status 401)");
  EXPECT_EQ(world.server.requests().size(), 3u);
}

TEST_F(RegistryTest, BadChallengesAreErrors) {
  for (const auto& [challenge, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "refuses who gives no credentials"},
           {"Basic realm=\"x\"", "refuses who gives no credentials"},
           {"Bearer service=\"x\"", "names no token service"},
           {"Bearer realm=\"file:///etc/passwd\"", "not at an HTTP address"}}) {
    HttpServer server([&](const HttpRequest&, HttpReply& reply) { reply.send(401, {{"WWW-Authenticate", challenge}}, ""); });
    const auto result = read(server, "x");
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr(part)) << challenge;
    EXPECT_EQ(server.requests().size(), 1u);
  }
}

TEST_F(RegistryTest, SecretsDoNotFollowABlobElsewhere) {
  HttpServer storage([](const HttpRequest&, HttpReply& reply) { reply.send(200, {}, "bytes"); });
  HttpServer server([&](const HttpRequest& request, HttpReply& reply) {
    if (request.header("authorization").empty()) return reply.send(401, {{"WWW-Authenticate", "Basic realm=\"x\""}}, "");
    reply.redirect(307, storage.url("/elsewhere"));
  });
  ASSERT_TRUE(read(server, "bytes", "me:pass"));
  EXPECT_EQ(storage.requests()[0].header("authorization"), "");
}

TEST_F(RegistryTest, CancellingEndsAPause) {
  HttpServer server([](const HttpRequest&, HttpReply& reply) { reply.send(429, {{"Retry-After", "50"}}, ""); });
  const auto patient = make_registries(*fetcher, {});
  std::stop_source stop;
  std::jthread stopping([&] {
    while (server.requests().empty()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stop.request_stop();
  });
  expect_error(patient->open({.host = server.host(), .path = "a"}, "")->resolve("v1", stop.get_token()), ErrorCode::cancelled, "cancelled");
}

TEST(Challenges, AreReadAsFarAsTheyCanBe) {
  const auto both = parse_challenges("Basic realm=\"a \\\"b\\\"\", Bearer Realm = \"https://x/y?z\" , service=reg");
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].scheme, "basic");
  EXPECT_THAT(both[0].parameters, ElementsAre(Pair("realm", "a \"b\"")));
  EXPECT_THAT(both[1].parameters, ElementsAre(Pair("realm", "https://x/y?z"), Pair("service", "reg")));
  EXPECT_EQ(token_url(both[1], "s").value(), "https://x/y?z&service=reg&scope=s");
  EXPECT_EQ(parse_challenges("=x").size(), 0u);
  EXPECT_EQ(parse_challenges("a=b").size(), 0u);
  EXPECT_EQ(parse_token("{\"access_token\":\"q\"}").value(), "q");
  EXPECT_FALSE(parse_token("{\"token\":\"a\\nb\"}"));
  EXPECT_FALSE(parse_token("[]"));
}

TEST(RetryAfter, IsSecondsOrADate) {
  const auto now = std::chrono::sys_days(std::chrono::year(1994) / 11 / 6) + std::chrono::hours(8);
  const auto asked = [&](const std::string& text, const std::string& date = "") {
    cache::FetchAnswer answer;
    answer.headers = {{"retry-after", text}, {"date", date}};
    const auto wait = retry_after(answer, now);
    return wait ? wait->count() : 0;
  };
  EXPECT_EQ(asked("120"), 120);
  EXPECT_EQ(asked("Sun, 06 Nov 1994 08:01:40 GMT"), 100);
  EXPECT_EQ(asked("Sunday, 06-Nov-94 08:01:40 GMT"), 100);
  EXPECT_EQ(asked("Sun Nov  6 08:01:40 1994"), 100);
  // The clocks of two machines differ: an answer's own date counts.
  EXPECT_EQ(asked("Sun, 06 Nov 2011 08:49:37 GMT", "Sun, 06 Nov 2011 08:49:30 GMT"), 7);
  EXPECT_EQ(asked("Sun, 06 Nov 1994 08:01:40 GMT", "yesterday"), 100);
  EXPECT_EQ(asked("Fri, 31 Dec 9999 23:59:59 GMT"), 1'000'000'000);
  EXPECT_EQ(asked("99999999999999999999"), 1'000'000'000);
  for (const char* nothing : {"", "0", "-5", "-99999999999999999999", "5 s", "soon", "Sun, 06 Nov 1994 07:59:59 GMT",
                              "Sun, 06 Nov 1994 08:01:40 GMT and more", "Sun, 06 Nov 1994 08:01:40 CET"})
    EXPECT_EQ(asked(nothing), 0) << nothing;
}

TEST_F(RegistryTest, ADateToComeAgainIsWaitedForAsFarAsIsAllowed) {
  std::atomic<int> count = 0;
  HttpServer server([&](const HttpRequest&, HttpReply& reply) {
    if (++count == 1) return reply.send(429, {{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}}, "");
    if (count == 2)
      return reply.send(503, {{"Retry-After", "Sun, 06 Nov 1994 08:49:38 GMT"}, {"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}}, "");
    reply.send(200, {}, "bytes");
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(read(server, "bytes").value(), "bytes");
  EXPECT_EQ(count, 3);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(40));  // twice asked_pause_max
}

TEST(Locations, AreResolvedAgainstWhereTheAnswerIsFrom) {
  const auto resolved = [](const std::string& location, const std::string& url) {
    cache::FetchAnswer answer;
    answer.url = url;
    answer.headers = {{"location", location}};
    return resolve_location(answer);
  };
  EXPECT_EQ(resolved("http://other/x", "https://h/v2/a"), "http://other/x");
  EXPECT_EQ(resolved("//other/x", "https://h/v2/a"), "https://other/x");
  EXPECT_EQ(resolved("/x?y", "https://h/v2/a"), "https://h/x?y");
  EXPECT_EQ(resolved("8", "https://h/v2/uploads/7"), "https://h/v2/uploads/8");
  EXPECT_EQ(resolved("8", "https://h/v2/uploads/7?state=a/b"), "https://h/v2/uploads/8");
  EXPECT_EQ(resolved("8", "https://h/v2/uploads/?mount=x&from=a/b"), "https://h/v2/uploads/8");
  EXPECT_EQ(resolved("?state=c", "https://h/v2/uploads/7?state=a/b"), "https://h/v2/uploads/7?state=c");
  EXPECT_EQ(resolved("8", "https://h"), "https://h/8");
  EXPECT_EQ(resolved("?x", "https://h"), "https://h/?x");
  EXPECT_EQ(bytes_taken("0-1023"), 1024u);
  EXPECT_EQ(bytes_taken("bytes=0-1023"), 1024u);
  for (const char* nothing : {"", "0-0", "0-", "1-5", "0-5x", "0-99999999999999999999", "0-18446744073709551615"})
    EXPECT_EQ(bytes_taken(nothing), 0u) << nothing;
}

TEST(RegistryUrls, AreHttpOnThisMachineOnly) {
  EXPECT_EQ(registry_url("localhost:5000"), "http://localhost:5000");
  EXPECT_EQ(registry_url("127.0.0.1"), "http://127.0.0.1");
  EXPECT_EQ(registry_url("[::1]:5000"), "http://[::1]:5000");
  EXPECT_EQ(registry_url("example.com:5000"), "https://example.com:5000");
  EXPECT_THAT(registry_url("docker.io"), testing::StartsWith("https://registry"));
}

}  // namespace
}  // namespace cairn::remote
