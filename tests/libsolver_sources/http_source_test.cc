// SPDX-License-Identifier: Apache-2.0
// http:// sources against a server on the loopback: what is asked, how often, and what comes of bad answers.
#include <atomic>
#include <thread>

#include "libsolver/llb.h"
#include "tests/libsolver_sources/remote_fixture.h"
#include "tests/support/http_server.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using test::HttpReply;
using test::HttpRequest;
using test::HttpServer;
using testing::HasSubstr;

constexpr const char* old_date = "Wed, 21 Oct 2015 07:28:00 GMT";

// One file with its validators, which knows conditional requests.
struct File {
  std::string body = "the file";
  std::string etag = "\"1\"";
  std::string last_modified = {};
  void answer(const HttpRequest& request, HttpReply& reply) const {
    HttpReply::Headers headers{{"Date", "Thu, 26 Nov 2026 10:00:00 GMT"}};
    if (!etag.empty()) headers.emplace_back("ETag", etag);
    if (!last_modified.empty()) headers.emplace_back("Last-Modified", last_modified);
    const bool same_tag = !etag.empty() && request.header("if-none-match") == etag;
    const bool same_time = !last_modified.empty() && request.header("if-modified-since") == last_modified;
    if (same_tag || same_time) return reply.send(304, headers, "");
    reply.send(200, headers, body);
  }
};

class HttpSourceTest : public RemoteSourceTest {
 protected:
  base::Guarded<File> file;
  HttpServer server{[this](const HttpRequest& request, HttpReply& reply) { File(*file.lock()).answer(request, reply); }};
  std::string url = server.url("/dir/file.txt");
};

TEST_F(HttpSourceTest, APinnedFileIsFetchedOnceAndNobodyIsAskedAgain) {
  const SolveRequest pinned = request(url, {{"http.checksum", digest_text("the file")},
                                            {"http.filename", "renamed"}, {"http.perm", "0640"},
                                            {"http.uid", "7"}, {"http.gid", "8"}});
  EXPECT_TRUE(executes(pinned));
  EXPECT_EQ(content("renamed"), "the file");
  const auto stat = this->stat("renamed");
  EXPECT_EQ(stat->st_mode, S_IFREG | 0640u);
  EXPECT_EQ(stat->st_uid, 7u);
  EXPECT_EQ(stat->st_gid, 8u);
  EXPECT_EQ(stat->st_mtime, 0);
  EXPECT_EQ(sink.done, 8u);
  EXPECT_EQ(sink.total, 8u);
  result.reset();
  reopen();
  EXPECT_FALSE(executes(pinned));
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(HttpSourceTest, ModeAndNameAndTimeOfAPlainFile) {
  file.lock()->last_modified = old_date;
  EXPECT_TRUE(executes(request(url)));
  const auto stat = this->stat("file.txt");
  EXPECT_EQ(stat->st_mode, S_IFREG | 0600u);
  EXPECT_EQ(stat->st_mtime, 1445412480);
}

TEST_F(HttpSourceTest, ChangedContentUnderAPinnedChecksumIsCorrupt) {
  file.lock()->body = "something else";
  expect_error(request(url, {{"http.checksum", digest_text("the file")}}), ErrorCode::corrupt,
               "its content is " + digest_text("something else") + ", but the source is pinned to " + digest_text("the file"));
  file.lock()->body = "the file";  // nothing half-made is in the way
  EXPECT_TRUE(executes(request(url, {{"http.checksum", digest_text("the file")}})));
}

TEST_F(HttpSourceTest, LongerHashesPinAsWell) {
  // printf 'the file' | sha384sum, sha512sum
  const std::string sha384 = "sha384:4ebd73cbbe3fc11658cdb11d81a407f4bd6d7abfadb9b9225fe9984c11b331b8fedea777b47d0fe02cde0d6d2e509117";
  const std::string sha512 = "sha512:a2f6865c670e73e6d4b6b6c8be62b1b77773f751c40542aced9a4570277a4b954ced7ba80a22f9885eed02e8d6ce3ca3c58f817c14402fac7d27b9b07c6a0ba5";
  for (const std::string& checksum : {sha384, sha512}) {
    EXPECT_TRUE(executes(request(url, {{"http.checksum", checksum}})));
    EXPECT_FALSE(executes(request(url, {{"http.checksum", checksum}})));
    EXPECT_EQ(content("file.txt"), "the file");
  }
  file.lock()->body = "something else";
  SolveRequest again = request(url, {{"http.checksum", sha512}});
  again.use_cache = UseCache::no;
  expect_error(again, ErrorCode::corrupt, "but the source is pinned to " + sha512);
  for (const std::string& bad : {sha512.substr(0, 100), std::string("md5:d41d8cd98f00b204e9800998ecf8427e"), "sha384:" + sha512.substr(7)}) {
    expect_error(request(url, {{"http.checksum", bad}}), ErrorCode::invalid_argument, "is none of sha256, sha384 or sha512");
  }
}

TEST_F(HttpSourceTest, AFileHasALimit) {
  SolveRequest small = request(url);
  small.remote.file_bytes_max = 7;
  expect_error(small, ErrorCode::invalid_argument, "file.txt has more than 7 bytes");
  small.remote.file_bytes_max = 8;
  EXPECT_TRUE(executes(small));
  // One that does not say how large it is.
  HttpServer endless([](const HttpRequest&, HttpReply& reply) {
    reply.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 1'000 && !reply.is_closed(); ++i) reply.raw("400\r\n" + std::string(1024, 'x') + "\r\n");
    reply.close();
  });
  SolveRequest large = request(endless.url("/f"));
  large.remote.file_bytes_max = 100'000;
  expect_error(large, ErrorCode::invalid_argument, "f has more than 100000 bytes");
}

TEST_F(HttpSourceTest, AnEtagThatIsTheSameIsAHitWithoutABody) {
  EXPECT_TRUE(executes(request(url)));
  EXPECT_FALSE(executes(request(url)));
  result.reset();
  reopen();
  EXPECT_FALSE(executes(request(url)));
  EXPECT_EQ(content("file.txt"), "the file");
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].header("if-none-match"), "");
  EXPECT_EQ(requests[1].header("if-none-match"), "\"1\"");
  EXPECT_EQ(requests[2].header("if-none-match"), "\"1\"");
}

TEST_F(HttpSourceTest, AnotherEtagIsAnotherFile) {
  EXPECT_TRUE(executes(request(url)));
  {
    auto changed = file.lock();
    changed->body = "its second version";
    changed->etag = "\"2\"";
  }
  EXPECT_TRUE(executes(request(url)));
  EXPECT_EQ(content("file.txt"), "its second version");
  EXPECT_EQ(server.requests().size(), 2u);  // what it is and the bytes came in one
  {
    auto changed = file.lock();
    changed->body = "the file";
    changed->etag = "\"3\"";
  }
  EXPECT_FALSE(executes(request(url)));  // what it was at first is still there
  EXPECT_EQ(content("file.txt"), "the file");
}

TEST_F(HttpSourceTest, AServerThatIgnoresTheConditionIsBelievedByItsEtag) {
  HttpServer careless([](const HttpRequest&, HttpReply& reply) { reply.send(200, {{"ETag", "W/\"x\""}}, "careless"); });
  EXPECT_TRUE(executes(request(careless.url("/f"))));
  EXPECT_FALSE(executes(request(careless.url("/f"))));
}

TEST_F(HttpSourceTest, LastModifiedIsAConditionIfItIsOldEnough) {
  file.lock()->etag = "";
  file.lock()->last_modified = old_date;
  EXPECT_TRUE(executes(request(url)));
  EXPECT_FALSE(executes(request(url)));
  EXPECT_EQ(server.requests()[1].header("if-modified-since"), old_date);

  // Within the same minute the file may have changed twice.
  const std::string other = server.url("/young.txt");
  file.lock()->last_modified = "Thu, 26 Nov 2026 09:59:30 GMT";
  EXPECT_TRUE(executes(request(other)));
  file.lock()->body = "changed in the same second";
  EXPECT_TRUE(executes(request(other)));
  EXPECT_EQ(content("young.txt"), "changed in the same second");
  EXPECT_EQ(server.requests()[3].header("if-modified-since"), "");
}

TEST_F(HttpSourceTest, WithoutValidatorsTheBytesDecide) {
  file.lock()->etag = "";
  EXPECT_TRUE(executes(request(url)));
  EXPECT_FALSE(executes(request(url)));
  EXPECT_EQ(server.count("GET", "/dir/file.txt"), 2u);
}

// Two sources that differ only in what becomes of the file.
class HttpTwinsTest : public HttpSourceTest {
 protected:
  SolveRequest twins(const llb::HttpOptions& one, const llb::HttpOptions& two) {
    SolveRequest made;
    made.definition = must(load_definition(must(llb::marshal(llb::merge({llb::http(url, one), llb::http(url, two)}), {}))));
    return made;
  }
  std::size_t executed(const SolveRequest& request) {
    SolveOutcome outcome = solve(request);
    EXPECT_TRUE(outcome.status) << outcome.status.error().message;
    result = std::move(outcome.result);
    return outcome.count(StepState::executed);
  }
  const llb::HttpOptions plain{.filename = "plain"}, other{.filename = "other", .mode = 0640, .uid = 7, .gid = 8};
};

TEST_F(HttpTwinsTest, OneSolveAsksOnceForAnAddress) {
  file.lock()->last_modified = old_date;
  EXPECT_EQ(executed(twins(plain, other)), 3u);
  EXPECT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(content("plain"), "the file");
  EXPECT_EQ(content("other"), "the file");
  EXPECT_EQ(stat("other")->st_mode, S_IFREG | 0640u);
  EXPECT_EQ(stat("other")->st_uid, 7u);
  EXPECT_EQ(stat("other")->st_gid, 8u);
  EXPECT_EQ(stat("other")->st_mtime, 1445412480);
  // Unchanged, and changed.
  EXPECT_EQ(executed(twins(plain, other)), 0u);
  EXPECT_EQ(server.requests().size(), 2u);
  file.lock()->body = "its second version";
  file.lock()->etag = "\"2\"";
  EXPECT_EQ(executed(twins(plain, other)), 3u);
  EXPECT_EQ(server.requests().size(), 3u);
  EXPECT_EQ(content("plain"), "its second version");
  EXPECT_EQ(content("other"), "its second version");
}

TEST_F(HttpTwinsTest, APinnedOneGivesItsBytesToOneThatIsNot) {
  llb::HttpOptions pinned = other;
  for (const auto& [checksum, body] : std::map<std::string, std::string>{
           {digest_text("the file"), "the file"},
           // printf 'other file' | sha512sum
           {"sha512:3170dce77cb452582f0f1356ebb69c5b7f552fe7546393186ad71058721b146531893341d8a7d134b32321c17fa9d30566457685f1b9aeeab40c15e88be3e27d", "other file"}}) {
    file.lock()->body = body;
    file.lock()->etag = '"' + body + '"';
    pinned.checksum = checksum;
    const std::size_t before = server.requests().size();
    EXPECT_EQ(executed(twins(plain, pinned)), 3u);
    EXPECT_EQ(server.requests().size(), before + 1);
    EXPECT_EQ(content("plain"), body);
    EXPECT_EQ(content("other"), body);
  }
}

TEST_F(HttpTwinsTest, OneThatWantsOtherBytesSaysSo) {
  llb::HttpOptions pinned = other;
  pinned.checksum = digest_text("something else");
  expect_error(twins(plain, pinned), ErrorCode::corrupt, "but the source is pinned to " + pinned.checksum);
}

TEST_F(HttpTwinsTest, NothingIsHeldAfterASolve) {
  EXPECT_EQ(executed(twins(plain, other)), 3u);
  result.reset();
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 3u);
}

// Another address, or an address asked in another way, is another question.
TEST_F(HttpTwinsTest, OtherHeadersAskForThemselves) {
  llb::HttpOptions with_header = other;
  with_header.accept = "a/b";
  EXPECT_EQ(executed(twins(plain, with_header)), 3u);
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(HttpSourceTest, OfflineTakesWhatIsKnownAndAsksNobody) {
  SolveRequest offline = request(url);
  offline.remote.ask = RemoteUse::Ask::never;
  expect_error(offline, ErrorCode::unavailable, "no remote side may be asked");
  EXPECT_TRUE(executes(request(url)));
  EXPECT_FALSE(executes(offline));
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(HttpSourceTest, WhatIsYoungEnoughIsBelieved) {
  SolveRequest lazy = request(url);
  lazy.remote.believed_for = std::chrono::hours(1);
  EXPECT_TRUE(executes(lazy));
  EXPECT_FALSE(executes(lazy));
  EXPECT_EQ(server.requests().size(), 1u);
  store.clock.advance(std::chrono::hours(2));
  EXPECT_FALSE(executes(lazy));
  EXPECT_EQ(server.requests().size(), 2u);
}

TEST_F(HttpSourceTest, TheSecretOfTheHostIsSentAndNeverStored) {
  SolveRequest secret = request(url);
  secret.secrets["HTTP_AUTH_TOKEN_127.0.0.1"] = "hunter2";
  EXPECT_TRUE(executes(secret));
  EXPECT_EQ(server.requests()[0].header("authorization"), "Bearer hunter2");

  SolveRequest named = request(url, {{"http.authheadersecret", "mine"}});
  expect_error(named, ErrorCode::not_found, "no secret \"mine\" is given");
  named.secrets["mine"] = "Basic abc";
  EXPECT_TRUE(executes(named));  // the name of the secret is in the key
  EXPECT_EQ(server.requests()[1].header("authorization"), "Basic abc");
}

TEST_F(HttpSourceTest, KnownHeadersAreSent) {
  EXPECT_TRUE(executes(request(url, {{"http.header.accept", "a/b"}, {"http.header.user-agent", "me/1"}, {"http.header.x-other", "no"}})));
  EXPECT_EQ(server.requests()[0].header("accept"), "a/b");
  EXPECT_EQ(server.requests()[0].header("user-agent"), "me/1");
  EXPECT_EQ(server.requests()[0].header("x-other"), "");
}

TEST_F(HttpSourceTest, ANameFromTheServerStaysInItsDirectory) {
  HttpServer evil([](const HttpRequest&, HttpReply& reply) {
    reply.send(200, {{"Content-Disposition", "attachment; filename=\"../../etc/passwd\""}}, "evil");
  });
  EXPECT_TRUE(executes(request(evil.url("/x"))));
  EXPECT_EQ(content("passwd"), "evil");
}

TEST_F(HttpSourceTest, BadStatusesAreErrors) {
  HttpServer bad([](const HttpRequest& request, HttpReply& reply) { reply.send(request.target == "/500" ? 500 : 404, {}, "no"); });
  expect_error(request(bad.url("/404")), ErrorCode::not_found, "the server answers with status 404");
  expect_error(request(bad.url("/500")), ErrorCode::io, "the server answers with status 500");
  HttpServer unasked([](const HttpRequest&, HttpReply& reply) { reply.send(304, {}, ""); });
  expect_error(request(unasked.url("/")), ErrorCode::io, "status 304");
}

TEST_F(HttpSourceTest, StallsAndCirclesAndEarlyEndsAreErrors) {
  HttpServer bad([](const HttpRequest& request, HttpReply& reply) {
    if (request.target == "/circle") return reply.redirect(302, "/circle2");
    if (request.target == "/circle2") return reply.redirect(302, "/circle");
    reply.raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nfirst bytes");
    if (request.target == "/stall") reply.hang();
    reply.close();
  });
  expect_error(request(bad.url("/circle")), ErrorCode::invalid_argument, "it redirects in a circle");
  for (const bool pinned : {false, true}) {
    std::map<std::string, std::string> attrs;
    if (pinned) attrs["http.checksum"] = digest_text("x");
    expect_error(request(bad.url("/stall"), attrs), ErrorCode::io, "stalled");
    expect_error(request(bad.url("/short"), attrs), ErrorCode::corrupt, "it ended too early");
  }
  std::size_t records = 0;
  must(store.cache->each_record([&](const cache::RecordInfo&) -> base::Status {
    ++records;
    return {};
  }));
  EXPECT_EQ(records, 0u);
}

TEST_F(HttpSourceTest, CancellingReachesTheTransfer) {
  fetcher = remote::make_http_fetcher({});  // its own timeouts are far away
  open_solver();
  std::atomic<bool> asked{false};
  HttpServer slow([&](const HttpRequest&, HttpReply& reply) {
    asked = true;
    reply.hang();
  });
  std::stop_source stop;
  std::jthread canceller([&] {
    while (!asked) std::this_thread::yield();
    stop.request_stop();
  });
  const SolveOutcome outcome = solve(request(slow.url("/")), stop.get_token());
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, ErrorCode::cancelled) << outcome.status.error().message;
}

TEST_F(HttpSourceTest, BadAttributesAreNamed) {
  expect_error(request(url, {{"http.perm", "rwx"}}), ErrorCode::invalid_argument, "http.perm");
  expect_error(request(url, {{"http.checksum", "sha256:12"}}), ErrorCode::invalid_argument, "http.checksum");
  expect_error(request(url, {{"http.sig.pubkey", "k"}}), ErrorCode::unavailable, "not supported: http.sig.pubkey");
}

}  // namespace
}  // namespace cairn::solver
