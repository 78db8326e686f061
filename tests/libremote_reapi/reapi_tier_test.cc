// SPDX-License-Identifier: Apache-2.0
// The tier on a server of the Remote Execution API: what goes over the wire, and what a server is believed.
// tests/e2e_cached has it against cached.
#include <array>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libcache/sharded_tier.h"
#include "tests/conformance/remote_tier_suite.h"
#include "tests/libremote/certificate.h"
#include "tests/libremote_reapi/reapi_fixture.h"
#include "tests/support/temp_dir.h"

namespace cairn::remote {
namespace {

class DoubleAsTier final : public cache::TierUnderTest {
 public:
  explicit DoubleAsTier(bool knows_zstd) {
    if (knows_zstd) double_.said.mutable_cache_capabilities()->add_supported_compressors(test::reapi::Compressor::ZSTD);
  }
  std::unique_ptr<cache::RemoteTier> open() override { return tier_on(double_); }
  std::string value(std::string text) override { return action_result(text); }

 private:
  test::ReapiDouble double_;
};

// Two of them, which share blobs by their digests.
class DoublesAsTier final : public cache::TierUnderTest {
 public:
  std::unique_ptr<cache::RemoteTier> open() override {
    std::vector<cache::TierPeer> peers;
    for (const test::ReapiDouble& each : doubles_) peers.push_back({tier_on(each)});
    return std::move(cache::make_sharded_tier(std::move(peers), clock_, {.by = cache::ShardBy::digest}).value());
  }
  std::string value(std::string text) override { return action_result(text); }

 private:
  const base::SystemClock clock_;
  std::array<test::ReapiDouble, 2> doubles_;
};

}  // namespace
}  // namespace cairn::remote

namespace cairn::cache {
namespace {
INSTANTIATE_TEST_SUITE_P(
    reapi, RemoteTierSuite,
    ::testing::Values(WayToMakeATier{"plain", [] { return std::make_unique<remote::DoubleAsTier>(false); }},
                      WayToMakeATier{"shards", [] { return std::make_unique<remote::DoublesAsTier>(); }},
                      WayToMakeATier{"zstd", [] { return std::make_unique<remote::DoubleAsTier>(true); }}),
    [](const auto& way) { return way.param.name; });
}  // namespace
}  // namespace cairn::cache

namespace cairn::remote {
namespace {

using base::ErrorCode;
using cache::EntryName;
using cache::expect_error;
using cache::patient_call;
using cache::sized;
using test::ReapiDouble;
using test::reapi::Compressor;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Le;
using testing::MatchesRegex;
using testing::Not;

std::string large_bytes() {
  std::string bytes = test::random_bytes(1, 1'000'000);
  return bytes + bytes;  // zstd does not see that far back at its first level
}

TEST(ReapiTier, SmallBlobsAreMessagesAndLargeOnesStreams) {
  ReapiDouble server;
  const auto tier = tier_on(server, {.address = "", .instance = "team/a"});
  const std::string large = large_bytes();
  ASSERT_TRUE(cache::put(*tier, "small"));
  ASSERT_TRUE(cache::put(*tier, large));
  EXPECT_EQ(cache::get(*tier, sized("small")), "small");
  EXPECT_TRUE(cache::get(*tier, sized(large)) == large);
  const auto seen = server.seen();
  const std::string path = "blobs/" + sized(large).digest.hex() + "/2000000";
  const std::string uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
  EXPECT_THAT(seen.resources, ElementsAre(MatchesRegex("team/a/uploads/" + uuid + "/" + path), "team/a/" + path));
  EXPECT_THAT(seen.instances, Each("team/a"));
  EXPECT_THAT(seen.pieces, Each(Le(256u << 10))) << "no more than that is in memory";
  EXPECT_EQ(seen.batches_in, 1);
  EXPECT_EQ(seen.batches_out, 1);
  EXPECT_EQ(seen.capabilities, 1);
}

TEST(ReapiTier, WhatGetsSmallerIsSentCompressedIfTheServerKnowsThat) {
  ReapiDouble server;
  server.said.mutable_cache_capabilities()->add_supported_compressors(Compressor::ZSTD);
  const auto tier = tier_on(server);
  const std::string dense = large_bytes(), loose(3'000'000, 'a');
  for (const std::string& bytes : {dense, loose}) {
    ASSERT_TRUE(cache::put(*tier, bytes));
    ASSERT_TRUE(cache::put(*tier, bytes)) << "that is there already";
    EXPECT_TRUE(cache::get(*tier, sized(bytes)) == bytes);
  }
  const auto seen = server.seen();
  ASSERT_EQ(seen.resources.size(), 6u);
  EXPECT_THAT(seen.resources[0], Not(HasSubstr("compressed")));
  EXPECT_EQ(seen.resources[2], "compressed-blobs/zstd/" + sized(dense).digest.hex() + "/2000000");
  EXPECT_THAT(seen.resources[3], HasSubstr("/compressed-blobs/zstd/" + sized(loose).digest.hex() + "/3000000"));
  EXPECT_EQ(seen.pieces.size(), 2'000'000 / (256u << 10) + 1 + 1) << "of the loose one a single small message";
}

TEST(ReapiTier, LimitsOfAServerAreKept) {
  ReapiDouble server;
  server.said.mutable_cache_capabilities()->set_max_batch_total_size_bytes(100);
  server.said.mutable_cache_capabilities()->set_max_cas_blob_size_bytes(5'000);
  const auto tier = tier_on(server);
  ASSERT_TRUE(cache::put(*tier, std::string(101, 'x')));
  EXPECT_EQ(server.seen().batches_in, 0);
  expect_error(cache::put(*tier, std::string(5'001, 'x')), ErrorCode::invalid_argument, "it takes 5000");
}

TEST(ReapiTier, AServerThatIsNoCacheOfOursIsNotUsed) {
  const auto refused = [](const std::function<void(ReapiDouble&)>& change) {
    ReapiDouble server;
    change(server);
    const auto found = tier_on(server)->find_entry(entry_name, patient_call());
    return found ? "" : found.error().code == ErrorCode::unavailable ? found.error().message : "another error";
  };
  EXPECT_EQ(refused([](ReapiDouble&) {}), "");
  EXPECT_EQ(refused([](ReapiDouble& one) {
              one.capabilities_status = {grpc::StatusCode::UNIMPLEMENTED, ""};
            }),
            "")
      << "most do not need to say";
  EXPECT_THAT(refused([](ReapiDouble& one) { one.said.clear_cache_capabilities(); }), HasSubstr("it is no cache"));
  EXPECT_THAT(refused([](ReapiDouble& one) { one.said.mutable_low_api_version()->set_major(3); }),
              HasSubstr("version 2"));
  EXPECT_THAT(refused([](ReapiDouble& one) {
                one.said.mutable_cache_capabilities()->set_digest_functions(0, test::reapi::DigestFunction::MD5);
              }),
              HasSubstr("SHA-256"));
}

TEST(ReapiTier, EntriesThatItCannotTellApartAreNotItsOwn) {
  ReapiDouble server;
  const auto tier = tier_on(server);
  EntryName untrusted = entry_name, of_ccache = entry_name, of_words = entry_name;
  untrusted.trust = cache::Trust::untrusted;
  of_ccache.door = "ccache";
  of_words.key = "../../etc";
  for (const EntryName& name : {untrusted, of_ccache, of_words}) {
    expect_error(tier->put_entry(name, {.value = action_result("x")}, patient_call()), ErrorCode::invalid_argument,
                 "is not for it");
    EXPECT_FALSE(tier->find_entry(name, patient_call()).value());
  }
  // Over HTTP other things are put there, too. The second one is read as a result, and would come back as another one.
  for (const std::string& value : {std::string("words"), "\x20\x01" + action_result("x") + "\x20\x02"})
    expect_error(tier->put_entry(entry_name, {.value = value}, patient_call()), ErrorCode::invalid_argument,
                 "is not for it");
  EXPECT_FALSE(tier->find_entry(entry_name, patient_call()).value());
}

TEST(ReapiTier, InstancesOfEntriesAreBelowThatOfTheTier) {
  ReapiDouble server;
  EntryName of_team = entry_name;
  of_team.instance = "team";
  const auto in_root = tier_on(server), below = tier_on(server, {.address = "", .instance = "mirror"});
  ASSERT_TRUE(in_root->put_entry(of_team, {.value = action_result("root")}, patient_call()));
  ASSERT_TRUE(below->put_entry(of_team, {.value = action_result("below")}, patient_call()));
  EXPECT_FALSE(below->find_entry(entry_name, patient_call()).value());
  // What an entry needs is where the entry is.
  cache::TierCall call = patient_call();
  call.entry = of_team;
  for (const std::string& bytes : {std::string("small"), large_bytes()}) {
    test::BytesSource source(bytes);
    ASSERT_TRUE(below->put_blob(sized(bytes), source, call));
  }
  EXPECT_THAT(server.seen().instances,
              ElementsAre("", "team", "mirror", "mirror/team", "mirror", "mirror/team", "mirror/team"));
}

TEST(ReapiTier, CredentialsAreShownWithEachCallAndNeverSaid) {
  ReapiDouble server;
  server.status = {grpc::StatusCode::UNAUTHENTICATED, "who are you"};
  const auto by_token = tier_on(server, {.address = "", .token = "secret"});
  const auto by_name = tier_on(server, {.address = "", .user = "user", .password = "pass:word"});
  ASSERT_TRUE(cache::put(*by_token, large_bytes()));
  ASSERT_TRUE(cache::put(*by_name, "bytes"));
  EXPECT_THAT(server.seen().authorizations, ElementsAre("Bearer secret", "Bearer secret",
                                                        "Basic dXNlcjpwYXNzOndvcmQ=", "Basic dXNlcjpwYXNzOndvcmQ="));
  server.ailment = test::Ailment::refuses;
  expect_error(by_token->find_entry(entry_name, patient_call()), ErrorCode::unavailable,
               "UNAUTHENTICATED, \"who are you\"");
}

TEST(ReapiTier, TlsWithACertificateOfOurOwn) {
  const test::TempDir dir;
  test::make_certificate(dir.path(), "IP:127.0.0.1", dir / "server.key", dir / "server.pem");
  test::make_certificate(dir.path(), "DNS:client", dir / "client.key", dir / "client.pem");
  const auto text = [&](const char* file) { return base::read_file(dir / file, 1 << 20).value(); };
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_key_cert_pairs.push_back({text("server.key"), text("server.pem")});
  options.pem_root_certs = text("client.pem");
  ReapiDouble server(grpc::SslServerCredentials(options));
  const auto with = [&](std::optional<base::HostPath> ca, bool shows_certificate) {
    ReapiTierOptions tls{.address = "grpcs://" + server.address(), .ca = std::move(ca)};
    if (shows_certificate) tls.client_certificate = dir / "client.pem", tls.client_key = dir / "client.key";
    return std::move(make_reapi_tier(tls).value());
  };
  const auto good = with(dir / "server.pem", true);
  ASSERT_TRUE(cache::put(*good, "bytes"));
  EXPECT_EQ(cache::get(*good, sized("bytes")), "bytes");
  expect_error(cache::get(*with(std::nullopt, true), sized("bytes")), ErrorCode::io, "UNAVAILABLE");
  expect_error(cache::get(*with(dir / "client.pem", true), sized("bytes")), ErrorCode::io, "UNAVAILABLE");
  expect_error(cache::get(*with(dir / "server.pem", false), sized("bytes")), ErrorCode::io, "UNAVAILABLE");
  expect_error(cache::get(*tier_on(server), sized("bytes"), cache::call_for(std::chrono::seconds(5))), ErrorCode::io,
               "grpc://");
}

TEST(ReapiTier, WhatCannotBe) {
  const auto refused = [](ReapiTierOptions options) {
    const auto tier = make_reapi_tier(std::move(options));
    return tier ? "" : tier.error().code == ErrorCode::invalid_argument ? tier.error().message : "another error";
  };
  EXPECT_EQ(refused({.address = "grpc://[::1]:8980", .instance = "a/b"}), "");
  EXPECT_EQ(refused({.address = "unix:/run/cached.sock"}), "");
  for (const char* address :
       {"", "host:1", "http://host:1", "grpc://host", "grpc://host:0", "grpc://host:70000", "grpc://:1",
        "grpc://ho st:1", "grpc://host:1/path", "grpc://user:password@host:1", "unix:relative"}) {
    EXPECT_THAT(refused({.address = address}), HasSubstr("is not grpc://HOST:PORT")) << address;
    EXPECT_THAT(refused({.address = address}), Not(HasSubstr("password")));
  }
  const std::string plain = "grpc://host:1", tls = "grpcs://host:1";
  const test::TempDir dir;
  ASSERT_TRUE(base::write_file_atomic(dir / "empty", "", base::Durable::no));
  EXPECT_THAT(refused({.address = plain, .instance = "a//b"}), HasSubstr("an instance"));
  EXPECT_THAT(refused({.address = plain, .user = "user", .token = "token"}), HasSubstr("either"));
  EXPECT_THAT(refused({.address = plain, .ca = dir / "empty"}), HasSubstr("for grpcs://"));
  EXPECT_THAT(refused({.address = tls, .ca = dir / "empty"}), HasSubstr("no PEM"));
  EXPECT_THAT(refused({.address = tls, .client_certificate = dir / "empty"}), HasSubstr("needs its key"));
}

}  // namespace
}  // namespace cairn::remote
