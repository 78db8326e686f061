// SPDX-License-Identifier: Apache-2.0
// Doors on a store with a tier under it: what is only there is served as if it were here, and a sick one is a miss.
#include <gmock/gmock.h>

#include <thread>

#include "tests/libserve/action_results.h"
#include "tests/libserve/http_client.h"
#include "tests/libserve/resp_client.h"
#include "tests/support/tier_double.h"

namespace cairn::serve {
namespace {

using test::Shelf;
using test::Sickness;

const std::string hex64(64, 'a');
std::string entry_path(int number) { return fmt::format("/gradle/{:032x}", number); }

// A store with doors of its own on a shelf that others share.
struct ServedBelow {
  explicit ServedBelow(const std::shared_ptr<Shelf>& shelf, cache::TiersOptions options = {}) {
    std::vector<cache::TierSettings> settings;
    settings.push_back({std::make_unique<test::TierDouble>("double", shelf, clock)});
    tiers = std::make_unique<cache::Tiers>(*store.cache, std::move(settings), clock, std::move(options));
    HttpOptions of_http;
    of_http.address = "127.0.0.1:0";
    of_http.tiers = tiers.get();
    http = cache::must(HttpServer::start(*store.cache, std::move(of_http)));
    RespOptions of_resp;
    of_resp.address = "127.0.0.1:0";
    of_resp.tiers = tiers.get();
    resp = cache::must(RespServer::start(*store.cache, clock, std::move(of_resp)));
  }
  Got ask(const std::string& method, const std::string& target, std::string_view body = {}) {
    return Client(http->address()).ask(method, target, body);
  }
  std::size_t drain() { return tiers->drain(clock.steady_now() + std::chrono::seconds(60)); }

  base::SystemClock clock;
  cache::OpenStore store;
  std::unique_ptr<cache::Tiers> tiers;
  std::unique_ptr<HttpServer> http;
  std::unique_ptr<RespServer> resp;
};

TEST(DoorsOnTiers, WhatOneStoreWasGivenAnotherServes) {
  const auto shelf = std::make_shared<Shelf>();
  const std::string output(100'000, 'o'), in_tree = "a file",
                                          tree = proto::field(1, proto::directory_with("x", in_tree));
  const std::string result = proto::output_file("a.o", output) + proto::output_directory("d", tree);
  {
    ServedBelow first(shelf);
    for (const std::string& bytes : {output, in_tree, tree})
      EXPECT_EQ(first.ask("PUT", cas_path(bytes), bytes).status, 200);
    EXPECT_EQ(first.ask("PUT", "/ac/" + hex64, result).status, 200);
    EXPECT_EQ(first.ask("PUT", entry_path(1), "an object").status, 200);
    EXPECT_EQ(first.drain(), 0u);
  }
  // Its own word of what the result needs is not what makes it complete.
  for (auto& [key, entry] : shelf->entries) entry.closure.reset();
  ServedBelow second(shelf);
  EXPECT_EQ(second.ask("GET", cas_path(output)).status, 404) << "it is not here yet";
  const Got got = second.ask("GET", "/ac/" + hex64);
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, result);
  for (const std::string& bytes : {output, in_tree, tree}) EXPECT_EQ(second.ask("GET", cas_path(bytes)).body, bytes);
  EXPECT_EQ(second.ask("GET", entry_path(1)).body, "an object");
  EXPECT_EQ(second.ask("GET", entry_path(2)).status, 404);
  EXPECT_EQ(shelf->lookups, 3u);
  EXPECT_EQ(second.ask("GET", "/ac/" + hex64).status, 200);
  EXPECT_EQ(shelf->lookups, 3u) << "what is here is not asked for elsewhere";
  EXPECT_THAT(second.ask("GET", "/metrics").body, ::testing::HasSubstr("cairn_tier_hits_total{tier=\"double\"} 2\n"));
}

TEST(DoorsOnTiers, AResultWithoutOneOfItsBlobsIsAMiss) {
  const auto shelf = std::make_shared<Shelf>();
  const cache::EntryName name{.door = "bazel", .key = hex64};
  shelf->entries[key_of(name)] = {.value = proto::output_file("a.o", "lost"),
                                  .closure = std::vector<cache::SizedBlob>()};
  ServedBelow served(shelf);
  EXPECT_EQ(served.ask("GET", "/ac/" + hex64).status, 404);
  EXPECT_EQ(served.ask("GET", "/metrics").status, 200);
}

TEST(DoorsOnTiers, SpeakRedisProtocolToo) {
  const auto shelf = std::make_shared<Shelf>();
  ServedBelow first(shelf), second(shelf);
  RespClient writer(first.resp->address()), reader(second.resp->address());
  EXPECT_EQ(writer.ask({"SET", "key", "value"}), "+OK");
  EXPECT_EQ(first.drain(), 0u);
  EXPECT_EQ(reader.ask({"GET", "key"}), "$value");
  EXPECT_EQ(reader.ask({"GET", "nothing"}), "nil");
  EXPECT_EQ(reader.ask({"PING"}), "+PONG");
}

TEST(DoorsOnTiers, ASickOneIsAMissAndAPutIsAPut) {
  for (const Sickness sickness : {Sickness::black_hole, Sickness::io, Sickness::busy, Sickness::unavailable}) {
    const auto shelf = std::make_shared<Shelf>();
    shelf->sickness = sickness;
    ServedBelow served(shelf, {.lookup_time = std::chrono::milliseconds(100)});
    EXPECT_EQ(served.ask("GET", entry_path(1)).status, 404);
    EXPECT_EQ(served.ask("PUT", entry_path(1), "an object").status, 200);
    EXPECT_EQ(served.ask("GET", entry_path(1)).body, "an object");
    EXPECT_EQ(served.ask("GET", "/health").status, 200);
    RespClient client(served.resp->address());
    EXPECT_EQ(client.ask({"GET", "key"}), "nil");
    EXPECT_EQ(client.ask({"SET", "key", "value"}), "+OK");
    EXPECT_EQ(client.ask({"GET", "key"}), "$value");
  }
}

// Lookups that wait for a tier take no thread from those that do not.
TEST(DoorsOnTiers, ManyWhoWaitKeepNobodyFromWork) {
  const auto shelf = std::make_shared<Shelf>();
  shelf->sickness = Sickness::black_hole;
  ServedBelow served(shelf, {.lookup_time = std::chrono::seconds(60)});
  std::vector<std::unique_ptr<Client>> waiting;
  for (int i = 0; i < 200; ++i) {
    waiting.push_back(std::make_unique<Client>(served.http->address()));
    waiting.back()->send(request_text("GET", entry_path(i)));
  }
  while (shelf->hanging == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (int i = 0; i < 20; ++i) {
    const std::string path = entry_path(1000 + i);
    EXPECT_EQ(served.ask("PUT", path, "an object").status, 200);
    EXPECT_EQ(served.ask("GET", path).body, "an object");
  }
  EXPECT_GT(shelf->hanging, 0) << "and they still wait";
  shelf->sickness = Sickness::none;
  for (const auto& client : waiting) EXPECT_EQ(client->receive().status, 404);
}

}  // namespace
}  // namespace cairn::serve
