// SPDX-License-Identifier: Apache-2.0
// ContentAddressableStorage and Capabilities, method by method and code by code (spec/reapi 1.1, 1.4).
#include "tests/libserve_grpc/grpc_client.h"

#include "libbase/compress/decoder.h"

namespace cairn::serve {
namespace {

using Cas = reapi::ContentAddressableStorage::Stub;
using grpc::StatusCode;

class CasConformance : public GrpcTest {};

const std::string empty_bytes;

TEST_F(CasConformance, CapabilitiesNameVersionsLimitsAndWhatIsSupported) {
  reapi::GetCapabilitiesRequest request;
  request.set_instance_name(instance_);
  reapi::ServerCapabilities found;
  ASSERT_TRUE(call(*capabilities_, &reapi::Capabilities::Stub::GetCapabilities, request, found).ok());
  EXPECT_EQ(found.low_api_version().major(), 2);
  EXPECT_EQ(found.low_api_version().minor(), 0);  // clients of 2.0 refuse any other
  EXPECT_EQ(found.high_api_version().major(), 2);
  EXPECT_GE(found.high_api_version().minor(), 3);
  const auto& cache = found.cache_capabilities();
  EXPECT_THAT(cache.digest_functions(), ::testing::Contains(reapi::DigestFunction::SHA256));
  EXPECT_TRUE(cache.action_cache_update_capabilities().update_enabled());
  ASSERT_GE(cache.cache_priority_capabilities().priorities_size(), 1);
  EXPECT_LE(cache.cache_priority_capabilities().priorities(0).min_priority(), -100);
  EXPECT_GE(cache.cache_priority_capabilities().priorities(0).max_priority(), 100);
  EXPECT_GT(cache.max_batch_total_size_bytes(), 0);
  EXPECT_LT(cache.max_batch_total_size_bytes(), 4 << 20);
  EXPECT_EQ(cache.symlink_absolute_path_strategy(), reapi::SymlinkAbsolutePathStrategy::ALLOWED);
  EXPECT_THAT(cache.supported_compressors(), ::testing::Contains(reapi::Compressor::ZSTD));
  EXPECT_TRUE(cache.split_blob_support());
  EXPECT_TRUE(cache.splice_blob_support());
  EXPECT_EQ(cache.fast_cdc_2020_params().avg_chunk_size_bytes(), 524288u);
}

TEST_F(CasConformance, WhatWasPutIsNotMissingAndWhatWasNotIs) {
  const std::string here = some_bytes(100), large = some_bytes(300'000);
  put(here);
  put(large);
  reapi::FindMissingBlobsRequest request;
  request.set_instance_name(instance_);
  const auto add = [&](const reapi::Digest& digest) { *request.add_blob_digests() = digest; };
  const reapi::Digest missing = digest_of(some_bytes(100));
  for (const reapi::Digest& digest : {digest_of(here), missing, digest_of(large), digest_of(""), missing}) add(digest);
  reapi::FindMissingBlobsResponse response;
  ASSERT_TRUE(call(*cas_, &Cas::FindMissingBlobs, request, response).ok());
  ASSERT_EQ(response.missing_blob_digests_size(), 1);  // once, and never the empty one
  EXPECT_EQ(response.missing_blob_digests(0).hash(), missing.hash());
}

TEST_F(CasConformance, ABlobOfAnotherSizeIsAnotherBlob) {
  const std::string bytes = some_bytes(100);
  reapi::Digest wrong = put(bytes);
  wrong.set_size_bytes(99);
  EXPECT_TRUE(is_missing(wrong));
  EXPECT_EQ(code(update(bytes, wrong)), StatusCode::INVALID_ARGUMENT);
  std::string read_bytes;
  EXPECT_EQ(code(read(instance_ + "/blobs/" + path_of(wrong), read_bytes)), StatusCode::NOT_FOUND);
  EXPECT_EQ(read_bytes, "");
}

TEST_F(CasConformance, DigestsOfAnyOtherFormAreRefused) {
  const std::string hash = digest_of("x").hash();
  for (const auto& [text, size] : std::vector<std::pair<std::string, std::int64_t>>{{"", 1},
                                                                                    {hash.substr(1), 1},
                                                                                    {hash + "0", 1},
                                                                                    {std::string(64, 'A'), 1},
                                                                                    {std::string(64, 'g'), 1},
                                                                                    {hash, -1},
                                                                                    {hash, 0},
                                                                                    {"../" + hash.substr(3), 1}}) {
    reapi::FindMissingBlobsRequest request;
    request.add_blob_digests()->set_hash(text);
    request.mutable_blob_digests(0)->set_size_bytes(size);
    reapi::FindMissingBlobsResponse response;
    EXPECT_EQ(code(call(*cas_, &Cas::FindMissingBlobs, request, response)), StatusCode::INVALID_ARGUMENT)
        << text << "/" << size;
  }
  reapi::FindMissingBlobsRequest other_function;
  other_function.set_digest_function(reapi::DigestFunction::SHA1);
  reapi::FindMissingBlobsResponse response;
  EXPECT_EQ(code(call(*cas_, &Cas::FindMissingBlobs, other_function, response)), StatusCode::INVALID_ARGUMENT);
}

TEST_F(CasConformance, AnInstanceNameCannotBeAPathTrick) {
  for (const std::string& instance :
       {std::string("../x"), std::string("a/../b"), std::string("/a"), std::string("a//b"), std::string("a/blobs"),
        std::string("a\nb"), std::string(5000, 'a')}) {
    reapi::FindMissingBlobsRequest request;
    request.set_instance_name(instance);
    reapi::FindMissingBlobsResponse response;
    EXPECT_EQ(code(call(*cas_, &Cas::FindMissingBlobs, request, response)), StatusCode::INVALID_ARGUMENT) << instance;
  }
}

TEST_F(CasConformance, ABatchAnswersForEachOfItsBlobsInTheirOrder) {
  const std::string good = some_bytes(1000), packed = std::string(5000, 'p') + some_bytes(10);
  reapi::BatchUpdateBlobsRequest request;
  request.set_instance_name(instance_);
  const auto add = [&](const reapi::Digest& digest, std::string data,
                       reapi::Compressor::Value compressor = reapi::Compressor::IDENTITY) {
    auto* const one = request.add_requests();
    *one->mutable_digest() = digest;
    one->set_data(std::move(data));
    one->set_compressor(compressor);
  };
  add(digest_of(good), good);
  add(digest_of(some_bytes(1000)), some_bytes(1000));  // other bytes
  add(digest_of(packed), must(base::compress(base::Compression::zstd, packed)), reapi::Compressor::ZSTD);
  add(digest_of("deflated"), "deflated", reapi::Compressor::DEFLATE);  // nobody knows it here
  add(digest_of("not packed"), "not packed", reapi::Compressor::ZSTD);
  add(digest_of(""), "");
  reapi::BatchUpdateBlobsResponse response;
  ASSERT_TRUE(call(*cas_, &Cas::BatchUpdateBlobs, request, response).ok());
  ASSERT_EQ(response.responses_size(), request.requests_size());
  const std::vector<int> expected = {0, 3, 0, 3, 3, 0};
  for (int i = 0; i < response.responses_size(); ++i) {
    EXPECT_EQ(response.responses(i).digest().hash(), request.requests(i).digest().hash());
    EXPECT_EQ(response.responses(i).status().code(), expected[static_cast<std::size_t>(i)])
        << i << ": " << response.responses(i).status().message();
    EXPECT_EQ(is_missing(request.requests(i).digest()), expected[static_cast<std::size_t>(i)] != 0) << i;
  }
}

TEST_F(CasConformance, ABatchThatIsTooLargeIsRefusedAsAWhole) {
  reapi::BatchUpdateBlobsRequest request;
  const std::string bytes = some_bytes((4 << 20) - 10'000);
  *request.add_requests()->mutable_digest() = digest_of(bytes);
  request.mutable_requests(0)->set_data(bytes);
  reapi::BatchUpdateBlobsResponse response;
  EXPECT_EQ(code(call(*cas_, &Cas::BatchUpdateBlobs, request, response)), StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(is_missing(digest_of(bytes)));
  reapi::BatchReadBlobsRequest read_request;
  for (int i = 0; i < 5; ++i) {
    *read_request.add_digests() = digest_of(bytes);
    read_request.mutable_digests(i)->set_size_bytes(1 << 20);
  }
  reapi::BatchReadBlobsResponse read_response;
  EXPECT_EQ(code(call(*cas_, &Cas::BatchReadBlobs, read_request, read_response)), StatusCode::INVALID_ARGUMENT);
}

TEST_F(CasConformance, BatchReadGivesEachBlobOrSaysWhyNot) {
  const std::string small = some_bytes(100), large = some_bytes(200'000);
  put(small);
  put(large);
  reapi::BatchReadBlobsRequest request;
  request.set_instance_name(instance_);
  request.add_acceptable_compressors(reapi::Compressor::ZSTD);
  for (const reapi::Digest& digest : {digest_of(small), digest_of(some_bytes(9)), digest_of(large), digest_of("")})
    *request.add_digests() = digest;
  reapi::Digest* const other_size = request.add_digests();
  *other_size = digest_of(small);
  other_size->set_size_bytes(101);
  reapi::BatchReadBlobsResponse response;
  ASSERT_TRUE(call(*cas_, &Cas::BatchReadBlobs, request, response).ok());
  ASSERT_EQ(response.responses_size(), 5);
  EXPECT_EQ(response.responses(0).data(), small);
  EXPECT_EQ(response.responses(1).status().code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(response.responses(2).data(), large);
  EXPECT_EQ(response.responses(3).status().code(), StatusCode::OK);
  EXPECT_EQ(response.responses(4).status().code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(response.responses(4).data(), "");
}

// A tree of directories that share some: each once, breadth first.
TEST_F(CasConformance, GetTreeGivesEachDirectoryOncePageByPage) {
  reapi::Directory leaf;
  leaf.add_files()->set_name("file");
  *leaf.mutable_files(0)->mutable_digest() = digest_of(some_bytes(3));
  const reapi::Digest leaf_digest = put(leaf.SerializeAsString());
  reapi::Directory root;
  for (int i = 0; i < 12; ++i) {
    reapi::Directory middle;
    auto* const child = middle.add_directories();
    child->set_name("leaf");
    *child->mutable_digest() = leaf_digest;
    middle.add_symlinks()->set_name("link" + std::to_string(i));
    auto* const node = root.add_directories();
    node->set_name("d" + std::to_string(i));
    *node->mutable_digest() = put(middle.SerializeAsString());
  }
  auto* const gone = root.add_directories();
  gone->set_name("gone");
  *gone->mutable_digest() = digest_of(some_bytes(7));
  const reapi::Digest root_digest = put(root.SerializeAsString());
  const auto get = [&](int page_size, const std::string& token, std::vector<int>& sizes,
                       std::vector<std::string>& tokens) {
    grpc::ClientContext context;
    reapi::GetTreeRequest request;
    request.set_instance_name(instance_);
    *request.mutable_root_digest() = root_digest;
    request.set_page_size(page_size);
    request.set_page_token(token);
    const auto reader = cas_->GetTree(&context, request);
    reapi::GetTreeResponse page;
    std::vector<reapi::Directory> all;
    while (reader->Read(&page)) {
      sizes.push_back(page.directories_size());
      tokens.push_back(page.next_page_token());
      for (const auto& directory : page.directories()) all.push_back(directory);
    }
    EXPECT_TRUE(reader->Finish().ok());
    return all;
  };
  std::vector<int> sizes;
  std::vector<std::string> tokens;
  const auto all = get(0, "", sizes, tokens);
  ASSERT_EQ(all.size(), 14u);  // the root, twelve, and the leaf once; what is gone is left out
  EXPECT_EQ(all.front().directories_size(), 13);
  EXPECT_EQ(tokens.back(), "");
  sizes.clear();
  tokens.clear();
  EXPECT_EQ(get(5, "", sizes, tokens).size(), 14u);
  EXPECT_EQ(sizes, (std::vector{5, 5, 4}));
  ASSERT_NE(tokens.front(), "");
  std::vector<int> rest;
  std::vector<std::string> rest_tokens;
  EXPECT_EQ(get(5, tokens.front(), rest, rest_tokens).size(), 9u);
  grpc::ClientContext context;
  reapi::GetTreeRequest missing;
  *missing.mutable_root_digest() = digest_of(some_bytes(20));
  const auto reader = cas_->GetTree(&context, missing);
  reapi::GetTreeResponse page;
  EXPECT_FALSE(reader->Read(&page));
  EXPECT_EQ(code(reader->Finish()), StatusCode::NOT_FOUND);
}

TEST_F(CasConformance, ABlobIsSplitIntoChunksThatMakeItAgain) {
  const std::string bytes = some_bytes(5 << 20);
  bytestream::WriteResponse written;
  ASSERT_TRUE(write(pieces(instance_ + "/uploads/u/blobs/" + path_of(digest_of(bytes)), bytes, 1 << 20), written).ok());
  reapi::SplitBlobRequest request;
  request.set_instance_name(instance_);
  *request.mutable_blob_digest() = digest_of(bytes);
  reapi::SplitBlobResponse split;
  ASSERT_TRUE(call(*cas_, &Cas::SplitBlob, request, split).ok());
  EXPECT_EQ(split.chunking_function(), reapi::ChunkingFunction::FAST_CDC_2020);
  ASSERT_GT(split.chunk_digests_size(), 2);
  std::string joined;
  for (int i = 0; i < split.chunk_digests_size(); ++i) {
    const reapi::Digest& chunk = split.chunk_digests(i);
    std::string part;
    ASSERT_TRUE(read(instance_ + "/blobs/" + path_of(chunk), part).ok());
    if (i + 1 < split.chunk_digests_size()) {
      EXPECT_GE(part.size(), 131072u);
    }
    EXPECT_LE(part.size(), 2097152u);
    joined += part;
  }
  EXPECT_EQ(joined, bytes);

  reapi::SpliceBlobRequest splice;
  splice.set_instance_name(instance_);
  std::string turned;
  for (int i = split.chunk_digests_size() - 1; i >= 0; --i) {
    std::string part;
    ASSERT_TRUE(read(instance_ + "/blobs/" + path_of(split.chunk_digests(i)), part).ok());
    turned += part;
    *splice.add_chunk_digests() = split.chunk_digests(i);
  }
  *splice.mutable_blob_digest() = digest_of(turned);
  reapi::SpliceBlobResponse spliced;
  ASSERT_TRUE(is_missing(digest_of(turned)));
  ASSERT_TRUE(call(*cas_, &Cas::SpliceBlob, splice, spliced).ok());
  EXPECT_EQ(spliced.blob_digest().hash(), digest_of(turned).hash());
  std::string back;
  ASSERT_TRUE(read(instance_ + "/blobs/" + path_of(digest_of(turned)), back).ok());
  EXPECT_EQ(back, turned);
  EXPECT_TRUE(call(*cas_, &Cas::SpliceBlob, splice, spliced).ok());  // it is there already

  *splice.mutable_blob_digest() = digest_of(some_bytes(static_cast<std::size_t>(digest_of(turned).size_bytes())));
  EXPECT_EQ(code(call(*cas_, &Cas::SpliceBlob, splice, spliced)), StatusCode::INVALID_ARGUMENT);  // other bytes
  splice.mutable_blob_digest()->set_size_bytes(5);
  EXPECT_EQ(code(call(*cas_, &Cas::SpliceBlob, splice, spliced)), StatusCode::INVALID_ARGUMENT);
  *splice.add_chunk_digests() = digest_of(some_bytes(11));
  EXPECT_EQ(code(call(*cas_, &Cas::SpliceBlob, splice, spliced)), StatusCode::NOT_FOUND);
  *request.mutable_blob_digest() = digest_of(some_bytes(12));
  EXPECT_EQ(code(call(*cas_, &Cas::SplitBlob, request, split)), StatusCode::NOT_FOUND);
}

TEST_F(CasConformance, AFullStoreTakesNothingMoreAndLosesNothing) {
  if (!is_ours()) return;  // the quota of another server is not ours to set
  const reapi::Digest before = put(some_bytes(1000));
  GrpcOptions options;
  options.live_bytes_max = must(store_->cache->disk_usage()).live_bytes() + 200'000;
  restart(options);
  EXPECT_TRUE(update(some_bytes(100'000), {}).error_code() == StatusCode::INVALID_ARGUMENT);
  std::vector<std::string> kept;
  grpc::Status last;
  for (int i = 0; i < 20 && last.ok(); ++i) {
    kept.push_back(some_bytes(60'000));
    last = update(kept.back(), digest_of(kept.back()));
  }
  EXPECT_EQ(code(last), StatusCode::RESOURCE_EXHAUSTED);
  const std::string refused = kept.back();
  kept.pop_back();
  EXPECT_TRUE(is_missing(digest_of(refused)));
  for (const std::string& bytes : kept) EXPECT_FALSE(is_missing(digest_of(bytes)));
  EXPECT_FALSE(is_missing(before));
  bytestream::WriteResponse written;
  EXPECT_EQ(code(write(pieces("uploads/u/blobs/" + path_of(digest_of(refused)), refused), written)),
            StatusCode::RESOURCE_EXHAUSTED);
}

}  // namespace
}  // namespace cairn::serve
