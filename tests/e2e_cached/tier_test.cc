// SPDX-License-Identifier: Apache-2.0
// The real cached as the tier of another cache: what every tier must do.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <array>

#include "libcache/sharded_tier.h"
#include "libremote/http_fetcher.h"
#include "libremote/http_tier.h"
#include "libremote/reapi_tier.h"
#include "tests/conformance/remote_tier_suite.h"
#include "tests/e2e_cached/cached_program.h"

namespace cairn::cache {
namespace {

// An action result whose standard output it is (field 5, stdout_raw).
std::string action_result(const std::string& text) {
  std::string out = "\x2a";
  std::size_t size = text.size();
  for (; size >= 0x80; size >>= 7) out += static_cast<char>(size | 0x80);
  out += static_cast<char>(size);
  return out + text;
}

class CachedAsTier : public TierUnderTest {
 public:
  explicit CachedAsTier(std::vector<std::string> more = {}) : cached_(std::move(more)) { ::setenv("no_proxy", "*", 1); }
  ~CachedAsTier() override {
    EXPECT_EQ(cached_.stop(SIGTERM).code, 0);
    EXPECT_EQ(cached_.cachectl({"fsck"}).code, 0);
  }
  std::unique_ptr<RemoteTier> open() override {
    return std::move(remote::make_http_tier(*fetcher_, {.url = cached_.url("")}).value());
  }
  std::string value(std::string text) override { return action_result(text); }

 protected:
  test::CachedProgram cached_;

 private:
  std::unique_ptr<Fetcher> fetcher_ = remote::make_http_fetcher();
};

class CachedAsPeer final : public CachedAsTier {
 public:
  CachedAsPeer() : CachedAsTier({"--grpc", "127.0.0.1:0"}) {}
  std::unique_ptr<RemoteTier> open() override {
    return std::move(
        remote::make_reapi_tier({.address = "grpc://" + cached_.grpc_address(), .instance = "team/a"}).value());
  }
};

// Three of them, each thing on two.
class CachedAsPeers final : public TierUnderTest {
 public:
  std::unique_ptr<RemoteTier> open() override {
    std::vector<TierPeer> peers;
    for (CachedAsPeer& each : peers_) peers.push_back({each.open()});
    return std::move(make_sharded_tier(std::move(peers), clock_, {.mirrors = 2}).value());
  }
  std::string value(std::string text) override { return action_result(text); }

 private:
  const base::SystemClock clock_;
  std::array<CachedAsPeer, 3> peers_;
};

INSTANTIATE_TEST_SUITE_P(cached, RemoteTierSuite,
                         ::testing::Values(WayToMakeATier{"http", [] { return std::make_unique<CachedAsTier>(); }},
                                           WayToMakeATier{"grpc", [] { return std::make_unique<CachedAsPeer>(); }},
                                           WayToMakeATier{"peers", [] { return std::make_unique<CachedAsPeers>(); }}),
                         [](const auto& way) { return way.param.name; });

}  // namespace
}  // namespace cairn::cache
