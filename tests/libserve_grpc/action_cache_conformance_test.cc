// SPDX-License-Identifier: Apache-2.0
// ActionCache, and that a hit is complete (spec/reapi 1.1, 1.4).
#include "tests/libserve_grpc/grpc_client.h"

namespace cairn::serve {
namespace {

using grpc::StatusCode;
using Actions = reapi::ActionCache::Stub;

class ActionCacheConformance : public GrpcTest {
 protected:
  grpc::Status store(const reapi::Digest& action, const reapi::ActionResult& result) {
    reapi::UpdateActionResultRequest request;
    request.set_instance_name(instance_);
    *request.mutable_action_digest() = action;
    *request.mutable_action_result() = result;
    reapi::ActionResult response;
    return call(*actions_, &Actions::UpdateActionResult, request, response);
  }
  reapi::GetActionResultRequest asking(const reapi::Digest& action) {
    reapi::GetActionResultRequest request;
    request.set_instance_name(instance_);
    *request.mutable_action_digest() = action;
    return request;
  }
  grpc::Status get(const reapi::Digest& action, reapi::ActionResult& result) {
    return call(*actions_, &Actions::GetActionResult, asking(action), result);
  }

  // A file, a tree with a file in it, and what it printed.
  reapi::ActionResult result_of(const std::string& file, const std::string& in_tree, const std::string& printed) {
    reapi::ActionResult result;
    auto* const out = result.add_output_files();
    out->set_path("out/file.o");
    *out->mutable_digest() = digest_of(file);
    reapi::Tree tree;
    auto* const node = tree.add_children()->add_files();
    node->set_name("x");
    *node->mutable_digest() = digest_of(in_tree);
    const std::string tree_bytes = tree.SerializeAsString();
    put(tree_bytes);
    auto* const folder = result.add_output_directories();
    folder->set_path("out/folder");
    *folder->mutable_tree_digest() = digest_of(tree_bytes);
    *result.mutable_stdout_digest() = digest_of(printed);
    result.set_exit_code(0);
    result.mutable_execution_metadata()->set_worker("somebody");
    return result;
  }
};

TEST_F(ActionCacheConformance, AResultComesBackAsItWasStored) {
  const std::string file = some_bytes(1000), in_tree = some_bytes(100), printed = some_bytes(10);
  put(file), put(in_tree), put(printed);
  const reapi::ActionResult result = result_of(file, in_tree, printed);
  const reapi::Digest action = digest_of(some_bytes(50));
  reapi::ActionResult found;
  EXPECT_EQ(code(get(action, found)), StatusCode::NOT_FOUND);
  const grpc::Status stored = store(action, result);
  ASSERT_TRUE(stored.ok()) << stored.error_message();
  ASSERT_TRUE(get(action, found).ok());
  EXPECT_EQ(found.SerializeAsString(), result.SerializeAsString());
  reapi::ActionResult other = result;
  other.set_exit_code(7);
  ASSERT_TRUE(store(action, other).ok());
  ASSERT_TRUE(get(action, found).ok());
  EXPECT_EQ(found.exit_code(), 7);
}

TEST_F(ActionCacheConformance, AResultWhoseOutputsAreNotThereIsRefused) {
  const std::string file = some_bytes(1000), in_tree = some_bytes(100), printed = some_bytes(10);
  const reapi::ActionResult result = result_of(file, in_tree, printed);
  const reapi::Digest action = digest_of(some_bytes(50));
  reapi::ActionResult found;
  for (const std::string& bytes : {file, in_tree, printed}) {
    if (is_ours()) {
      EXPECT_EQ(code(store(action, result)), StatusCode::FAILED_PRECONDITION);
    }
    EXPECT_EQ(code(get(action, found)), StatusCode::NOT_FOUND);
    put(bytes);
  }
  EXPECT_TRUE(store(action, result).ok());
  reapi::ActionResult lying = result;
  lying.mutable_output_files(0)->mutable_digest()->set_size_bytes(999);
  if (is_ours()) {
    EXPECT_EQ(code(store(digest_of(some_bytes(51)), lying)), StatusCode::FAILED_PRECONDITION);
  }
}

TEST_F(ActionCacheConformance, InstancesDoNotShareTheirResults) {
  const reapi::Digest action = digest_of(some_bytes(50));
  reapi::ActionResult result;
  result.set_exit_code(3);
  ASSERT_TRUE(store(action, result).ok());
  reapi::GetActionResultRequest request = asking(action);
  request.set_instance_name("another");
  reapi::ActionResult found;
  EXPECT_EQ(code(call(*actions_, &Actions::GetActionResult, request, found)), StatusCode::NOT_FOUND);
}

TEST_F(ActionCacheConformance, SmallOutputsComeInTheAnswerIfTheyAreAskedFor) {
  const std::string file = some_bytes(1000), in_tree = some_bytes(100), printed = some_bytes(10);
  put(file), put(in_tree), put(printed);
  const reapi::Digest action = digest_of(some_bytes(50));
  ASSERT_TRUE(store(action, result_of(file, in_tree, printed)).ok());
  reapi::GetActionResultRequest request = asking(action);
  request.set_inline_stdout(true);
  request.add_inline_output_files("out/file.o");
  reapi::ActionResult found;
  ASSERT_TRUE(call(*actions_, &Actions::GetActionResult, request, found).ok());
  EXPECT_EQ(found.stdout_raw(), printed);
  EXPECT_EQ(found.output_files(0).contents(), file);
  EXPECT_EQ(found.output_files(0).digest().hash(), digest_of(file).hash());
}

TEST_F(ActionCacheConformance, BadRequestsAreRefused) {
  reapi::Digest bad;
  bad.set_hash("x");
  reapi::ActionResult found;
  EXPECT_EQ(code(get(bad, found)), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(code(store(bad, {})), StatusCode::INVALID_ARGUMENT);
  reapi::UpdateActionResultRequest nothing;
  *nothing.mutable_action_digest() = digest_of(some_bytes(5));
  EXPECT_EQ(code(call(*actions_, &Actions::UpdateActionResult, nothing, found)), StatusCode::INVALID_ARGUMENT);
  reapi::ActionResult result;
  result.add_output_files()->mutable_digest()->set_hash("nonsense");
  EXPECT_EQ(code(store(digest_of(some_bytes(5)), result)), StatusCode::INVALID_ARGUMENT);
}

// What no record names any more can go, and what a result names stays: a collection in between takes no output away.
TEST_F(ActionCacheConformance, AHitIsCompleteWhateverACollectionTakes) {
  if (!is_ours()) return;
  const std::string file = some_bytes(100'000), in_tree = some_bytes(100), printed = some_bytes(10);
  put(file), put(in_tree), put(printed);
  const reapi::Digest action = digest_of(some_bytes(50));
  ASSERT_TRUE(store(action, result_of(file, in_tree, printed)).ok());
  must(store_->cache->prune({}));
  reapi::ActionResult found;
  ASSERT_TRUE(get(action, found).ok());
  for (const std::string& bytes : {file, in_tree, printed}) EXPECT_FALSE(is_missing(digest_of(bytes)));
  must(store_->cache->prune({.all = true}));
  EXPECT_EQ(code(get(action, found)), StatusCode::NOT_FOUND);
  EXPECT_TRUE(must(store_->cache->check()).empty());
}

}  // namespace
}  // namespace cairn::serve
