// SPDX-License-Identifier: Apache-2.0
// The Remote Execution API on a store with a tier under it: what reads ask of it, and what they do not.
#include "tests/libserve_grpc/grpc_client.h"
#include "tests/support/tier_double.h"

namespace cairn::serve {
namespace {

using grpc::StatusCode;

class GrpcOnTiers : public GrpcTest {
 protected:
  GrpcOnTiers() {
    std::vector<cache::TierSettings> settings;
    settings.push_back({std::make_unique<test::TierDouble>("double", shelf_, clock_)});
    tiers_ = std::make_unique<cache::Tiers>(*store_->cache, std::move(settings), clock_,
                                            cache::TiersOptions{.lookup_time = std::chrono::milliseconds(500)});
    GrpcOptions options;
    options.tiers = tiers_.get();
    restart(options);
  }
  ~GrpcOnTiers() override { server_.reset(); }

  reapi::Digest shelve(const std::string& bytes) {
    shelf_->blobs[base::digest_of<BlobDigest>(bytes)] = bytes;
    return digest_of(bytes);
  }
  reapi::ActionResult shelve_result(const reapi::Digest& action, const std::string& output,
                                    const std::string& in_tree) {
    reapi::ActionResult result;
    auto* const file = result.add_output_files();
    file->set_path("a.o");
    *file->mutable_digest() = shelve(output);
    reapi::Tree tree;
    *tree.mutable_root()->add_files()->mutable_digest() = shelve(in_tree);
    *result.add_output_directories()->mutable_tree_digest() = shelve(tree.SerializeAsString());
    const cache::EntryName name{.door = "bazel", .instance = instance_, .key = action.hash()};
    shelf_->entries[key_of(name)] = {.value = result.SerializeAsString()};
    return result;
  }
  grpc::Status get(const reapi::Digest& action, reapi::ActionResult& result) {
    reapi::GetActionResultRequest request;
    request.set_instance_name(instance_);
    *request.mutable_action_digest() = action;
    return call(*actions_, &reapi::ActionCache::Stub::GetActionResult, request, result);
  }

  const base::SystemClock clock_;
  const std::shared_ptr<test::Shelf> shelf_ = std::make_shared<test::Shelf>();
  std::unique_ptr<cache::Tiers> tiers_;
};

TEST_F(GrpcOnTiers, AResultComesWithAllThatItNeeds) {
  const reapi::Digest action = digest_of("an action");
  const auto shelved = shelve_result(action, "an output", "a file");
  reapi::ActionResult result;
  ASSERT_EQ(code(get(action, result)), StatusCode::OK);
  EXPECT_EQ(result.SerializeAsString(), shelved.SerializeAsString());
  for (const char* bytes : {"an output", "a file"}) EXPECT_FALSE(is_missing(digest_of(bytes))) << bytes;
  EXPECT_EQ(code(get(digest_of("another"), result)), StatusCode::NOT_FOUND);
}

TEST_F(GrpcOnTiers, AResultWhoseTreeIsLostIsNone) {
  const reapi::Digest action = digest_of("an action");
  shelve_result(action, "an output", "a file");
  shelf_->blobs.erase(base::digest_of<BlobDigest>("a file"));
  reapi::ActionResult result;
  EXPECT_EQ(code(get(action, result)), StatusCode::NOT_FOUND);
}

TEST_F(GrpcOnTiers, BlobsAreReadFromItAndAreMissingUntilThen) {
  const std::string bytes = some_bytes(300'000);
  const reapi::Digest digest = shelve(bytes), other = shelve("another");
  EXPECT_TRUE(is_missing(digest)) << "a result that names it has to be kept complete here";
  std::string got;
  EXPECT_EQ(code(read(instance_ + "/blobs/" + path_of(digest), got)), StatusCode::OK);
  EXPECT_EQ(got, bytes);
  EXPECT_FALSE(is_missing(digest));
  EXPECT_EQ(code(read(instance_ + "/blobs/" + path_of(digest_of("nowhere")), got)), StatusCode::NOT_FOUND);
  reapi::BatchReadBlobsRequest request;
  request.set_instance_name(instance_);
  for (const auto& each : {digest_of("nowhere"), other, digest_of("")}) *request.add_digests() = each;
  reapi::BatchReadBlobsResponse response;
  ASSERT_EQ(code(call(*cas_, &reapi::ContentAddressableStorage::Stub::BatchReadBlobs, request, response)),
            StatusCode::OK);
  ASSERT_EQ(response.responses_size(), 3);
  EXPECT_EQ(response.responses(0).status().code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(response.responses(1).status().code(), StatusCode::OK);
  EXPECT_EQ(response.responses(1).data(), "another");
  EXPECT_EQ(response.responses(2).status().code(), StatusCode::OK);
}

TEST_F(GrpcOnTiers, WhatIsKeptGoesToIt) {
  const reapi::Digest action = digest_of("an action");
  reapi::UpdateActionResultRequest request;
  request.set_instance_name(instance_);
  *request.mutable_action_digest() = action;
  auto* const file = request.mutable_action_result()->add_output_files();
  file->set_path("a.o");
  *file->mutable_digest() = put("an output");
  reapi::ActionResult response;
  ASSERT_EQ(code(call(*actions_, &reapi::ActionCache::Stub::UpdateActionResult, request, response)), StatusCode::OK);
  EXPECT_EQ(tiers_->drain(clock_.steady_now() + std::chrono::seconds(60)), 0u);
  const auto entry = shelf_->entry({.door = "bazel", .instance = instance_, .key = action.hash()});
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->value, request.action_result().SerializeAsString());
  EXPECT_EQ(shelf_->blobs.at(base::digest_of<BlobDigest>("an output")), "an output");
}

TEST_F(GrpcOnTiers, ASickOneIsAMiss) {
  for (const auto sickness : {test::Sickness::black_hole, test::Sickness::io, test::Sickness::busy}) {
    shelf_->sickness = sickness;
    reapi::ActionResult result;
    EXPECT_EQ(code(get(digest_of("an action"), result)), StatusCode::NOT_FOUND);
    std::string got;
    EXPECT_EQ(code(read(instance_ + "/blobs/" + path_of(digest_of("nowhere")), got)), StatusCode::NOT_FOUND);
  }
}

}  // namespace
}  // namespace cairn::serve
