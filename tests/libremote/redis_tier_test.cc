// SPDX-License-Identifier: Apache-2.0
// The tier on Redis against the real redis-server, and against servers that only look like one.
#include "libremote/redis_tier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <list>

#include "libremote/entries/tier_entry.h"
#include "libremote/redis/reply.h"
#include "tests/conformance/remote_tier_suite.h"
#include "tests/libremote/certificate.h"
#include "tests/libremote/started_server.h"
#include "tests/support/loopback_listener.h"

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
using testing::HasSubstr;

std::unique_ptr<RemoteTier> tier_of(const RedisOptions& options) {
  auto tier = make_redis_tier(options);
  CHECK(tier.has_value(), "{}", tier.error().message);
  return std::move(*tier);
}

int free_port() {
  return test::LoopbackListener([](base::Fd) {}).port();
}

class RedisServer final : public cache::TierUnderTest {
 public:
  explicit RedisServer(const RedisOptions& with = {}, const std::vector<std::string>& more = {})
      : options(with), server_(std::make_unique<test::StartedServer>(argv(more), "eady to accept connections")) {
    if (options.port == 0) options.unix_socket = (server_->dir() / "socket").str();
  }
  std::unique_ptr<RemoteTier> open() override { return tier_of(options); }
  // What redis-cli is answered.
  std::string cli(std::vector<std::string> words) const {
    std::vector<std::string> all = {"redis-cli", "-s", (server_->dir() / "socket").str()};
    all.insert(all.end(), words.begin(), words.end());
    const test::Ended ended = test::run_program(server_->dir(), all);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return ended.out.substr(0, ended.out.find('\n'));
  }
  RedisOptions options;

 private:
  std::vector<std::string> argv(const std::vector<std::string>& more) const {
    std::vector<std::string> all = {
        "redis-server",
        "--unixsocket",
        "{dir}/socket",
        "--dir",
        "{dir}",
        "--save",
        "",
        "--appendonly",
        "no",
        "--bind",
        "127.0.0.1",
        "--port",
        std::to_string(options.security == RedisOptions::Security::plain ? options.port : 0)};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  std::unique_ptr<test::StartedServer> server_;
};

const RedisOptions over_unix_socket{.port = 0};

std::unique_ptr<cache::TierUnderTest> with_password() {
  RedisOptions options = over_unix_socket;
  options.password = "the password\r\n of it";
  options.database = 3;
  options.prefix = "team:one";
  options.time_to_live = std::chrono::seconds(1000);
  auto made = std::make_unique<RedisServer>(options);
  made->cli({"CONFIG", "SET", "requirepass", options.password});
  return made;
}

std::unique_ptr<cache::TierUnderTest> over_tcp() {
  return std::make_unique<RedisServer>(RedisOptions{.port = static_cast<std::uint16_t>(free_port())});
}

class TlsRedisServer final : public cache::TierUnderTest {
 public:
  TlsRedisServer() {
    test::make_certificate(dir_.path(), "IP:127.0.0.1", dir_ / "key", dir_ / "certificate");
    RedisOptions options{.port = static_cast<std::uint16_t>(free_port()),
                         .security = RedisOptions::Security::tls,
                         .ca_file = (dir_ / "certificate").str()};
    const std::vector<std::string> more = {
        "--tls-port",         std::to_string(options.port), "--tls-cert-file", options.ca_file,      "--tls-key-file",
        (dir_ / "key").str(), "--tls-ca-cert-file",         options.ca_file,   "--tls-auth-clients", "no"};
    server_ = std::make_unique<RedisServer>(options, more);
  }
  std::unique_ptr<RemoteTier> open() override { return server_->open(); }
  const RedisOptions& options() const { return server_->options; }

 private:
  test::TempDir dir_;
  std::unique_ptr<RedisServer> server_;
};

}  // namespace
}  // namespace cairn::remote

namespace cairn::cache {
namespace {
INSTANTIATE_TEST_SUITE_P(
    redis, RemoteTierSuite,
    ::testing::Values(WayToMakeATier{"unix_socket",
                                     [] { return std::make_unique<remote::RedisServer>(remote::over_unix_socket); }},
                      WayToMakeATier{"password", remote::with_password}, WayToMakeATier{"tcp", remote::over_tcp},
                      WayToMakeATier{"tls", [] { return std::make_unique<remote::TlsRedisServer>(); }}),
    [](const auto& way) { return way.param.name; });
}  // namespace
}  // namespace cairn::cache

namespace cairn::remote {
namespace {

const EntryName entry_name{.door = "ccache", .key = "key"};

void expect_all(RemoteTier& tier, ErrorCode code, const std::string& part, std::chrono::milliseconds time = std::chrono::seconds(30)) {
  cache::expect_all(tier, entry_name, code, part, part, time);
}

TEST(RedisTier, KeysAreThoseOfTheDocumentAndTheirTimeEnds) {
  RedisOptions options = over_unix_socket;
  options.prefix = "team:one";
  options.time_to_live = std::chrono::seconds(1000);
  RedisServer server(options);
  const auto tier = server.open();
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  ASSERT_TRUE(tier->put_entry(entry_name, {.value = "value"}, patient_call()));
  EXPECT_EQ(server.cli({"GET", "team:one:blob:" + sized("bytes").digest.hex()}), "bytes");
  EXPECT_EQ(server.cli({"EXISTS", "team:one:entry:" + key_of(entry_name).hex()}), "1");
  const int left = std::stoi(server.cli({"TTL", "team:one:blob:" + sized("bytes").digest.hex()}));
  EXPECT_GT(left, 900);
  EXPECT_LE(left, 1000);
}

TEST(RedisTier, ADamagedValueIsPutAgain) {
  RedisServer server(over_unix_socket);
  const auto tier = server.open();
  const SizedBlob blob = sized("bytes");
  const std::string key = "cairn:blob:" + blob.digest.hex();
  server.cli({"SET", key, "more bytes"});
  EXPECT_EQ(tier->has_blobs({&blob, 1}, patient_call()).value(), std::vector<bool>{false});
  expect_error(tier->open_blob(blob, patient_call()), ErrorCode::corrupt, "a value of 10 bytes");
  server.cli({"SET", key, "byt"});
  expect_error(tier->open_blob(blob, patient_call()), ErrorCode::corrupt, "3 bytes");
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  EXPECT_EQ(cache::get(*tier, blob), "bytes");
  server.cli({"SET", "cairn:entry:" + key_of(entry_name).hex(), "no entry"});
  expect_error(tier->find_entry(entry_name, patient_call()), ErrorCode::corrupt, "only 8 bytes");
  server.cli({"DEL", key});
  server.cli({"LPUSH", key, "a", "list"});
  expect_error(tier->open_blob(blob, patient_call()), ErrorCode::io, "WRONGTYPE");
}

TEST(RedisTier, WhoIsNotLetInIsToldSoWithoutThePassword) {
  RedisServer server(over_unix_socket);
  server.cli({"CONFIG", "SET", "requirepass", "right"});
  expect_all(*server.open(), ErrorCode::unavailable, "NOAUTH");
  server.options.password = "secret";
  expect_all(*server.open(), ErrorCode::unavailable, "it refuses who we are");
  server.options.user = "nobody";
  expect_all(*server.open(), ErrorCode::unavailable, "it refuses who we are");
  server.options.user = "";
  server.options.password = "right";
  server.options.database = 999;
  expect_all(*server.open(), ErrorCode::unavailable, "the database 999");
}

TEST(RedisTier, AFullServerIsBusyAndStillRead) {
  RedisServer server(over_unix_socket);
  const auto tier = server.open();
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  server.cli({"CONFIG", "SET", "maxmemory", "1"});
  expect_error(cache::put(*tier, "more"), ErrorCode::busy, "OOM");
  EXPECT_EQ(cache::get(*tier, sized("bytes")), "bytes");
}

TEST(RedisTier, AConnectionThatWasClosedMeanwhileIsMadeAnew) {
  RedisServer server(over_unix_socket);
  const auto tier = server.open();
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  EXPECT_EQ(server.cli({"CLIENT", "KILL", "TYPE", "normal"}), "1");
  EXPECT_EQ(cache::get(*tier, sized("bytes")), "bytes");
  // And it is kept, for as many commands as come.
  EXPECT_EQ(cache::get(*tier, sized("bytes")), "bytes");
  EXPECT_EQ(server.cli({"CLIENT", "KILL", "TYPE", "normal"}), "1");
}

TEST(RedisTier, ACertificateThatNobodyTrustsEndsIt) {
  TlsRedisServer server;
  RedisOptions options = server.options();
  options.ca_file = "";
  expect_all(*tier_of(options), ErrorCode::io, "certificate");
}

// Answers whatever comes with these bytes.
class Impostor {
 public:
  // A pause between any two bytes.
  explicit Impostor(std::string answer, std::chrono::milliseconds pause = {}, bool closes = false)
      : answer_(std::move(answer)), pause_(pause), closes_(closes) {}
  ~Impostor() {
    listener_.stop();
    for (base::Fd& each : sockets_) ::shutdown(each.get(), SHUT_RDWR);
  }
  std::unique_ptr<RemoteTier> tier() { return tier_of({.port = static_cast<std::uint16_t>(listener_.port())}); }

 private:
  void serve(int socket) const {
    char bytes[4096];
    while (::recv(socket, bytes, sizeof bytes, 0) > 0) {
      for (std::size_t at = 0; at < answer_.size();) {
        const std::size_t count = pause_.count() == 0 ? answer_.size() : 1;
        if (::send(socket, answer_.data() + at, count, MSG_NOSIGNAL) <= 0) return;
        at += count;
        if (pause_.count() != 0) std::this_thread::sleep_for(pause_);
      }
      if (closes_) ::shutdown(socket, SHUT_RDWR);
    }
  }
  const std::string answer_;
  const std::chrono::milliseconds pause_;
  const bool closes_;
  std::list<base::Fd> sockets_;
  std::list<std::jthread> threads_;
  test::LoopbackListener listener_{[this](base::Fd socket) {
    sockets_.push_back(std::move(socket));
    threads_.emplace_back([this, fd = sockets_.back().get()] { serve(fd); });
  }};
};

TEST(RedisTier, AServerThatNeverAnswersCostsTheTimeOfTheCall) {
  Impostor silent("");
  expect_all(*silent.tier(), ErrorCode::io, "no answer in the time that there was", std::chrono::milliseconds(100));
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.request_stop();
  });
  expect_error(silent.tier()->find_entry(entry_name, call_for(std::chrono::seconds(60), stop.get_token())),
               ErrorCode::cancelled, "cancelled");
}

TEST(RedisTier, ASlowDripEndsWithTheCall) {
  Impostor slow("$2000\r\n" + std::string(2000, 'x'), std::chrono::milliseconds(10));
  expect_error(slow.tier()->open_blob(sized(std::string(2000, 'x')), call_for(std::chrono::milliseconds(300))),
               ErrorCode::io, "no answer in the time");
}

TEST(RedisTier, WhatAnImpostorSays) {
  const auto all = [](const std::string& answer, ErrorCode code, const std::string& part) {
    SCOPED_TRACE(answer);
    Impostor impostor(answer);
    expect_all(*impostor.tier(), code, part);
  };
  all("HTTP/1.1 400 Bad Request\r\n\r\n", ErrorCode::io, "something else than a reply");
  all("*2\r\n$1\r\na\r\n$1\r\nb\r\n", ErrorCode::io, "something else than a reply");
  all("-LOADING Redis is loading the dataset\r\n", ErrorCode::busy, "LOADING");
  all("-ERR max number of clients reached\r\n", ErrorCode::busy, "max number of clients");
  all("-MOVED 1234 10.0.0.1:6379\r\n", ErrorCode::unavailable, "MOVED");
  all("-ERR \x1b[31mred\r\n", ErrorCode::io, "ERR ?[31mred");
  all("+OK\r\n+OK\r\n", ErrorCode::io, "more replies than commands");
  all(std::string(10'000, '+'), ErrorCode::io, "a line without end");
  Impostor integer(":1\r\n");
  expect_error(integer.tier()->open_blob(sized("bytes"), patient_call()), ErrorCode::io, "something else than a value");
  test::BytesSource source("bytes");
  expect_error(integer.tier()->put_blob(sized("bytes"), source, patient_call()), ErrorCode::io,
               "something else than OK");
  Impostor status("+OK\r\n");
  const SizedBlob blob = sized("bytes");
  expect_error(status.tier()->has_blobs({&blob, 1}, patient_call()), ErrorCode::io, "something else than a length");
  Impostor large("$99999999999\r\n");
  expect_error(large.tier()->find_entry(entry_name, patient_call()), ErrorCode::corrupt,
               "a value of 99999999999 bytes");
}

TEST(RedisTier, AnAnswerThatIsCutIsAnError) {
  Impostor cut("$5\r\nby", std::chrono::milliseconds(1), true);
  expect_error(cut.tier()->open_blob(sized("bytes"), patient_call()), ErrorCode::io, "it has closed the connection");
}

TEST(RedisTier, NobodyThere) {
  expect_all(*tier_of({.port = static_cast<std::uint16_t>(free_port())}), ErrorCode::io, "redis://127.0.0.1");
  expect_all(*tier_of({.unix_socket = "/nowhere/socket"}), ErrorCode::io, "redis:///nowhere/socket/0");
}

TEST(RedisOptions, WhatCannotBe) {
  const auto refused = [](RedisOptions options) {
    const auto tier = make_redis_tier(std::move(options));
    return tier ? "" : tier.error().code == ErrorCode::invalid_argument ? tier.error().message : "another error";
  };
  EXPECT_EQ(refused({}), "");
  for (const char* host : {"", "a b", "host/path", "user@host", "host\r\n"})
    EXPECT_THAT(refused({.host = host}), HasSubstr("no host")) << host;
  EXPECT_THAT(refused({.port = 0}), HasSubstr("no port"));
  for (const std::string& prefix : {std::string(), std::string("a b"), std::string(300, 'a')})
    EXPECT_THAT(refused({.prefix = prefix}), HasSubstr("no prefix"));
  EXPECT_THAT(refused({.time_to_live = std::chrono::seconds(-1)}), HasSubstr("before now"));
  EXPECT_THAT(refused({.blob_bytes_max = std::size_t{1} << 30}), HasSubstr("512 MiB"));
}

TEST(RedisReplies, AreTheSameHoweverTheyAreCut) {
  const std::string all = std::string("+OK\r\n:42\r\n$-1\r\n$0\r\n\r\n$7\r\nab\r\ncd\0\r\n-ERR no\r\n", 43);
  for (std::size_t at_once = 1; at_once <= all.size(); ++at_once) {
    RedisReplies replies(100);
    std::vector<RedisReply> got;
    for (std::size_t at = 0; at < all.size(); at += at_once) {
      replies.add(std::string_view(all).substr(at, at_once));
      while (true) {
        auto reply = replies.next();
        ASSERT_TRUE(reply) << reply.error().message;
        if (!*reply) break;
        got.push_back(**reply);
      }
    }
    ASSERT_EQ(got.size(), 6u) << at_once;
    EXPECT_EQ(got[0].text, "OK");
    EXPECT_EQ(got[1].number, 42);
    EXPECT_EQ(got[2].kind, RedisReply::Kind::nil);
    EXPECT_EQ(got[3].kind, RedisReply::Kind::bulk);
    EXPECT_EQ(got[4].text, std::string("ab\r\ncd\0", 7));
    EXPECT_EQ(got[5].kind, RedisReply::Kind::error);
    EXPECT_TRUE(replies.is_empty());
  }
}

}  // namespace
}  // namespace cairn::remote
