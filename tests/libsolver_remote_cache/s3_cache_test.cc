// SPDX-License-Identifier: Apache-2.0
// Caches in buckets, against tests/support/s3_double.py, which verifies signatures and conditions by code of its own
// and can be sick, and against s3rver, which takes conditions and does not look at them.
#include <thread>

#include <nlohmann/json.hpp>

#include "libremote/buckets.h"
#include "tests/libremote/s3_double.h"
#include "tests/libremote/s3rver.h"
#include "tests/libsolver_remote_cache/remote_cache_fixture.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

CacheAddress address_at(const std::string& endpoint, const std::string& key, const std::string& secret,
                        const CacheAttributes& more = {}) {
  CacheAttributes attributes = more;
  attributes.merge(CacheAttributes{{"type", "s3"},
                                   {"bucket", "cache"},
                                   {"region", "us-east-1"},
                                   {"endpoint_url", endpoint},
                                   {"use_path_style", "true"},
                                   {"access_key_id", key},
                                   {"secret_access_key", secret}});
  return must(parse_cache_import(attributes));
}

class S3CacheTest : public testing::Test {
 protected:
  CacheAddress address(const CacheAttributes& more = {}) {
    return address_at(server.options.endpoint, server.options.access_key_id, server.options.secret_access_key, more);
  }
  Machine machine() { return Machine(nullptr, buckets.get()); }
  // What is asked while `work` runs.
  std::size_t requests(const std::function<void()>& work) {
    const std::size_t before = server.log().size();
    work();
    return server.log().size() - before;
  }
  json document(const std::string& name) {
    const auto bucket = must(buckets->open(address().s3.bucket, address().s3.credentials));
    const auto object = must(bucket->read(name, 1 << 20, {}));
    EXPECT_TRUE(object) << name;
    return object ? json::parse(object->bytes) : json();
  }

  remote::Double server;
  std::unique_ptr<cache::Fetcher> fetcher = remote::make_http_fetcher({});
  RecordingFetcher recorder{fetcher};
  base::SystemClock clock;
  std::unique_ptr<cache::Buckets> buckets = remote::make_buckets(
      recorder, clock, {.tries = 3, .pause = std::chrono::milliseconds(10), .request_time = std::chrono::seconds(20)});
};

TEST_F(S3CacheTest, WhatOneStorePutsAnotherFinds) {
  Machine here = machine(), there = machine();
  here.solve(Machine::chain("a", 3));
  const CacheExported exported = must(here.export_to(address()));
  EXPECT_EQ(exported.new_blobs, 4u);
  EXPECT_EQ(there.solve(Machine::chain("a", 3), {address()}), 0);
  EXPECT_EQ(server.count("GET", "/blobs/"), 0) << "a hit transfers no layer";
  EXPECT_EQ(must(there.content("a/2")), "a 2");
  EXPECT_EQ(server.count("GET", "/blobs/"), 4);
}

TEST_F(S3CacheTest, ObjectsLieWhereBuildKitLooksForThem) {
  Machine here = machine();
  here.solve(Machine::chain("a", 1));
  must(here.export_to(
      address({{"prefix", "ci/"}, {"manifests_prefix", "m-"}, {"blobs_prefix", "b-"}, {"name", "main"}})));
  EXPECT_EQ(server.names("/m-").size(), 1u);
  const json cache = document("ci/m-main");
  for (const json& layer : cache.at("layers")) {
    const json& notes = layer.at("annotations");
    EXPECT_EQ(notes.at("mediaType"), "application/vnd.oci.image.layer.v1.tar+gzip");
    EXPECT_TRUE(std::string(notes.at("diffID")).starts_with("sha256:"));
    EXPECT_EQ(notes.at("createdAt"), "0001-01-01T00:00:00Z");
    EXPECT_GT(notes.at("size"), 0);
    const std::string blob = layer.at("blob");
    EXPECT_EQ(server.names("cache/ci/b-" + blob).size(), 1u) << blob;
  }
  EXPECT_EQ(cache.at("layers").size(), 2u);
  EXPECT_EQ(cache.at("records").size(), 2u);
}

TEST_F(S3CacheTest, NothingNewTakesOneRoundTrip) {
  Machine here = machine(), there = machine();
  here.solve(Machine::chain("a", 3));
  must(here.export_to(address()));
  there.solve(Machine::chain("a", 3), {address()});
  for (Machine* machine : {&here, &there}) {
    EXPECT_EQ(requests([&] { EXPECT_EQ(must(machine->export_to(address())).new_blobs, 0u); }), 1u);
  }
}

TEST_F(S3CacheTest, OnlyWhatIsMissingIsUploaded) {
  Machine here = machine();
  here.solve(Machine::chain("a", 3));
  must(here.export_to(address()));
  here.solve(Machine::chain("a", 5));
  const CacheExported more = must(here.export_to(address()));
  EXPECT_EQ(more.new_blobs, 2u);
  EXPECT_EQ(more.layers, 6u);
}

TEST_F(S3CacheTest, TheKeysOfIntermediateStepsTravelWithoutTheirLayers) {
  expect_that_keys_travel_without_their_layers(address(), [&] { return machine(); });
}

TEST_F(S3CacheTest, ThirtyTwoAtATimeLoseNothing) {
  constexpr int machines = 32;
  std::vector<std::unique_ptr<Machine>> all;
  for (int i = 0; i < machines; ++i) {
    all.push_back(std::make_unique<Machine>(nullptr, buckets.get()));
    all.back()->solve(Machine::chain(fmt::format("m{}", i), 1));
  }
  {
    std::vector<std::jthread> threads;
    for (const auto& machine : all) threads.emplace_back([&] { must(machine->export_to(address())); });
  }
  int refused = 0;
  for (const json& entry : server.log()) refused += entry["status"] == 412;
  EXPECT_GT(refused, 1) << "they have met";
  Machine last = machine();
  for (int i = 0; i < machines; ++i)
    EXPECT_EQ(last.solve(Machine::chain(fmt::format("m{}", i), 1), {address()}), 0) << i;
  EXPECT_EQ(requests([&] { must(all.front()->export_to(address())); }), 1u) << "and what there is, is there once";
}

// Each of them writes between the other's reading and writing.
TEST_F(S3CacheTest, WhereTheServerKnowsNoConditionTheyLookAgain) {
  server.sick({{"mode", "no_conditions"}});
  std::vector<std::unique_ptr<Machine>> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(std::make_unique<Machine>(nullptr, buckets.get()));
    all.back()->solve(Machine::chain(fmt::format("m{}", i), 1));
  }
  {
    std::vector<std::jthread> threads;
    for (const auto& machine : all) threads.emplace_back([&] { must(machine->export_to(address())); });
  }
  Machine last = machine();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(last.solve(Machine::chain(fmt::format("m{}", i), 1), {address()}), 0) << i;
}

TEST_F(S3CacheTest, AllNamesAreWrittenAndTheFirstIsRead) {
  Machine here = machine(), there = machine();
  here.solve(Machine::chain("a", 1));
  must(here.export_to(address({{"name", "main"}})));
  here.solve(Machine::chain("b", 1));
  must(here.export_to(address({{"name", "branch;main"}})));
  EXPECT_EQ(there.solve(Machine::chain("a", 1), {address({{"name", "branch;main"}})}), 2);
  EXPECT_EQ(there.solve(Machine::chain("b", 1), {address({{"name", "main"}})}), 0);
  EXPECT_EQ(document("manifests/main").at("records").size(), 4u);
  EXPECT_EQ(document("manifests/branch").at("records").size(), 2u);
}

TEST_F(S3CacheTest, WhatIsOldIsRenewedAndWhatTheBucketHasDeletedIsPutAgain) {
  Machine here = machine(), there = machine();
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  server.age(std::chrono::hours(25));
  const std::string gone = server.names("/blobs/").front();
  server.objects({{gone, nullptr}});
  EXPECT_EQ(must(here.export_to(address())).new_blobs, 1u);
  int copies = 0;
  for (const json& entry : server.log()) copies += entry["headers"].contains("x-amz-copy-source");
  EXPECT_EQ(copies, 2);
  EXPECT_EQ(requests([&] { must(here.export_to(address())); }), 1u) << "all of it is new again";
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 0);
  EXPECT_EQ(must(there.content("a/1")), "a 1");
}

TEST_F(S3CacheTest, ALayerThatIsGoneIsAMiss) {
  Machine here = machine(), there = machine();
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  for (const std::string& name : server.names("/blobs/")) server.objects({{name, nullptr}});
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 3);
}

TEST_F(S3CacheTest, OtherBytesThanTheDigestSaysAreNeverATree) {
  Machine here = machine(), there = machine();
  here.solve(Machine::chain("a", 2));
  must(here.export_to(address()));
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address()}), 0);
  server.sick({{"mode", "wrong"}});
  const auto read = there.content("a/1");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::corrupt) << read.error().message;
}

TEST_F(S3CacheTest, WhatIsNoCacheIsNoneAndIsWrittenOver) {
  const std::string digest = "sha256:" + std::string(64, '0');
  const std::string circle = fmt::format(R"({{"records":[{{"digest":"{}","inputs":[[{{"link":0}}]]}}]}})", digest);
  const std::string missing = fmt::format(R"({{"records":[{{"digest":"{}","inputs":[[{{"link":7}}]]}}]}})", digest);
  Machine here = machine();
  here.solve(Machine::chain("a", 1));
  for (const std::string& text : {std::string("{"), std::string("[]"), circle, missing}) {
    server.objects({{"cache/manifests/buildkit", text}});
    Machine there = machine();
    EXPECT_EQ(there.solve(Machine::chain("a", 1), {address()}), 2) << text;
    EXPECT_FALSE(there.import_error.empty()) << text;
    must(here.export_to(address()));
    Machine third = machine();
    EXPECT_EQ(third.solve(Machine::chain("a", 1), {address()}), 0) << text;
  }
}

TEST_F(S3CacheTest, ASickBucketStopsNoBuildAndTakesBoundedTime) {
  const auto impatient = remote::make_buckets(
      recorder, clock, {.tries = 2, .pause = std::chrono::milliseconds(1), .request_time = std::chrono::seconds(1)});
  Machine here = machine();
  here.solve(Machine::chain("a", 1));
  must(here.export_to(address()));
  for (const json& sick :
       {json{{"mode", "silent"}}, json{{"mode", "status"}, {"status", 503}, {"code", "SlowDown"}},
        json{{"mode", "status"}, {"status", 500}}, json{{"mode", "status"}, {"status", 403}, {"code", "AccessDenied"}},
        json{{"mode", "cut"}}, json{{"mode", "wrong"}}, json{{"mode", "drip"}}, json{{"mode", "longer"}},
        json{{"mode", "redirect"}, {"to", "http://127.0.0.1:1/"}}}) {
    server.sick(sick);
    Machine there(nullptr, impatient.get());
    const auto begin = std::chrono::steady_clock::now();
    const int ran = there.solve(Machine::chain("a", 1), {address()});
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << sick;
    EXPECT_EQ(ran, 2) << sick;
    EXPECT_THAT(there.import_error, HasSubstr("s3://cache")) << sick;
    EXPECT_THAT(there.import_error, Not(HasSubstr("secret/+key"))) << sick;
    // Where there is something else than a cache, it is written over.
    const bool is_answered = sick["mode"] == "wrong" || sick["mode"] == "longer";
    EXPECT_EQ(there.export_to(address()).has_value(), is_answered) << sick;
  }
}

TEST_F(S3CacheTest, WithoutTheRightKeyThereIsAnError) {
  Machine here = machine();
  here.solve(Machine::chain("a", 1));
  const auto refused = here.export_to(address_at(server.options.endpoint, server.options.access_key_id, "another"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable) << refused.error().message;
  EXPECT_THAT(refused.error().message, HasSubstr("SignatureDoesNotMatch"));
  // Those of secrets are for addresses that name none.
  CacheAddress unnamed = address();
  unnamed.s3.credentials = {};
  EXPECT_TRUE(
      here.export_to(unnamed, ExportOptions::Mode::max,
                     cache_credentials(unnamed, {{"AWS_ACCESS_KEY_ID", server.options.access_key_id},
                                                 {"AWS_SECRET_ACCESS_KEY", server.options.secret_access_key + "\n"}}, {})));
}

TEST(S3rverCacheTest, ServesCachesLikeAnyOther) {
  ::setenv("no_proxy", "*", 1);
  const remote::StartedS3rver server;
  const auto fetcher = remote::make_http_fetcher({});
  const base::SystemClock clock;
  const auto buckets = remote::make_buckets(*fetcher, clock);
  const CacheAddress address =
      address_at("http://127.0.0.1:" + server.server.said(), remote::s3rver_key, remote::s3rver_key);
  Machine one(nullptr, buckets.get()), two(nullptr, buckets.get()), there(nullptr, buckets.get());
  one.solve(Machine::chain("a", 2));
  two.solve(Machine::chain("b", 2));
  {
    std::vector<std::jthread> threads;
    for (Machine* each : {&one, &two}) threads.emplace_back([&, each] { must(each->export_to(address)); });
  }
  EXPECT_EQ(there.solve(Machine::chain("a", 2), {address}), 0) << there.import_error;
  EXPECT_EQ(there.solve(Machine::chain("b", 2), {address}), 0) << there.import_error;
  EXPECT_EQ(must(there.content("b/1")), "b 1");
  EXPECT_EQ(must(one.export_to(address)).new_blobs, 0u);
}

}  // namespace
}  // namespace cairn::solver
