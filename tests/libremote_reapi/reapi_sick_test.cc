// SPDX-License-Identifier: Apache-2.0
// The tier on servers of the Remote Execution API that are sick.
#include <thread>

#include "tests/libremote_reapi/reapi_fixture.h"
#include "tests/support/loopback_listener.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using cache::call_for;
using cache::expect_error;
using cache::patient_call;
using cache::sized;
using grpc::StatusCode;
using test::Ailment;
using test::ReapiDouble;

constexpr std::chrono::milliseconds soon{100};

// Each kind of call ends so.
void expect_all(cache::RemoteTier& tier, ErrorCode code, const std::string& part,
                std::chrono::milliseconds time = std::chrono::seconds(30)) {
  cache::expect_all(tier, entry_name, code, part, part, time, action_result("x"));
}

std::string large_bytes() { return test::random_bytes(7, 1'000'000); }

TEST(SickReapiTier, EachStatusMeansWhatTheSeamSays) {
  google::rpc::Status later;
  later.add_details()->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  for (const auto& [status, code] :
       {std::pair{grpc::Status(StatusCode::RESOURCE_EXHAUSTED, "words"), ErrorCode::busy},
        {grpc::Status(StatusCode::UNAVAILABLE, "words", later.SerializeAsString()), ErrorCode::busy},
        {grpc::Status(StatusCode::UNAVAILABLE, "words"), ErrorCode::io},
        {grpc::Status(StatusCode::UNAUTHENTICATED, "words"), ErrorCode::unavailable},
        {grpc::Status(StatusCode::PERMISSION_DENIED, "words"), ErrorCode::unavailable},
        {grpc::Status(StatusCode::INTERNAL, "words"), ErrorCode::io},
        {grpc::Status(StatusCode::DATA_LOSS, "words"), ErrorCode::io},
        {grpc::Status(StatusCode::CANCELLED, "words"), ErrorCode::io},
        {grpc::Status(StatusCode::FAILED_PRECONDITION, "words"), ErrorCode::io}}) {
    ReapiDouble server;
    const auto tier = tier_on(server);
    ASSERT_TRUE(tier->find_entry(entry_name, patient_call())) << "it was well once";
    server.status = status;
    server.ailment = Ailment::refuses;
    expect_all(*tier, code, "\"words\"");
    expect_all(*tier_on(server), code, "\"words\"");
    expect_error(cache::put(*tier, large_bytes()), code, "\"words\"");
  }
}

TEST(SickReapiTier, OneThatNeverAnswersCostsTheTimeOfTheCall) {
  ReapiDouble server;
  const auto tier = tier_on(server);
  ASSERT_TRUE(tier->find_entry(entry_name, patient_call()));
  server.ailment = Ailment::black_hole;
  expect_all(*tier, ErrorCode::io, "not done in the time that there was", soon);
  expect_error(cache::get(*tier, sized(large_bytes()), call_for(soon)), ErrorCode::io, "not done in the time");
  const std::string bytes = large_bytes();
  test::BytesSource source(bytes);
  expect_error(tier->put_blob(sized(bytes), source, call_for(soon)), ErrorCode::io, "not done in the time");
}

TEST(SickReapiTier, OneThatTakesConnectionsAndSaysNothingCostsTheTimeOfTheCall) {
  base::Guarded<std::vector<base::Fd>> taken;
  test::LoopbackListener silent([&](base::Fd socket) { taken.lock()->push_back(std::move(socket)); });
  const auto tier = make_reapi_tier({.address = "grpc://127.0.0.1:" + std::to_string(silent.port())}).value();
  expect_error(tier->find_entry(entry_name, call_for(soon)), ErrorCode::io, "not done in the time");
}

TEST(SickReapiTier, WhoStopsWaitingIsNotKept) {
  ReapiDouble server;
  const auto tier = tier_on(server);
  const std::string large = large_bytes();
  ASSERT_TRUE(cache::put(*tier, large));
  const auto stopped = [&](const std::function<base::Status(const cache::TierCall&)>& call) {
    std::stop_source stop;
    const std::jthread stopper([&] {
      std::this_thread::sleep_for(soon);
      stop.request_stop();
    });
    const auto began = std::chrono::steady_clock::now();
    const base::Status ended = call(call_for(std::chrono::seconds(30), stop.get_token()));
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
    expect_error(ended, ErrorCode::cancelled, "nobody waits");
  };
  server.ailment = Ailment::black_hole;
  stopped([&](const cache::TierCall& call) -> base::Status {
    TRY(tier->find_entry(entry_name, call));
    return {};
  });
  stopped([&](const cache::TierCall& call) -> base::Status {
    const std::string other = large + "x";
    test::BytesSource source(other);
    return tier->put_blob(sized(other), source, call);
  });
  server.ailment = Ailment::slow_drip;
  stopped([&](const cache::TierCall& call) -> base::Status {
    TRY(cache::get(*tier, sized(large), call));
    return {};
  });
}

TEST(SickReapiTier, BytesThatAreCutOrTooManyAreCorrupt) {
  for (const bool knows_zstd : {false, true}) {
    ReapiDouble server;
    if (knows_zstd) server.said.mutable_cache_capabilities()->add_supported_compressors(test::reapi::Compressor::ZSTD);
    const auto tier = tier_on(server);
    ASSERT_TRUE(cache::put(*tier, "small"));
    ASSERT_TRUE(cache::put(*tier, large_bytes()));
    server.ailment = Ailment::cut_off;
    expect_error(cache::get(*tier, sized("small")), ErrorCode::corrupt, "instead of 5");
    expect_error(cache::get(*tier, sized(large_bytes())), ErrorCode::corrupt, "it ended 500000 bytes too early");
    server.ailment = Ailment::endless;
    expect_error(cache::get(*tier, sized("small")), ErrorCode::corrupt, "instead of 5");
    expect_error(cache::get(*tier, sized(large_bytes())), ErrorCode::corrupt, "more bytes");
  }
}

TEST(SickReapiTier, OneThatDripsIsGivenUp) {
  ReapiDouble server;
  const auto tier = tier_on(server);
  ASSERT_TRUE(cache::put(*tier, large_bytes()));
  server.ailment = Ailment::slow_drip;
  expect_error(cache::get(*tier, sized(large_bytes()), call_for(soon)), ErrorCode::io, "not done in the time");
}

TEST(SickReapiTier, OneThatForgetsHasNone) {
  ReapiDouble server;
  const auto tier = tier_on(server);
  ASSERT_TRUE(cache::put(*tier, "small"));
  ASSERT_TRUE(cache::put(*tier, large_bytes()));
  server.ailment = Ailment::forgets;
  EXPECT_EQ(cache::get(*tier, sized("small")), "none");
  EXPECT_EQ(cache::get(*tier, sized(large_bytes())), "none");
}

TEST(SickReapiTier, AnswersThatMakeNoSenseAreErrors) {
  ReapiDouble server;
  const auto tier = tier_on(server);
  server.ailment = Ailment::says_little;
  expect_error(cache::put(*tier, "small"), ErrorCode::io, "does not answer of one");
  expect_error(cache::get(*tier, sized("small")), ErrorCode::io, "does not answer of one");
  server.ailment = Ailment::took_little;
  expect_error(cache::put(*tier, large_bytes()), ErrorCode::io, "it took 1 bytes of 1000000");
}

TEST(SickReapiTier, OneThatComesBackIsUsedAgainAndAskedAnewWhatItCanDo) {
  ReapiDouble server;
  const auto tier = tier_on(server);
  ASSERT_TRUE(cache::put(*tier, "bytes"));
  server.stop();
  expect_error(cache::get(*tier, sized("bytes")), ErrorCode::io, "UNAVAILABLE");
  server.said.mutable_cache_capabilities()->set_max_cas_blob_size_bytes(3);
  server.start();
  base::Result<std::string> got = "";
  for (int look = 0; look < 600 && (!got || *got != "bytes"); ++look) {
    got = cache::get(*tier, sized("bytes"));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, "bytes");
  expect_error(cache::put(*tier, "more"), ErrorCode::invalid_argument, "it takes 3");
}

}  // namespace
}  // namespace cairn::remote
