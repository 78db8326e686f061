// SPDX-License-Identifier: Apache-2.0
// Many at once: uploads of one blob, connections that do nothing, and an end in the middle of it all.
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "libcache/entry_store.h"
#include "tests/libserve/http_client.h"

namespace cairn::serve {
namespace {

using namespace std::chrono_literals;

const std::string key = "/gradle/" + std::string(32, 'a');

TEST(Load, AThousandUploadsOfOneBlobAreOneBlob) {
  HttpOptions options;
  options.connections_max = 2000;
  Served served(std::move(options));
  std::string bytes(100'000, 'b');
  const std::string path = cas_path(bytes), text = request_text("PUT", path, bytes);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<Client>(served.server->address()));
  std::atomic<int> stored{0};
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    // All have begun before the first one ends.
    std::vector<Client*> mine;
    for (std::size_t i = next++; i < clients.size(); i = next++) {
      clients[i]->send(std::string_view(text).substr(0, text.size() - 1));
      mine.push_back(clients[i].get());
    }
    for (Client* client : mine) client->send("b");
    for (Client* client : mine) stored += client->receive().status == 200 ? 1 : 0;
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) threads.emplace_back(work);
  }
  EXPECT_EQ(stored.load(), 1000);
  EXPECT_EQ(cache::must(served.store.cache->disk_usage()).blobs, 1u);
  EXPECT_EQ(served.ask("GET", path).body, bytes);
  clients.clear();
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

// As many as the limit of descriptors lets one process have at both ends; 10,000 where it is high enough.
TEST(Load, IdleConnectionsKeepNobodyFromWork) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const std::size_t many = std::min<std::size_t>(10'000, (limit.rlim_cur - 200) / 2);
  HttpOptions options;
  options.connections_max = many + 10;
  Served served(std::move(options));
  std::vector<std::unique_ptr<Client>> idle;
  for (std::size_t i = 0; i < many; ++i) idle.push_back(std::make_unique<Client>(served.server->address()));
  EXPECT_EQ(served.ask("PUT", key, "value").status, 200);
  EXPECT_EQ(served.ask("GET", key).body, "value");
  for (int i = 0; i < 1000 && served.server->connections() < many; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GE(served.server->connections(), many);
  RecordProperty("idle_connections", static_cast<int>(many));
  EXPECT_EQ(idle.back()->ask("GET", key).body, "value") << "the last of them is served, too";
  served.server->drain(10s);
  EXPECT_EQ(served.server->connections(), 0u) << "they end when the server does";
}

TEST(Load, OneConnectionTooManyIsToldToComeAgain) {
  HttpOptions options;
  options.connections_max = 2;
  Served served(std::move(options));
  Client first(served.server->address());
  EXPECT_EQ(first.ask("GET", "/health").status, 200);
  {
    Client second(served.server->address());
    EXPECT_EQ(second.ask("GET", "/health").status, 200);
    Client third(served.server->address());
    const Got got = third.receive();
    EXPECT_EQ(got.status, 503);
    EXPECT_EQ(got.header("retry-after"), "1");
  }
  for (int i = 0; i < 1000 && served.server->connections() > 1; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(served.ask("GET", "/health").status, 200);
}

TEST(Load, ADrainAnswersWhatWasBegunAndNothingElse) {
  Served served;
  Client begun(served.server->address()), idle(served.server->address());
  EXPECT_EQ(idle.ask("GET", "/health").status, 200);
  begun.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nva");
  for (int i = 0; i < 1000 && served.server->connections() < 2; ++i) std::this_thread::sleep_for(5ms);
  std::this_thread::sleep_for(100ms);  // so that its header has been read
  std::jthread ending([&] { served.server->drain(30s); });
  EXPECT_TRUE(idle.is_closed());
  begun.send("lue");
  const Got got = begun.receive();
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.header("connection"), "close");
  EXPECT_TRUE(begun.is_closed());
  ending.join();
  EXPECT_EQ(served.server->connections(), 0u);
  const auto entry = must(cache::EntryStore(*served.store.cache).find({.door = "gradle", .key = std::string(32, 'a')}));
  EXPECT_TRUE(entry);
}

TEST(Load, AnEndInTheMiddleOfTransfersLeavesTheStoreWhole) {
  Served served;
  const std::string bytes(50'000'000, 'x');  // more than sockets hold
  EXPECT_EQ(served.ask("PUT", cas_path(bytes), bytes).status, 200);
  Client reading(served.server->address()), writing(served.server->address());
  reading.send(request_text("GET", cas_path(bytes)));  // and never read
  writing.send("PUT " + key + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n" + std::string(1'000'000, 'y'));
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
  EXPECT_FALSE(reading.receive().whole);
  EXPECT_EQ(writing.receive().status, 0);
}

TEST(Load, MixedClientsWhilePrunesTakeWhatTheyCan) {
  Served served;
  std::atomic<bool> end{false};
  std::atomic<std::uint64_t> hits{0}, wrong{0}, refused{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      Client client(served.server->address());
      for (int n = t; !end; ++n) {
        const int what = n / 3 % 20;  // put, and asked for twice
        const std::string path = fmt::format("/ccache/{:08}", what),
                          value(1 + static_cast<std::size_t>(what) * 8000, static_cast<char>('a' + what));
        if (n % 3 == 0) {
          if (client.ask("PUT", path, value).status != 200) ++refused;
          continue;
        }
        const Got got = client.ask("GET", path);
        if (got.status == 200) ++hits;
        if (got.status == 200 ? got.body != value : got.status != 404) ++wrong;
      }
    });
  threads.emplace_back([&] {
    for (; !end; std::this_thread::sleep_for(5ms)) cache::must(served.store.cache->prune({.all = true}));
  });
  std::this_thread::sleep_for(3s);
  end = true;
  threads.clear();
  EXPECT_GT(hits.load(), 0u);
  EXPECT_EQ(wrong.load(), 0u);
  EXPECT_EQ(refused.load(), 0u);
  EXPECT_EQ(served.findings(), std::vector<std::string>());
}

}  // namespace
}  // namespace cairn::serve
