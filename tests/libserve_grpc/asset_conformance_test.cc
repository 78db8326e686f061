// SPDX-License-Identifier: Apache-2.0
// Remote Asset API: what was pushed, what is fetched, and how it ends if neither is there.
#include <build/bazel/remote/asset/v1/remote_asset.grpc.pb.h>

#include <map>

#include "libbase/base64.h"
#include "libcache/fetcher.h"
#include "tests/libserve_grpc/grpc_client.h"

namespace cairn::serve {
namespace {

namespace asset = build::bazel::remote::asset::v1;
using grpc::StatusCode;

// A web of a few pages.
class Web final : public cache::Fetcher {
 public:
  base::Result<cache::FetchAnswer> fetch(const cache::FetchRequest& request, std::stop_token) override {
    ++requests;
    if (request.url.starts_with("http://dead/")) return base::fail(base::ErrorCode::io, "nobody answers");
    const auto page = pages.find(request.url);
    cache::FetchAnswer answer{.status = page == pages.end() ? 404 : 200, .url = request.url, .headers = {}, .size = {}, .body = nullptr};
    if (request.url.starts_with("http://secret/")) answer.status = 403;
    if (answer.status == 200) answer.size = page->second.size();
    answer.body = std::make_unique<Text>(answer.status == 200 ? page->second : "");
    return answer;
  }
  std::map<std::string, std::string> pages;
  int requests = 0;

 private:
  struct Text final : base::ByteSource {
    explicit Text(std::string text) : rest(std::move(text)) {}
    base::Result<std::size_t> read(std::span<std::byte> out) override {
      const std::size_t count = std::min(out.size(), rest.size());
      std::memcpy(out.data(), rest.data(), count);
      rest.erase(0, count);
      return count;
    }
    std::string rest;
  };
};

class AssetConformance : public GrpcTest {
 protected:
  AssetConformance() { connect(); }
  void connect() {
    fetch_ = asset::Fetch::NewStub(channel_);
    push_ = asset::Push::NewStub(channel_);
  }
  void serve_with(Web& web) {
    GrpcOptions options;
    options.fetcher = &web;
    restart(options);
    connect();
  }
  using Qualifiers = std::vector<std::pair<std::string, std::string>>;
  asset::FetchBlobResponse fetch(const std::vector<std::string>& uris, const Qualifiers& qualifiers = {}, StatusCode expected = StatusCode::OK,
                                 std::int64_t oldest = 0) {
    asset::FetchBlobRequest request;
    fill(request, uris, qualifiers);
    if (oldest != 0) request.mutable_oldest_content_accepted()->set_seconds(oldest);
    asset::FetchBlobResponse response;
    const grpc::Status status = call(*fetch_, &asset::Fetch::Stub::FetchBlob, request, response);
    EXPECT_EQ(code(status), expected) << status.error_message();
    return response;
  }
  StatusCode push(const std::vector<std::string>& uris, const reapi::Digest& blob, const Qualifiers& qualifiers = {}, std::int64_t expires = 0) {
    asset::PushBlobRequest request;
    fill(request, uris, qualifiers);
    *request.mutable_blob_digest() = blob;
    if (expires != 0) request.mutable_expire_at()->set_seconds(expires);
    asset::PushBlobResponse response;
    return code(call(*push_, &asset::Push::Stub::PushBlob, request, response));
  }
  template <class Request>
  void fill(Request& request, const std::vector<std::string>& uris, const Qualifiers& qualifiers) {
    request.set_instance_name(instance_);
    for (const std::string& uri : uris) request.add_uris(uri);
    for (const auto& [name, value] : qualifiers) {
      auto* const qualifier = request.add_qualifiers();
      qualifier->set_name(name);
      qualifier->set_value(value);
    }
  }
  static std::string sri(std::string_view bytes) {
    const auto digest = base::digest_of<BlobDigest>(bytes);
    return "sha256-" + base::base64(digest.raw());
  }
  std::unique_ptr<asset::Fetch::Stub> fetch_;
  std::unique_ptr<asset::Push::Stub> push_;
};

TEST_F(AssetConformance, WhatWasPushedIsFoundUnderItsUriAndQualifiers) {
  const std::string bytes = some_bytes(1000);
  EXPECT_EQ(push({"http://a/x", "http://b/x"}, digest_of(bytes)), StatusCode::NOT_FOUND);  // the blob is not there
  put(bytes);
  EXPECT_EQ(push({"http://a/x", "http://b/x"}, digest_of(bytes), {{"k", "1"}, {"l", "2"}}), StatusCode::OK);
  for (const std::string uri : {"http://a/x", "http://b/x"}) {
    const auto found = fetch({"http://elsewhere/", uri}, {{"l", "2"}, {"k", "1"}});
    EXPECT_EQ(found.status().code(), 0);
    EXPECT_EQ(found.uri(), uri);
    EXPECT_EQ(found.blob_digest().hash(), digest_of(bytes).hash());
    EXPECT_EQ(found.blob_digest().size_bytes(), 1000);
  }
  fetch({"http://a/x"}, {{"k", "1"}}, StatusCode::INVALID_ARGUMENT);  // another name, of a qualifier that means nothing here
  EXPECT_EQ(fetch({"http://a/x"}).status().code(), StatusCode::NOT_FOUND);
  const std::string newer = some_bytes(10);
  put(newer);
  EXPECT_EQ(push({"http://a/x"}, digest_of(newer), {{"k", "1"}, {"l", "2"}}), StatusCode::OK);
  EXPECT_EQ(fetch({"http://a/x"}, {{"k", "1"}, {"l", "2"}}).blob_digest().size_bytes(), 10);
}

TEST_F(AssetConformance, WhatHasExpiredOrIsTooOldIsNotFound) {
  const std::string bytes = some_bytes(100);
  put(bytes);
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_EQ(push({"http://a/over"}, digest_of(bytes), {}, now - 10), StatusCode::OK);
  EXPECT_EQ(fetch({"http://a/over"}).status().code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(push({"http://a/lasts"}, digest_of(bytes), {}, now + 1000), StatusCode::OK);
  EXPECT_EQ(fetch({"http://a/lasts"}).expires_at().seconds(), now + 1000);
  EXPECT_EQ(fetch({"http://a/lasts"}, {}, StatusCode::OK, now + 500).status().code(), StatusCode::NOT_FOUND);
}

TEST_F(AssetConformance, ADirectoryStaysWithAllThatIsInIt) {
  const std::string file = some_bytes(50'000);
  reapi::Directory inner, root;
  inner.add_files()->set_name("f");
  *inner.mutable_files(0)->mutable_digest() = digest_of(file);
  const reapi::Digest inner_digest = put(inner.SerializeAsString());
  root.add_directories()->set_name("d");
  *root.mutable_directories(0)->mutable_digest() = inner_digest;
  const reapi::Digest root_digest = put(root.SerializeAsString());
  asset::PushDirectoryRequest request;
  fill(request, {"http://a/dir"}, {});
  *request.mutable_root_directory_digest() = root_digest;
  asset::PushDirectoryResponse response;
  EXPECT_EQ(code(call(*push_, &asset::Push::Stub::PushDirectory, request, response)), StatusCode::NOT_FOUND);  // the file is missing
  put(file);
  EXPECT_EQ(code(call(*push_, &asset::Push::Stub::PushDirectory, request, response)), StatusCode::OK);
  asset::FetchDirectoryRequest wanted;
  fill(wanted, {"http://a/dir"}, {});
  asset::FetchDirectoryResponse found;
  if (is_ours()) must(store_->cache->prune({}));
  ASSERT_EQ(code(call(*fetch_, &asset::Fetch::Stub::FetchDirectory, wanted, found)), StatusCode::OK);
  EXPECT_EQ(found.root_directory_digest().hash(), root_digest.hash());
  EXPECT_FALSE(is_missing(digest_of(file)));
  fill(wanted, {}, {});
  wanted.set_uris(0, "http://a/other");
  ASSERT_EQ(code(call(*fetch_, &asset::Fetch::Stub::FetchDirectory, wanted, found)), StatusCode::OK);
  EXPECT_EQ(found.status().code(), StatusCode::NOT_FOUND);
}

TEST_F(AssetConformance, BadRequestsAreRefused) {
  fetch({}, {}, StatusCode::INVALID_ARGUMENT);
  fetch(std::vector<std::string>(65, "http://a/x"), {}, StatusCode::INVALID_ARGUMENT);
  for (const std::string checksum : {"sha256-", "sha256-xyz", "md5-AAAA", "sha256-" "AAAA"}) fetch({"http://a/x"}, {{"checksum.sri", checksum}}, StatusCode::INVALID_ARGUMENT);
  reapi::Digest bad;
  bad.set_hash("x");
  EXPECT_EQ(push({"http://a/x"}, bad), StatusCode::INVALID_ARGUMENT);
}

TEST_F(AssetConformance, WhatIsNotThereIsFetchedOnceAndCompared) {
  if (!is_ours()) return;  // the web of another server is not ours
  Web web;
  web.pages["http://a/file"] = some_bytes(700'000);
  serve_with(web);
  const std::string& bytes = web.pages["http://a/file"];
  auto found = fetch({"http://dead/file", "http://a/file"}, {{"checksum.sri", sri(bytes)}, {"bazel.canonical_id", "x"}});
  EXPECT_EQ(found.status().code(), 0) << found.status().message();
  EXPECT_EQ(found.uri(), "http://a/file");
  EXPECT_EQ(found.blob_digest().hash(), digest_of(bytes).hash());
  std::string back;
  ASSERT_TRUE(read(instance_ + "/blobs/" + path_of(found.blob_digest()), back).ok());
  EXPECT_TRUE(back == bytes);
  EXPECT_EQ(web.requests, 2);
  fetch({"http://a/file"}, {{"checksum.sri", sri(bytes)}, {"bazel.canonical_id", "x"}});
  fetch({"http://mirror/file"}, {{"checksum.sri", sri(bytes)}});  // who knows what it is, need not know where
  EXPECT_EQ(web.requests, 2);

  EXPECT_EQ(fetch({"http://a/file"}, {{"checksum.sri", sri("something else")}}).status().code(), StatusCode::ABORTED);
  EXPECT_EQ(fetch({"http://a/none"}).status().code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(fetch({"http://secret/x"}).status().code(), StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(fetch({"http://dead/x"}).status().code(), StatusCode::UNAVAILABLE);
  fetch({"http://a/file"}, {{"vcs.branch", "main"}}, StatusCode::INVALID_ARGUMENT);
  server_.reset();
  EXPECT_TRUE(must(store_->cache->check()).empty());
}

}  // namespace
}  // namespace cairn::serve
