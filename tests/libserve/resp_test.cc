// SPDX-License-Identifier: Apache-2.0
// Redis' protocol over real sockets: each command and each of its answers, streams that are cut off, lie or dawdle, and
// ends.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "libcache/entry_store.h"
#include "tests/libserve/resp_client.h"

namespace cairn::serve {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Findings = std::vector<std::string>;

std::string large_value(std::size_t size) {
  std::string value(size, '\0');
  for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<char>('a' + (i * 7 + i / 1000) % 26);
  return value;
}

TEST(RespCommands, StoreFindAndErase) {
  RespServed served;
  RespClient client(served.server->address());
  EXPECT_EQ(client.ask({"GET", "k"}), "nil");
  EXPECT_EQ(client.ask({"SET", "k", "one"}), "+OK");
  EXPECT_EQ(client.ask({"get", "k"}), "$one");
  EXPECT_EQ(client.ask({"SET", "k", std::string("\0\r\n", 3)}), "+OK");
  EXPECT_EQ(client.ask({"GET", "k"}), "$" + std::string("\0\r\n", 3));
  EXPECT_EQ(client.ask({"SET", "empty", ""}), "+OK");
  EXPECT_EQ(client.ask({"GET", "empty"}), "$");
  EXPECT_EQ(client.ask({"EXISTS", "k", "empty", "none"}), ":2");
  EXPECT_EQ(client.ask({"DEL", "k", "none"}), ":1");
  EXPECT_EQ(client.ask({"GET", "k"}), "nil");
  EXPECT_EQ(client.ask({"UNLINK", "empty"}), ":1");
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespCommands, StoreOnlyWhatIsNewOrOnlyWhatIsThere) {
  RespServed served;
  RespClient client(served.server->address());
  EXPECT_EQ(client.ask({"SET", "k", "one", "XX"}), "nil");
  EXPECT_EQ(client.ask({"SETNX", "k", "one"}), ":1");
  EXPECT_EQ(client.ask({"SETNX", "k", "two"}), ":0");
  EXPECT_EQ(client.ask({"SETNX", "k", "one"}), ":0");
  EXPECT_EQ(client.ask({"SET", "k", "two", "nx"}), "nil");
  EXPECT_EQ(client.ask({"GET", "k"}), "$one");
  EXPECT_EQ(client.ask({"SET", "k", "two", "XX"}), "+OK");
  EXPECT_EQ(client.ask({"GET", "k"}), "$two");
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"SET", "k", "v", "NX", "XX"},
                                             {"SET", "k", "v", "EX"},
                                             {"SET", "k", "v", "EX", "1", "PX", "1"},
                                             {"SET", "k", "v", "SOON"}})
    EXPECT_EQ(client.ask(wrong), "-ERR syntax error");
  for (const char* time : {"0", "-1", "x", "99999999999999999999", "9999999999999"})
    EXPECT_EQ(client.ask({"SET", "k", "v", "EX", time}), "-ERR invalid expire time") << time;
  EXPECT_EQ(client.ask({"GET", "k"}), "$two");
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespCommands, WhatIsExpiredIsNotThere) {
  RespServed served;
  RespClient client(served.server->address());
  EXPECT_EQ(client.ask({"SET", "ex", "v", "EX", "10"}), "+OK");
  EXPECT_EQ(client.ask({"SET", "px", "v", "PX", "10500"}), "+OK");
  EXPECT_EQ(client.ask({"SETEX", "setex", "10", "v"}), "+OK");
  EXPECT_EQ(client.ask({"PSETEX", "psetex", "10000", "v"}), "+OK");
  EXPECT_EQ(client.ask({"EXISTS", "ex", "px", "setex", "psetex"}), ":4");
  served.clock.advance(9999ms);
  EXPECT_EQ(client.ask({"GET", "ex"}), "$v");
  served.clock.advance(1ms);
  EXPECT_EQ(client.ask({"GET", "ex"}), "nil");
  EXPECT_EQ(client.ask({"EXISTS", "ex", "px", "setex", "psetex"}), ":1");
  EXPECT_EQ(client.ask({"SET", "ex", "w", "XX"}), "nil");
  EXPECT_EQ(client.ask({"DEL", "setex"}), ":0");
  EXPECT_EQ(client.ask({"SET", "ex", "v", "NX"}), "+OK") << "what is over is in nobody's way";
  EXPECT_EQ(client.ask({"SET", "px", "v"}), "+OK") << "the same value, and for ever now";
  served.clock.advance(1h);
  EXPECT_EQ(client.ask({"EXISTS", "ex", "px"}), ":2");
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespCommands, TalkOfConnections) {
  RespServed served;
  RespClient client(served.server->address());
  EXPECT_THAT(client.ask({"HELLO", "3"}), StartsWith("-NOPROTO"));
  EXPECT_THAT(client.ask({"HELLO", "2"}), HasSubstr("$proto :2"));
  EXPECT_EQ(client.ask({"AUTH", "name", "password"}), "+OK");
  EXPECT_EQ(client.ask({"CLIENT", "SETINFO", "LIB-NAME", "x"}), "+OK");
  EXPECT_EQ(client.ask({"CLIENT", "SETNAME", "x"}), "+OK");
  EXPECT_THAT(client.ask({"CLIENT", "KILL"}), StartsWith("-ERR"));
  EXPECT_EQ(client.ask({"PING"}), "+PONG");
  EXPECT_EQ(client.ask({"PING", "hello"}), "$hello");
  EXPECT_THAT(client.ask({"INFO"}), HasSubstr("databases:16"));
  EXPECT_EQ(client.ask({"FLUSHALL"}), "-ERR unknown command 'FLUSHALL'");
  EXPECT_EQ(client.ask({"bad\r\n+OK"}), "-ERR unknown command 'bad  +OK'") << "a client's words make no answers";
  EXPECT_EQ(client.ask({"GET"}), "-ERR wrong number of arguments for 'GET' command");
  EXPECT_EQ(client.ask({"SET", "k"}), "-ERR wrong number of arguments for 'SET' command");
  EXPECT_THAT(client.ask({"SET", "a key", "v"}), StartsWith("-ERR a key has no blanks"));
  EXPECT_EQ(client.ask({"QUIT"}), "+OK");
  EXPECT_EQ(client.receive(), "");
}

TEST(RespCommands, DatabasesAreInstancesAndDoorsShareTheirEntries) {
  RespServed served;
  RespClient client(served.server->address());
  const std::string key = "93c1jqnrf506k2936210hi9ofeceknu5a";
  EXPECT_EQ(client.ask({"SET", "ccache:" + key, "zero"}), "+OK");
  EXPECT_EQ(client.ask({"SELECT", "15"}), "+OK");
  EXPECT_EQ(client.ask({"GET", "ccache:" + key}), "nil");
  EXPECT_EQ(client.ask({"SET", "ccache:" + key, "fifteen"}), "+OK");
  for (const char* bad : {"16", "-1", "x"}) EXPECT_EQ(client.ask({"SELECT", bad}), "-ERR DB index is out of range");
  EXPECT_EQ(client.ask({"GET", "ccache:" + key}), "$fifteen");
  HttpOptions options;
  options.address = "127.0.0.1:0";
  options.more_metrics = [&] { return served.server->metrics(); };
  const auto http = cache::must(HttpServer::start(*served.store.cache, options));
  EXPECT_EQ(Client(http->address()).ask("GET", "/ccache/" + key).body, "zero") << "ccache's over HTTP, too";
  EXPECT_EQ(Client(http->address()).ask("GET", "/15/ccache/" + key).body, "fifteen");
  const std::string metrics = Client(http->address()).ask("GET", "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr("cairn_resp_requests_total{door=\"ccache\",code=\"hit\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_resp_requests_total{door=\"ccache\",code=\"miss\"} 1\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_resp_requests_total{door=\"ccache\",code=\"ok\"} 2\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_resp_connections 1\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_resp_received_bytes_total 11\n"));
  EXPECT_THAT(metrics, HasSubstr("cairn_hits_total{project=\"ccache/15\"} 2\n"));
}

TEST(RespStream, LargeValuesGoInAndOutInPieces) {
  RespServed served;
  RespClient client(served.server->address());
  for (const std::size_t size : {64u * 1024, 64u * 1024 + 1, 256u * 1024, 20'000'000u}) {
    const std::string value = large_value(size);
    EXPECT_EQ(client.ask({"SET", "large", value}), "+OK");
    EXPECT_TRUE(client.ask({"GET", "large"}) == "$" + value) << size;
  }
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespStream, PipelinedCommandsAreAnsweredInTheirOrder) {
  RespServed served;
  RespClient client(served.server->address());
  const std::string large = large_value(300'000);
  std::string stream, cut;
  for (int i = 0; i < 200; ++i) {
    const std::string n = std::to_string(i);
    stream += command_text({"SET", "k" + n, "value" + n}) + command_text({"GET", "k" + n}) + command_text({"PING", n});
    if (i % 50 == 0)
      stream += command_text({"SET", "large", large}) + command_text({"GET", "large"}) + command_text({"NONE"});
  }
  std::jthread sending([&] { client.send(stream); });
  for (int i = 0; i < 200; ++i) {
    const std::string n = std::to_string(i);
    ASSERT_EQ(client.receive(), "+OK") << i;
    ASSERT_EQ(client.receive(), "$value" + n);
    ASSERT_EQ(client.receive(), "$" + n);
    if (i % 50 != 0) continue;
    ASSERT_EQ(client.receive(), "+OK");
    ASSERT_TRUE(client.receive() == "$" + large);
    ASSERT_THAT(client.receive(), StartsWith("-ERR unknown"));
  }
  sending.join();
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespStream, CutAtEveryByteItLeavesNothing) {
  RespServed served;
  const std::string text = command_text({"SET", "k", "value"});
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    RespClient client(served.server->address());
    client.send(std::string_view(text).substr(0, cut));
    ::shutdown(client.socket(), SHUT_WR);
    EXPECT_EQ(client.receive(), "") << cut;
  }
  RespClient client(served.server->address());
  EXPECT_EQ(client.ask({"GET", "k"}), "nil");
  for (const char byte : text) client.send(std::string_view(&byte, 1));
  EXPECT_EQ(client.receive(), "+OK");
  EXPECT_EQ(client.ask({"GET", "k"}), "$value");
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespStream, WhatIsNoCommandIsToldSoAndEnds) {
  RespServed served;
  RespClient before(served.server->address());
  before.send(command_text({"PING"}) + "POST / HTTP/1.1\r\nHost: x\r\n\r\n" + command_text({"SET", "k", "v"}));
  EXPECT_EQ(before.receive(), "+PONG");
  EXPECT_EQ(before.receive(), "-ERR Protocol error: a command is an array of bulk strings");
  EXPECT_EQ(before.receive(), "");
  RespClient huge(served.server->address());
  huge.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n");
  EXPECT_EQ(huge.receive(), "-ERR Protocol error: invalid bulk length");
  RespClient many(served.server->address());
  many.send("*1025\r\n");
  EXPECT_EQ(many.receive(), "-ERR Protocol error: invalid multibulk length");
  EXPECT_EQ(RespClient(served.server->address()).ask({"GET", "k"}), "nil");
}

TEST(RespStream, WhoDawdlesLosesTheConnection) {
  RespOptions options;
  options.idle_time = 300ms;
  options.command_time = options.piece_time = 150ms;
  RespServed served(std::move(options));
  RespClient idle(served.server->address()), in_words(served.server->address()), in_value(served.server->address());
  in_words.send("*2\r\n$3\r\nGE");
  in_value.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9\r\n");
  std::atomic<bool> end{false};
  // A byte now and then is no progress.
  std::jthread dripping([&] {
    while (!end) {
      std::this_thread::sleep_for(50ms);
      in_value.send("x");
    }
  });
  EXPECT_EQ(in_words.receive(), "");
  EXPECT_EQ(in_value.receive(), "");
  EXPECT_EQ(idle.receive(), "");
  end = true;
  dripping.join();
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespStream, WhoDoesNotReadLosesTheConnection) {
  RespOptions options;
  options.piece_time = 1s;
  RespServed served(std::move(options));
  RespClient reader(served.server->address());
  EXPECT_EQ(reader.ask({"SET", "large", large_value(30'000'000)}), "+OK");
  reader.send(command_text({"GET", "large"}));
  for (int i = 0; i < 3000 && served.server->connections() > 0; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(served.server->connections(), 0u);
  EXPECT_EQ(reader.receive(), "") << "what is not whole does not look so";
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespServer, OneConnectionTooManyIsToldSo) {
  RespOptions options;
  options.connections_max = 1;
  RespServed served(std::move(options));
  RespClient first(served.server->address());
  EXPECT_EQ(first.ask({"PING"}), "+PONG");
  RespClient second(served.server->address());
  EXPECT_EQ(second.receive(), "-ERR max number of clients reached");
  EXPECT_EQ(first.ask({"PING"}), "+PONG");
}

TEST(RespServer, ADrainAnswersWhatWasBegunAndNothingElse) {
  RespServed served;
  RespClient idle(served.server->address()), begun(served.server->address());
  EXPECT_EQ(idle.ask({"PING"}), "+PONG");
  EXPECT_EQ(begun.ask({"PING"}), "+PONG");
  const std::string text = command_text({"SET", "k", "value"});
  begun.send(std::string_view(text).substr(0, text.size() - 4));
  std::this_thread::sleep_for(100ms);  // so that it has been read
  std::jthread ending([&] { served.server->drain(30s); });
  EXPECT_EQ(idle.receive(), "");
  begun.send(std::string_view(text).substr(text.size() - 4));
  EXPECT_EQ(begun.receive(), "+OK");
  EXPECT_EQ(begun.receive(), "");
  ending.join();
  EXPECT_EQ(served.server->connections(), 0u);
  const auto entry = cache::must(cache::EntryStore(*served.store.cache).find({.door = "redis", .key = "k"}));
  EXPECT_TRUE(entry);
}

TEST(RespServer, WhatDoesNotFitIsToldAndTheConnectionGoesOn) {
  RespOptions options;
  options.live_bytes_max = 5'000'000;
  RespServed served(std::move(options));
  RespClient client(served.server->address());
  EXPECT_EQ(client.ask({"SET", "small", "value"}), "+OK");
  EXPECT_THAT(client.ask({"SET", "large", large_value(10'000'000)}), StartsWith("-OOM "));
  EXPECT_EQ(client.ask({"GET", "large"}), "nil");
  EXPECT_EQ(client.ask({"GET", "small"}), "$value");
  EXPECT_EQ(served.findings(), Findings());
}

TEST(RespServer, ManyClientsOfTheSameKeys) {
  RespServed served;
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([&, t] {
        RespClient client(served.server->address());
        for (int i = 0; i < 60; ++i) {
          const std::string key = "k" + std::to_string((i + t) % 7),
                            value = key + std::string(1 + static_cast<std::size_t>(i % 3) * 50'000, 'v');
          if (i % 10 == 9 && !client.ask({"DEL", key}).starts_with(":")) ++wrong;
          if (client.ask({"SET", key, value}) != "+OK") ++wrong;
          const std::string got = client.ask({"GET", key});
          if (got != "nil" && !got.starts_with("$" + key + "v")) ++wrong;
        }
      });
  }
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(served.findings(), Findings());
}

}  // namespace
}  // namespace cairn::serve
