// SPDX-License-Identifier: Apache-2.0
// The tier on S3 against two servers: tests/support/s3_double.py, which is strict and can be sick, and s3rver.
#include "libremote/s3_tier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <nlohmann/json.hpp>

#include "libremote/entries/tier_entry.h"
#include "libremote/http_fetcher.h"
#include "libremote/s3/s3_client.h"
#include "tests/conformance/remote_tier_suite.h"
#include "tests/libremote/s3_double.h"
#include "tests/libremote/s3rver.h"
#include "tests/support/http_server.h"
#include "tests/support/shifted_clock.h"

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
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class S3rver final : public cache::TierUnderTest {
 public:
  S3rver() { ::setenv("no_proxy", "*", 1); }
  std::unique_ptr<RemoteTier> open() override {
    S3Options options = options_for(started_.server.said());
    options.access_key_id = options.secret_access_key = s3rver_key;
    return std::move(make_s3_tier(*fetcher_, system_clock, options).value());
  }

 private:
  StartedS3rver started_;
  std::unique_ptr<cache::Fetcher> fetcher_ = make_http_fetcher();
};

class DoubleOfKind {
 public:
  static std::unique_ptr<cache::TierUnderTest> at_virtual_host() {
    auto made = std::make_unique<Double>();
    made->options.addressing = S3Options::Addressing::virtual_host;
    made->options.endpoint.replace(made->options.endpoint.find("127.0.0.1"), 9, "localhost");
    return made;
  }
  static std::unique_ptr<cache::TierUnderTest> with_token() {
    auto made = std::make_unique<Double>(std::vector<std::string>{"--token", "session/token=="});
    made->options.session_token = "session/token==";
    return made;
  }
  static std::unique_ptr<cache::TierUnderTest> without_prefix() {
    auto made = std::make_unique<Double>(std::vector<std::string>{"--region", "eu-north-1"});
    made->options.prefix = "";
    made->options.region = "eu-north-1";
    return made;
  }
  static std::unique_ptr<cache::TierUnderTest> without_conditions() {
    auto made = std::make_unique<Double>();
    made->sick({{"mode", "no_conditions"}});
    return made;
  }
};

}  // namespace
}  // namespace cairn::remote

namespace cairn::cache {
namespace {
using remote::DoubleOfKind;
INSTANTIATE_TEST_SUITE_P(tiers, RemoteTierSuite,
                         ::testing::Values(WayToMakeATier{"s3_double",
                                                          [] { return std::make_unique<remote::Double>(); }},
                                           WayToMakeATier{"s3_virtual_host", DoubleOfKind::at_virtual_host},
                                           WayToMakeATier{"s3_session_token", DoubleOfKind::with_token},
                                           WayToMakeATier{"s3_region_without_prefix", DoubleOfKind::without_prefix},
                                           WayToMakeATier{"s3_without_conditions", DoubleOfKind::without_conditions},
                                           WayToMakeATier{"s3rver", [] { return std::make_unique<remote::S3rver>(); }}),
                         [](const auto& way) { return way.param.name; });
}  // namespace
}  // namespace cairn::cache

namespace cairn::remote {
namespace {

// A character for each byte, which the double makes bytes of again.
std::string text_of(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) text += static_cast<char>(0xc0 | byte >> 6);
    text += static_cast<char>(byte < 0x80 ? byte : 0x80 | (byte & 0x3f));
  }
  return text;
}

class S3Tier : public testing::Test {
 protected:
  void expect_all(ErrorCode code, const std::string& part, std::chrono::milliseconds time = std::chrono::seconds(30)) {
    cache::expect_all(*tier, name, code, part, code == ErrorCode::io ? "" : "status", time);
  }
  std::string object(const std::string& kind, const std::string& hex) {
    return "cache/team/one/" + kind + "/sha256/" + hex.substr(0, 2) + "/" + hex;
  }

  // Without packs, which are tested in s3_packs_test.cc.
  std::unique_ptr<RemoteTier> open_unpacked(S3Options options) {
    options.pack_below = 0;
    return server.open_with(options);
  }

  Double server;
  std::unique_ptr<RemoteTier> tier = open_unpacked(server.options);
  const EntryName name{.door = "ccache", .key = "key"};
};

TEST_F(S3Tier, ObjectsLieWhereTheDocumentSays) {
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  ASSERT_TRUE(tier->put_entry(name, {.value = "value"}, patient_call()));
  EXPECT_EQ(tier->name(), "s3://cache/team/one");
  const json log = server.log();
  ASSERT_EQ(log.size(), 3u);
  EXPECT_EQ(log[0]["path"], "/cache/team/one/cairn");
  EXPECT_EQ(log[1]["path"], "/" + object("blobs", sized("bytes").digest.hex()));
  EXPECT_EQ(log[1]["headers"]["content-length"], "5");
  EXPECT_EQ(log[1]["headers"]["if-none-match"], "*");
  EXPECT_EQ(log[1]["headers"]["x-amz-content-sha256"], sized("bytes").digest.hex());
  EXPECT_EQ(log[2]["path"], "/" + object("entries", key_of(name).hex()));
  EXPECT_FALSE(log[2]["headers"].contains("if-none-match"));
}

TEST_F(S3Tier, OnePutOfABlobThatIsThereIsAnsweredByTheCondition) {
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  const json log = server.log();
  ASSERT_EQ(log.size(), 3u);
  EXPECT_EQ(log[2]["status"], 412);
}

TEST_F(S3Tier, AServerWithoutConditionsIsAskedOnceOnly) {
  server.sick({{"mode", "no_conditions"}});
  ASSERT_TRUE(cache::put(*tier, "one"));
  ASSERT_TRUE(cache::put(*tier, "two"));
  const json log = server.log();
  ASSERT_EQ(log.size(), 3u);
  EXPECT_EQ(log[0]["status"], 501);
  EXPECT_EQ(log[1]["status"], 200);
  EXPECT_FALSE(log[1]["headers"].contains("if-none-match"));
}

TEST_F(S3Tier, BytesThatAreNotTheDigestAreRefusedByTheServer) {
  test::BytesSource other("other");
  expect_error(tier->put_blob({sized("bytes").digest, 5}, other, patient_call()), ErrorCode::io,
               "XAmzContentSHA256Mismatch");
  EXPECT_EQ(cache::get(*tier, sized("bytes")), "none");
}

TEST_F(S3Tier, CredentialsThatAreNotTaken) {
  S3Options wrong = server.options;
  wrong.secret_access_key = "secretless";
  tier = open_unpacked(wrong);
  expect_all(ErrorCode::unavailable, "SignatureDoesNotMatch");
  wrong = server.options;
  wrong.session_token = "unknown";
  tier = open_unpacked(wrong);
  expect_all(ErrorCode::unavailable, "InvalidToken");
  wrong = server.options;
  wrong.bucket = "nobodys";
  tier = open_unpacked(wrong);
  expect_error(tier->open_blob(sized("x"), patient_call()), ErrorCode::unavailable, "NoSuchBucket");
}

TEST_F(S3Tier, AClockThatIsWrongIsSaid) {
  server.sick({{"mode", "clock"}, {"seconds", 3600}});
  expect_all(ErrorCode::unavailable, "RequestTimeTooSkewed");
  EXPECT_EQ(tier->find_entry(name, patient_call()).error().hint, "set the clock of this machine");
}

TEST_F(S3Tier, AServerThatAsksForLessIsBusy) {
  server.sick({{"mode", "status"}, {"status", 503}, {"code", "SlowDown"}});
  expect_all(ErrorCode::busy, "SlowDown");
  server.sick({{"mode", "status"}, {"status", 429}, {"code", "TooManyRequests"}});
  expect_all(ErrorCode::busy, "status 429");
}

TEST_F(S3Tier, AServerThatBreaksIsAnError) {
  server.sick({{"mode", "status"}, {"status", 500}, {"code", "InternalError"}});
  expect_all(ErrorCode::io, "status 500, InternalError");
  server.sick({{"mode", "status"}, {"status", 502}, {"code", "<b>no code</b>"}});
  expect_all(ErrorCode::io, "status 502");
}

TEST_F(S3Tier, AServerThatNeverAnswersCostsTheTimeOfTheCall) {
  server.sick({{"mode", "silent"}});
  const auto begin = std::chrono::steady_clock::now();
  expect_all(ErrorCode::io, "not done in the time that there was", std::chrono::milliseconds(150));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(S3Tier, AStopEndsACall) {
  server.sick({{"mode", "silent"}});
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.request_stop();
  });
  expect_error(tier->find_entry(name, call_for(std::chrono::seconds(60), stop.get_token())), ErrorCode::cancelled,
               "s3://cache/team/one");
}

TEST_F(S3Tier, ASlowDripEndsWithTheCall) {
  const std::string bytes(2'000, 'x');
  ASSERT_TRUE(cache::put(*tier, bytes));
  server.sick({{"mode", "drip"}});
  expect_error(cache::get(*tier, sized(bytes), call_for(std::chrono::milliseconds(400))), ErrorCode::io,
               "not done in the time");
}

TEST_F(S3Tier, ABodyThatIsCutOrTooLongIsCorrupt) {
  ASSERT_TRUE(cache::put(*tier, "some bytes"));
  ASSERT_TRUE(tier->put_entry(name, {.value = "value"}, patient_call()));
  server.sick({{"mode", "cut"}});
  expect_error(cache::get(*tier, sized("some bytes")), ErrorCode::corrupt, "it ended too early");
  expect_error(tier->find_entry(name, patient_call()), ErrorCode::corrupt, "it ended too early");
  server.sick({{"mode", "longer"}});
  expect_error(cache::get(*tier, sized("some bytes")), ErrorCode::corrupt, "it has more bytes than it should have");
  expect_error(tier->find_entry(name, patient_call()), ErrorCode::corrupt, "checksum");
}

TEST_F(S3Tier, WrongBytesOfABlobAreGivenToWhoeverHashesThem) {
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  ASSERT_TRUE(tier->put_entry(name, {.value = "value"}, patient_call()));
  server.sick({{"mode", "wrong"}});
  EXPECT_EQ(cache::get(*tier, sized("bytes")), "byter");
  expect_error(tier->find_entry(name, patient_call()), ErrorCode::corrupt, "it does not have its checksum");
}

TEST_F(S3Tier, AnObjectOfAnotherSizeIsNotTheBlob) {
  server.objects({{object("blobs", sized("bytes").digest.hex()), "longer than that"}});
  const SizedBlob blob = sized("bytes");
  EXPECT_EQ(tier->has_blobs({&blob, 1}, patient_call()).value(), std::vector<bool>{false});
  expect_error(tier->open_blob(blob, patient_call()), ErrorCode::corrupt, "16 bytes");
}

TEST_F(S3Tier, AnEntryInThePlaceOfAnotherIsNotTaken) {
  const EntryName other{.door = "ccache", .key = "other"};
  const std::string bytes = encode_tier_entry(key_of(other), {.value = "value"}).value();
  const std::string place = object("entries", key_of(name).hex());
  server.objects({{place, text_of(bytes)}});
  expect_error(tier->find_entry(name, patient_call()), ErrorCode::corrupt, "it is another entry");
  server.objects({{place, "no entry at all, but it is long enough to be one"}});
  expect_error(tier->find_entry(name, patient_call()), ErrorCode::corrupt, "it begins as something else");
  server.objects({{place, ""}});
  expect_error(tier->find_entry(name, patient_call()), ErrorCode::corrupt, "only 0 bytes");
}

TEST_F(S3Tier, NothingGoesWhereAServerRedirects) {
  test::HttpServer elsewhere([](const test::HttpRequest&, test::HttpReply& reply) { reply.send(200, {}, "bytes"); });
  server.sick({{"mode", "redirect"}, {"to", elsewhere.url("/cache")}});
  expect_all(ErrorCode::unavailable, "status 307");
  EXPECT_TRUE(elsewhere.requests().empty());
  EXPECT_EQ(tier->find_entry(name, patient_call()).error().hint, "the bucket is in region eu-north-1");
}

TEST_F(S3Tier, AConflictOfTwoPutsIsBusy) {
  ASSERT_TRUE(cache::put(*tier, "first"));
  server.sick({{"mode", "busy_put"}});
  expect_error(cache::put(*tier, "bytes"), ErrorCode::busy, "ConditionalRequestConflict");
}

TEST_F(S3Tier, ConnectionsAreUsedAgain) {
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  EXPECT_EQ(cache::get(*tier, sized("bytes")), "bytes");
  EXPECT_EQ(cache::get(*tier, sized("none")), "none");
  EXPECT_FALSE(tier->find_entry(name, patient_call()).value());
  std::set<int> ports;
  for (const json& entry : server.log()) ports.insert(int(entry["port"]));
  EXPECT_EQ(ports.size(), 1u);
}

TEST_F(S3Tier, NobodyThere) {
  S3Options gone = server.options;
  {
    test::HttpServer ended([](const test::HttpRequest&, test::HttpReply&) {});
    gone.endpoint = ended.url("");
  }
  tier = open_unpacked(gone);
  expect_all(ErrorCode::io, "s3://cache/team/one: ");
}

TEST(S3Options, WhatCannotBe) {
  const auto fetcher = make_http_fetcher();
  const auto refused = [&](S3Options options) {
    const auto tier = make_s3_tier(*fetcher, system_clock, std::move(options));
    return tier ? "" : tier.error().code == ErrorCode::invalid_argument ? tier.error().message : "another error";
  };
  S3Options good = options_for("9000");
  EXPECT_EQ(refused(good), "");
  const auto with = [&](auto change) {
    S3Options options = good;
    change(options);
    return refused(options);
  };
  EXPECT_THAT(with([](S3Options& o) { o.bucket = "Cache/.."; }), HasSubstr("the name of a bucket"));
  for (const char* prefix : {"/a", "a/", "a//b", "..", "a/./b", "a b", "a%2f"}) {
    EXPECT_THAT(with([&](S3Options& o) { o.prefix = prefix; }), HasSubstr("a prefix")) << prefix;
  }
  for (const char* endpoint : {"ftp://host", "host:9000", "http://user:password@host", "http://host/path", "http://"}) {
    const std::string why = with([&](S3Options& o) { o.endpoint = endpoint; });
    EXPECT_THAT(why, HasSubstr("an endpoint")) << endpoint;
    EXPECT_THAT(why, Not(HasSubstr("password")));
  }
  EXPECT_THAT(with([](S3Options& o) { o.region = "eu north"; }), HasSubstr("a region"));
  EXPECT_THAT(with([](S3Options& o) { o.secret_access_key = ""; }), HasSubstr("there are no credentials"));
  EXPECT_EQ(with([](S3Options& o) { o.endpoint += "/"; }), "");
}

TEST(S3Options, TheEnvironmentFillsWhatIsEmpty) {
  const std::vector<const char*> names = {"AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
                                          "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};
  for (const char* each : names) ::setenv(each, (std::string("of ") + each).c_str(), 1);
  ::setenv("AWS_REGION", "", 1);  // as if it were not set
  const S3Options all = with_environment({.bucket = "cache"});
  const S3Options some = with_environment(options_for("9000"));
  for (const char* each : names) ::unsetenv(each);
  EXPECT_EQ(all.endpoint, "of AWS_ENDPOINT_URL");
  EXPECT_EQ(all.region, "of AWS_DEFAULT_REGION");
  EXPECT_EQ(all.access_key_id, "of AWS_ACCESS_KEY_ID");
  EXPECT_EQ(all.secret_access_key, "of AWS_SECRET_ACCESS_KEY");
  EXPECT_EQ(all.session_token, "of AWS_SESSION_TOKEN");
  EXPECT_EQ(some.endpoint, "http://127.0.0.1:9000");
  EXPECT_EQ(some.access_key_id, "AKIDEXAMPLE");
  EXPECT_EQ(some.session_token, "");  // another key's
}

TEST(S3ErrorCode, IsAWordOrNothing) {
  EXPECT_EQ(s3_error_code("<Error><Code>SlowDown</Code></Error>"), "SlowDown");
  EXPECT_EQ(s3_error_code("<Code>Slow\x1b[31m</Code>"), "");
  EXPECT_EQ(s3_error_code("<Code>"), "");
  EXPECT_EQ(s3_error_code("<Code>Unended"), "Unended");
  EXPECT_EQ(s3_error_code(""), "");
}

}  // namespace
}  // namespace cairn::remote
