// SPDX-License-Identifier: Apache-2.0
// Caches in a real registry on the loopback: what goes over the wire, and that nobody's export is lost.
#include <atomic>
#include <thread>

#include "tests/libsolver_remote_cache/remote_cache_fixture.h"
#include "tests/support/registry_server.h"

namespace cairn::solver {
namespace {

using testing::HasSubstr;

class RegistryCacheTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "*", 1); }
  CacheAddress address(const std::string& repository = "team/cache", const std::string& tag = "main") const {
    return {
        .type = CacheAddress::Type::registry, .place = registry.host() + "/" + repository, .tag = tag, .digest = {}};
  }

  test::RegistryServer registry;
  std::unique_ptr<cache::Fetcher> fetcher = remote::make_http_fetcher({});
  RecordingFetcher recorder{fetcher};
  std::unique_ptr<cache::Registries> registries = remote::make_registries(recorder, {.pause_max = std::chrono::milliseconds(500)});
};

TEST_F(RegistryCacheTest, WhatOneStorePushesAnotherFinds) {
  Machine here(registries.get()), there(registries.get());
  here.solve(Machine::chain("a", 3));
  const CacheExported exported = must(here.export_to(address()));
  EXPECT_EQ(exported.new_blobs, 4u + 1u);
  const std::size_t layers_before = recorder.count("GET", "/blobs/");
  EXPECT_EQ(there.solve(Machine::chain("a", 3), {address()}), 0);
  EXPECT_EQ(recorder.count("GET", "/blobs/") - layers_before, 1u) << "the config, and no layer";
  EXPECT_EQ(must(there.content("a/2")), "a 2");
}

TEST_F(RegistryCacheTest, NothingNewTakesTwoRoundTrips) {
  Machine here(registries.get()), there(registries.get());
  here.solve(Machine::chain("a", 3));
  must(here.export_to(address()));
  there.solve(Machine::chain("a", 3), {address()});
  for (Machine* machine : {&here, &there}) {
    const std::size_t before = recorder.count("", "");
    const CacheExported exported = must(machine->export_to(address()));
    EXPECT_EQ(exported.new_blobs, 0u);
    EXPECT_LE(recorder.count("", "") - before, 2u);
  }
}

TEST_F(RegistryCacheTest, OnlyWhatIsMissingIsUploaded) {
  Machine here(registries.get());
  here.solve(Machine::chain("a", 3));
  must(here.export_to(address()));
  here.solve(Machine::chain("a", 5));
  const CacheExported more = must(here.export_to(address()));
  EXPECT_EQ(more.new_blobs, 2u + 1u);
  EXPECT_EQ(more.layers, 6u);
}

TEST_F(RegistryCacheTest, TheKeysOfIntermediateStepsTravelWithoutTheirLayers) {
  expect_that_keys_travel_without_their_layers(address(), [&] { return Machine(registries.get()); });
}

TEST_F(RegistryCacheTest, LayersAreTakenOverFromAnotherRepositoryOfTheRegistry) {
  Machine here(registries.get()), there(registries.get());
  here.solve(Machine::chain("a", 3));
  must(here.export_to(address()));
  there.solve(Machine::chain("a", 3), {address()});
  const std::size_t bodies = recorder.count("PUT", "/blobs/uploads/");
  const CacheExported exported = must(there.export_to(address("team/other")));
  EXPECT_EQ(exported.new_blobs, 1u) << "the config";
  EXPECT_EQ(recorder.count("PUT", "/blobs/uploads/") - bodies, 1u);
  EXPECT_EQ(recorder.count("POST", "mount="), 4u);
  Machine third(registries.get());
  EXPECT_EQ(third.solve(Machine::chain("a", 3), {address("team/other")}), 0);
  EXPECT_EQ(must(third.content("a/2")), "a 2");
}

TEST_F(RegistryCacheTest, ThirtyTwoAtATimeLoseNothing) {
  constexpr int machines = 32;
  std::vector<std::unique_ptr<Machine>> all;
  for (int i = 0; i < machines; ++i) {
    all.push_back(std::make_unique<Machine>(registries.get()));
    all.back()->solve(Machine::chain(fmt::format("m{}", i), 1));
  }
  {
    std::vector<std::jthread> threads;
    for (const auto& machine : all) threads.emplace_back([&] { must(machine->export_to(address())); });
  }
  Machine last(registries.get());
  for (int i = 0; i < machines; ++i)
    EXPECT_EQ(last.solve(Machine::chain(fmt::format("m{}", i), 1), {address()}), 0) << i;
}

TEST_F(RegistryCacheTest, CredentialsAreGivenWhereTheyAreAskedFor) {
  const test::RegistryServer closed(test::RegistryServer::Access::basic);
  const CacheAddress there_is{
      .type = CacheAddress::Type::registry, .place = closed.host() + "/team/cache", .tag = "main", .digest = {}};
  Machine here(registries.get()), there(registries.get());
  here.solve(Machine::chain("a", 2));
  const auto refused = here.export_to(there_is);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::ErrorCode::unavailable) << refused.error().message;
  must(here.export_to(there_is, ExportOptions::Mode::max, test::RegistryServer::credentials));
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {there_is}), 3);
  EXPECT_THAT(there.import_error, HasSubstr("refuses"));
  Machine third(registries.get());
  EXPECT_EQ(third.solve(Machine::chain("a", 2), {there_is}, test::RegistryServer::credentials), 0);
}

// Requests of a method to which nobody answers.
class SilentFetcher final : public cache::Fetcher {
 public:
  SilentFetcher(cache::Fetcher& fetcher, cache::FetchRequest::Method method) : fetcher_(fetcher), method_(method) {}
  base::Result<cache::FetchAnswer> fetch(const cache::FetchRequest& request, std::stop_token stop) override {
    if (request.method != method_) return fetcher_.fetch(request, stop);
    ++unanswered;
    while (!stop.stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return base::fail(base::ErrorCode::cancelled, "stopped");
  }
  std::atomic<int> unanswered{0};

 private:
  cache::Fetcher& fetcher_;
  const cache::FetchRequest::Method method_;
};

TEST_F(RegistryCacheTest, ARegistryThatKeepsSilentIsWaitedForOnce) {
  Machine here(registries.get());
  here.solve(Machine::chain("a", 3));
  must(here.export_to(address()));
  CacheAddress from = address();
  from.answer_max = std::chrono::milliseconds(300);
  SilentFetcher gets(recorder, cache::FetchRequest::Method::get), heads(recorder, cache::FetchRequest::Method::head);
  {
    const auto silent = remote::make_registries(gets, {});
    Machine there(silent.get());
    EXPECT_EQ(there.solve(Machine::chain("a", 3), {from}), 4);
    EXPECT_THAT(there.import_error, HasSubstr("no answer within 0.3 seconds"));
    EXPECT_EQ(gets.unanswered, 1);
  }
  // It gives the cache, and then says of no layer whether it is there.
  const auto silent = remote::make_registries(heads, {});
  Machine there(silent.get());
  EXPECT_EQ(there.solve(Machine::chain("a", 3), {from}), 4);
  EXPECT_EQ(there.import_error, "");
  EXPECT_EQ(heads.unanswered, 1) << "one answer is waited for, and no other";
  EXPECT_EQ(must(there.content("a/2")), "a 2");
}

TEST_F(RegistryCacheTest, ALayerThatTheRegistryLosesAfterTheHitIsMadeAgain) {
  Machine here(registries.get()), there(registries.get());
  here.solve(Machine::chain("a", 2));
  CacheAddress gone = address();
  {
    const test::RegistryServer short_lived;
    gone.place = short_lived.host() + "/team/cache";
    must(here.export_to(gone));
    EXPECT_EQ(there.solve(Machine::chain("a", 2), {gone}), 0);
  }
  EXPECT_EQ(there.solve(Machine::chain("a", 3)), 4);
  EXPECT_EQ(there.outcome.warnings.size(), 1u);
  EXPECT_EQ(must(there.content("a/1")), "a 1");
}

TEST_F(RegistryCacheTest, ARegistryThatIsGoneStopsNoBuild) {
  CacheAddress gone = address();
  {
    const test::RegistryServer short_lived;
    gone.place = short_lived.host() + "/team/cache";
  }
  const auto impatient = remote::make_registries(recorder, {.tries = 1});
  Machine there(impatient.get());
  EXPECT_EQ(there.solve(Machine::chain("a", 1), {gone}), 2);
  EXPECT_THAT(there.import_error, HasSubstr("team/cache"));
}

}  // namespace
}  // namespace cairn::solver
