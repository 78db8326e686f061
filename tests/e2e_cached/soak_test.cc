// SPDX-License-Identifier: Apache-2.0
// Eight clients of three doors on one cached, with 5 % more to keep than it may: what one of them is told is there, is there
// in full, however much is collected meanwhile. CAIRN_TEST_FULL: 24 minutes of it.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include "libbase/hash/sha256.h"
#include "libbase/sync.h"
#include "libsnapshot/digests.h"
#include "tests/e2e_cached/cached_program.h"
#include "tests/libserve/resp_client.h"

namespace cairn::test {
namespace {

namespace reapi = build::bazel::remote::execution::v2;
using Random = std::mt19937_64;

constexpr std::int64_t quota = 96 << 20;
constexpr std::int64_t wanted_bytes = quota / 100 * 105;
constexpr std::size_t value_bytes_min = 500, value_bytes_max = 150'000;

std::chrono::seconds soak_time() { return std::chrono::seconds(std::getenv("CAIRN_TEST_FULL") != nullptr ? 24 * 60 : 15); }

// The same bytes for the same name, as a builder that is sound makes them.
std::string bytes_of(const std::string& name) {
  const auto seed = base::digest_of<BlobDigest>(name);
  Random random(static_cast<unsigned char>(seed.raw()[0]) * 65536ul + static_cast<unsigned char>(seed.raw()[1]) * 256ul +
                static_cast<unsigned char>(seed.raw()[2]) + std::hash<std::string>()(name));
  std::string bytes(value_bytes_min + random() % (value_bytes_max - value_bytes_min), '\0');
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, bytes.size() - at));
  }
  return bytes;
}

std::string hex_of(std::string_view bytes) { return base::digest_of<BlobDigest>(bytes).hex(); }

reapi::Digest digest_of(const std::string& bytes) {
  reapi::Digest digest;
  digest.set_hash(hex_of(bytes));
  digest.set_size_bytes(static_cast<std::int64_t>(bytes.size()));
  return digest;
}

// What the clients have seen, all together.
struct Seen {
  std::atomic<std::uint64_t> hits{0}, misses{0}, made{0}, refused{0};
  base::Guarded<std::vector<std::string>> complaints;

  void complain(std::string what) {
    auto all = complaints.lock();
    if (all->size() < 20) all->push_back(std::move(what));
  }
  void expect(bool holds, const std::string& what) {
    if (!holds) complain(what);
  }
};

// One client: a key is looked up; what it leads to is read and compared; a miss is made anew and put.
class Client {
 public:
  Client(Seen& seen_in, std::string family_in) : seen(seen_in), family(std::move(family_in)) {}
  virtual ~Client() = default;
  virtual void use(std::size_t key) = 0;

 protected:
  std::string name(std::size_t key, const char* part) const { return family + "/" + std::to_string(key) + "/" + part; }
  Seen& seen;
  const std::string family;
};

// An action has an output of its own and one that it shares with three neighbours.
std::vector<std::string> outputs_of(const std::string& family, std::size_t key) {
  return {bytes_of(family + "/" + std::to_string(key) + "/own"), bytes_of(family + "/" + std::to_string(key / 4) + "/shared")};
}

reapi::ActionResult result_of(const std::vector<std::string>& outputs) {
  reapi::ActionResult result;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    auto* const file = result.add_output_files();
    file->set_path("out" + std::to_string(i));
    *file->mutable_digest() = digest_of(outputs[i]);
  }
  return result;
}

class GrpcClient final : public Client {
 public:
  GrpcClient(Seen& seen_in, const std::string& address) : Client(seen_in, "grpc") {
    const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    cas_ = reapi::ContentAddressableStorage::NewStub(channel);
    actions_ = reapi::ActionCache::NewStub(channel);
  }
  void use(std::size_t key) override {
    reapi::GetActionResultRequest request;
    *request.mutable_action_digest() = digest_of(name(key, "action"));
    reapi::ActionResult result;
    const grpc::Status status = call(*actions_, &reapi::ActionCache::Stub::GetActionResult, request, result);
    if (status.error_code() == grpc::StatusCode::NOT_FOUND) return make(key);
    if (!status.ok()) return seen.complain("GetActionResult: " + status.error_message());
    ++seen.hits;
    read(key, result);
  }

 private:
  template <class Stub, class Method, class Request, class Response>
  static grpc::Status call(Stub& stub, Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return (stub.*method)(&context, request, &response);
  }

  void read(std::size_t key, const reapi::ActionResult& result) {
    const std::vector<std::string> outputs = outputs_of(family, key);
    seen.expect(result.SerializeAsString() == result_of(outputs).SerializeAsString(), "another action's result");
    reapi::BatchReadBlobsRequest request;
    for (const auto& file : result.output_files()) *request.add_digests() = file.digest();
    reapi::BatchReadBlobsResponse response;
    const grpc::Status status = call(*cas_, &reapi::ContentAddressableStorage::Stub::BatchReadBlobs, request, response);
    if (!status.ok()) return seen.complain("BatchReadBlobs: " + status.error_message());
    for (int i = 0; i < response.responses_size(); ++i) {
      const auto& one = response.responses(i);
      seen.expect(one.status().code() == 0, "hit but missing: " + one.status().message());
      if (one.status().code() == 0)
        seen.expect(one.data() == outputs[static_cast<std::size_t>(i)], "hit, and other bytes");
    }
  }

  void make(std::size_t key) {
    ++seen.misses;
    const std::vector<std::string> outputs = outputs_of(family, key);
    reapi::FindMissingBlobsRequest find;
    for (const std::string& bytes : outputs) *find.add_blob_digests() = digest_of(bytes);
    reapi::FindMissingBlobsResponse missing;
    grpc::Status status = call(*cas_, &reapi::ContentAddressableStorage::Stub::FindMissingBlobs, find, missing);
    if (!status.ok()) return seen.complain("FindMissingBlobs: " + status.error_message());
    std::set<std::string> wanted;
    for (const auto& digest : missing.missing_blob_digests()) wanted.insert(digest.hash());
    reapi::BatchUpdateBlobsRequest upload;
    for (const std::string& bytes : outputs) {
      if (!wanted.contains(hex_of(bytes))) continue;
      auto* const one = upload.add_requests();
      *one->mutable_digest() = digest_of(bytes);
      one->set_data(bytes);
    }
    reapi::BatchUpdateBlobsResponse uploaded;
    status = call(*cas_, &reapi::ContentAddressableStorage::Stub::BatchUpdateBlobs, upload, uploaded);
    if (!status.ok()) return seen.complain("BatchUpdateBlobs: " + status.error_message());
    for (const auto& one : uploaded.responses()) {
      if (one.status().code() == static_cast<int>(grpc::StatusCode::RESOURCE_EXHAUSTED)) return refuse();
      seen.expect(one.status().code() == 0, "BatchUpdateBlobs: " + one.status().message());
    }
    reapi::UpdateActionResultRequest update;
    *update.mutable_action_digest() = digest_of(name(key, "action"));
    *update.mutable_action_result() = result_of(outputs);
    reapi::ActionResult kept;
    status = call(*actions_, &reapi::ActionCache::Stub::UpdateActionResult, update, kept);
    if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) return refuse();
    // FAILED_PRECONDITION would be of a blob that was said to be there, or was just put.
    seen.expect(status.ok(), "UpdateActionResult: " + status.error_message());
    ++seen.made;
  }
  void refuse() { ++seen.refused; }

  std::unique_ptr<reapi::ContentAddressableStorage::Stub> cas_;
  std::unique_ptr<reapi::ActionCache::Stub> actions_;
};

// As Bazel does over HTTP: the action's result, then what it names.
class HttpClient final : public Client {
 public:
  HttpClient(Seen& seen_in, std::string address) : Client(seen_in, "http"), address_(std::move(address)), client_(address_) {}
  void use(std::size_t key) override {
    const std::vector<std::string> outputs = outputs_of(family, key);
    const std::string action = "/ac/" + hex_of(name(key, "action"));
    const serve::Got got = client_.ask("GET", action);
    if (got.status == 404) return make(action, outputs);
    seen.expect(got.status == 200 && got.whole, "GET /ac: " + std::to_string(got.status));
    seen.expect(got.body == result_of(outputs).SerializeAsString(), "another action's result");
    ++seen.hits;
    for (const std::string& bytes : outputs) {
      const serve::Got blob = client_.ask("GET", "/cas/" + hex_of(bytes));
      seen.expect(blob.status == 200 && blob.whole, "hit but missing: " + std::to_string(blob.status));
      if (blob.status == 200) seen.expect(blob.body == bytes, "hit, and other bytes");
    }
  }

 private:
  void make(const std::string& action, const std::vector<std::string>& outputs) {
    ++seen.misses;
    for (const std::string& bytes : outputs)
      if (!put("/cas/" + hex_of(bytes), bytes)) return;
    if (put(action, result_of(outputs).SerializeAsString())) ++seen.made;
  }
  bool put(const std::string& path, const std::string& bytes) {
    const serve::Got got = client_.ask("PUT", path, bytes);
    if (got.status == 507) {
      ++seen.refused;
      client_ = serve::Client(address_);  // refused before the body was read
      return false;
    }
    seen.expect(got.status / 100 == 2, "PUT " + path + ": " + std::to_string(got.status) + " " + got.body);
    return true;
  }

  const std::string address_;
  serve::Client client_;
};

// As ccache does: a value under a key.
class RespValues final : public Client {
 public:
  RespValues(Seen& seen_in, const std::string& address) : Client(seen_in, "resp"), client_(address) {}
  void use(std::size_t key) override {
    const std::string bytes = bytes_of(name(key, "value")), where = "ccache:" + hex_of(name(key, "key"));
    const std::string got = client_.ask({"GET", where});
    if (got == "nil") {
      ++seen.misses;
      const std::string put = client_.ask({"SET", where, bytes});
      if (put.starts_with("-OOM")) {
        ++seen.refused;
        return;
      }
      seen.expect(put == "+OK", "SET: " + put.substr(0, 100));
      ++seen.made;
      return;
    }
    ++seen.hits;
    seen.expect(got == "$" + bytes, "GET: other bytes, " + std::to_string(got.size()) + " of " + std::to_string(bytes.size() + 1));
  }

 private:
  serve::RespClient client_;
};

// Keys of which some are wanted much more often than others.
void go_on(Client& client, std::size_t keys, std::uint64_t seed, const std::function<bool()>& is_over) {
  Random random(seed);
  while (!is_over()) client.use(random() % (random() % 10 < 7 ? keys / 5 : keys));
}

TEST(CachedSoak, AtFivePercentMoreThanItsQuotaEveryHitIsThereInFull) {
  CachedProgram cached({"--grpc", "127.0.0.1:0", "--resp", "127.0.0.1:0", "--max-bytes", std::to_string(quota), "--lease", "1"},
                       "[[rule]]\nname = \"old\"\nunused_for = \"10d\"\n");
  constexpr std::size_t mean = (value_bytes_min + value_bytes_max) / 2;
  // A third of the bytes for each door; an action has one output and a fourth of another.
  constexpr std::size_t values = wanted_bytes / 3 / mean, actions = values * 4 / 5;
  Seen seen;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(std::make_unique<GrpcClient>(seen, cached.grpc_address()));
  for (int i = 0; i < 3; ++i) clients.push_back(std::make_unique<HttpClient>(seen, cached.address()));
  for (int i = 0; i < 2; ++i) clients.push_back(std::make_unique<RespValues>(seen, cached.resp_address()));
  // Until things were collected and made again, too; the bound is there only so that a failing test ends.
  constexpr std::size_t all_once = 2 * actions + values;
  const auto begun = std::chrono::steady_clock::now();
  const auto is_over = [&] {
    const auto gone = std::chrono::steady_clock::now() - begun;
    return gone > soak_time() + std::chrono::minutes(4) || (gone > soak_time() && seen.made > all_once);
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < clients.size(); ++i)
      threads.emplace_back([&, i] { go_on(*clients[i], i < 6 ? actions : values, i + 1, is_over); });
  }
  EXPECT_THAT(*seen.complaints.lock(), ::testing::IsEmpty());
  const std::uint64_t used = seen.hits + seen.misses;
  fmt::print("{} lookups, {} hits, {} made, {} refused for want of room\n", used, seen.hits.load(), seen.made.load(), seen.refused.load());
  EXPECT_GT(seen.hits, 0u);
  EXPECT_GT(seen.made, all_once) << "nothing was collected and made again";

  const Ended usage = cached.cachectl({"du", "--json"});
  EXPECT_EQ(usage.code, 0) << usage.err;
  const auto du = nlohmann::json::parse(usage.out, nullptr, false);
  ASSERT_TRUE(du.is_object()) << usage.out;
  EXPECT_LE(du.value("live_bytes", std::int64_t{0}), quota);
  EXPECT_EQ(cached.stop(SIGTERM).code, 0);
  const Ended fsck = cached.cachectl({"fsck"});
  EXPECT_EQ(fsck.code, 0) << fsck.out << fsck.err;
  const Ended scrub = cached.cachectl({"scrub"});
  EXPECT_EQ(scrub.code, 0) << scrub.out << scrub.err;
}

}  // namespace
}  // namespace cairn::test
