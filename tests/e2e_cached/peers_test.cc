// SPDX-License-Identifier: Apache-2.0
// Three cached as peers, and one in front of them that clients talk to: what is built is on two of the peers, and any
// one of them may go.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include <build/bazel/remote/execution/v2/remote_execution.pb.h>
#include "libremote/reapi_tier.h"
#include "tests/conformance/remote_tier_calls.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/support/oci_layout_builder.h"

namespace cairn::test {
namespace {

namespace reapi = build::bazel::remote::execution::v2;
using cache::patient_call;
using testing::AllOf;
using testing::HasSubstr;

constexpr int actions = 18;

// What the action has made: a small file and, each third, a large one.
std::vector<std::string> outputs(int action) {
  std::vector<std::string> all{"output of " + std::to_string(action)};
  if (action % 3 == 0) all.push_back(random_bytes(static_cast<std::uint64_t>(action) + 1, 1'500'000));
  return all;
}
cache::EntryName name(int action) {
  return {.door = "bazel", .key = base::digest_of<BlobDigest>("action " + std::to_string(action)).hex()};
}
std::string result_of(int action) {
  reapi::ActionResult result;
  for (const std::string& bytes : outputs(action)) {
    reapi::OutputFile& file = *result.add_output_files();
    file.set_path("out" + std::to_string(result.output_files_size()));
    file.mutable_digest()->set_hash(cache::sized(bytes).digest.hex());
    file.mutable_digest()->set_size_bytes(static_cast<std::int64_t>(bytes.size()));
  }
  return result.SerializeAsString();
}

class CachedPeers : public ::testing::Test {
 protected:
  CachedPeers() {
    for (int i = 0; i < 3; ++i)
      peers_.push_back(std::make_unique<CachedProgram>(std::vector<std::string>{"--grpc", socket(i)}));
    write_text(dir_ / "front.toml",
               "[tiers]\nlookup_ms = 60000\n[[tier]]\nkind = \"reapi\"\nmirrors = 2\npeers = [\"unix:" + socket(0) +
                   "\", \"unix:" + socket(1) + "\", \"unix:" + socket(2) + "\"]\n");
  }
  std::string socket(int peer) const { return (dir_ / ("peer" + std::to_string(peer))).str(); }
  std::unique_ptr<CachedProgram> start_front() const {
    return std::make_unique<CachedProgram>(
        std::vector<std::string>{"--config", (dir_ / "front.toml").str(), "--grpc", (dir_ / "front").str()});
  }
  // Who builds: a client of the protocol, of the server at this socket.
  std::unique_ptr<cache::RemoteTier> client(const std::string& at) const {
    return std::move(remote::make_reapi_tier({.address = "unix:" + at}).value());
  }
  std::unique_ptr<cache::RemoteTier> client_of_front() const { return client((dir_ / "front").str()); }

  static void build(cache::RemoteTier& client, int action) {
    for (const std::string& bytes : outputs(action)) ASSERT_TRUE(cache::put(client, bytes));
    const auto put = client.put_entry(name(action), {.value = result_of(action)}, patient_call());
    ASSERT_TRUE(put) << put.error().message;
  }
  static void expect_hit(cache::RemoteTier& client, int action) {
    const auto found = client.find_entry(name(action), patient_call());
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_TRUE(*found) << "action " << action;
    EXPECT_EQ((*found)->value, result_of(action));
    for (const std::string& bytes : outputs(action)) {
      const auto got = cache::get(client, cache::sized(bytes));
      ASSERT_TRUE(got) << got.error().message;
      EXPECT_TRUE(*got == bytes) << "action " << action;
    }
  }
  // Whether nothing waits to be sent to the peers.
  static bool has_sent_all(const CachedProgram& front) {
    const std::string metrics = front.metrics();
    const std::size_t at = metrics.find("\ncairn_tier_unsent{");
    return at != std::string::npos && metrics.substr(metrics.find("} ", at)).starts_with("} 0\n");
  }
  // How many reads of what a peer had not its mirror had to answer.
  std::uint64_t missed_by(const CachedProgram& front, int peer) const {
    const std::string metrics = front.metrics();
    const std::size_t of_all = metrics.find("\ncairn_tier_peer_missed_total{");
    const std::size_t at = metrics.find(",peer=\"unix://" + socket(peer) + "\"} ", of_all);
    if (of_all == std::string::npos || at == std::string::npos) return ADD_FAILURE() << metrics, 0;
    return std::stoull(metrics.substr(metrics.find("} ", at) + 2));
  }
  static std::string run_status(const CachedProgram& front) {
    return front.curl({"--output", "-", front.url("/status")}).out;
  }
  static void end(CachedProgram& cached) {
    EXPECT_EQ(cached.stop(SIGTERM).code, 0);
    EXPECT_EQ(cached.cachectl({"fsck"}).code, 0);
  }

  TempDir dir_;
  std::vector<std::unique_ptr<CachedProgram>> peers_;
};

TEST_F(CachedPeers, NothingIsLostWhenOneIsKilledInTheMiddle) {
  const auto first = start_front();
  const auto builder = client_of_front();
  for (int action = 0; action < actions / 2; ++action) build(*builder, action);
  while (!has_sent_all(*first)) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  peers_[1]->stop(SIGKILL);
  for (int action = actions / 2; action < actions; ++action) build(*builder, action);
  end(*first);  // what is still to be sent is sent

  // Another machine, with one of three gone, and then with another one going while it works.
  const auto second = start_front();
  const auto other = client_of_front();
  for (int action = 0; action < actions; ++action) expect_hit(*other, action);
  EXPECT_THAT(second->metrics(), HasSubstr("cairn_tier_hits_total{tier=\"unix://"));
  end(*second);

  peers_[1]->start();
  const auto third = start_front();
  const auto last = client_of_front();
  for (int action = 0; action < actions / 2; ++action) {
    if (action == actions / 4) peers_[2]->stop(SIGKILL);
    expect_hit(*last, action);
  }
  end(*third);
  end(*peers_[0]);
  end(*peers_[1]);
}

TEST_F(CachedPeers, OneThatComesBackEmptyIsFilledByWhatIsRead) {
  {
    const auto front = start_front();
    const auto builder = client_of_front();
    for (int action = 0; action < actions; ++action) build(*builder, action);
    end(*front);
  }
  peers_[0]->stop(SIGTERM);
  std::filesystem::remove_all(peers_[0]->root().str());
  peers_[0]->start();
  const auto read_all = [&] {
    const auto front = start_front();
    const auto reader = client_of_front();
    for (int action = 0; action < actions; ++action) expect_hit(*reader, action);
    const std::uint64_t missed = missed_by(*front, 0);
    EXPECT_THAT(run_status(*front),
                AllOf(HasSubstr("\"name\": \"unix://" + socket(0)), HasSubstr("\"state\": \"closed\"")));
    end(*front);  // what is still to be sent is sent
    return missed;
  };
  EXPECT_GT(read_all(), 0u);
  const auto direct = client(socket(0));
  int filled = 0;
  for (int action = 0; action < actions; ++action) {
    const auto entry = direct->find_entry(name(action), patient_call());
    ASSERT_TRUE(entry) << entry.error().message;
    if (!*entry) continue;
    ++filled;
    expect_hit(*direct, action);
  }
  EXPECT_GT(filled, 0);
  // It has all that it is asked for first; of the rest, what it was asked for because another one took long comes next.
  int reads = 0;
  while (read_all() > 0) ASSERT_LT(++reads, actions);
  for (const auto& peer : peers_) end(*peer);
}

TEST_F(CachedPeers, EachResultIsOnTwoOfThemWithAllThatItNeeds) {
  const auto front = start_front();
  const auto builder = client_of_front();
  for (int action = 0; action < actions; ++action) build(*builder, action);
  end(*front);
  int found = 0;
  for (int peer = 0; peer < 3; ++peer) {
    const auto direct = client(socket(peer));
    int here = 0;
    for (int action = 0; action < actions; ++action) {
      const auto entry = direct->find_entry(name(action), patient_call());
      ASSERT_TRUE(entry) << entry.error().message;
      if (!*entry) continue;
      ++here;
      expect_hit(*direct, action);  // a peer is a cache of its own: others may build on it as it is
    }
    EXPECT_GT(here, actions / 3) << "peer " << peer;
    EXPECT_LT(here, actions) << "peer " << peer;
    found += here;
  }
  EXPECT_EQ(found, 2 * actions);
  for (const auto& peer : peers_) end(*peer);
}

}  // namespace
}  // namespace cairn::test
