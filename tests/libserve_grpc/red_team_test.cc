// SPDX-License-Identifier: Apache-2.0
// Whoever may not read an instance tries to learn what is in it, and whoever is not trusted tries to be believed: over gRPC.
// A blob of others must be answered word for word as one that nobody has.
#include <google/protobuf/message.h>
#include <sys/stat.h>
#include <unistd.h>

#include <build/bazel/remote/asset/v1/remote_asset.grpc.pb.h>
#include "libbase/base64.h"
#include "libcache/promotion.h"
#include "tests/libserve/some_access.h"
#include "tests/libserve_grpc/grpc_client.h"

namespace cairn::serve {
namespace {

namespace asset = build::bazel::remote::asset::v1;
using grpc::StatusCode;

// What somebody sees of an answer.
std::string seen(const grpc::Status& status, const google::protobuf::Message& response) {
  return std::to_string(status.error_code()) + " " + status.error_message() + " " + response.ShortDebugString();
}

AccessRules rules_of_the_red_team() {
  AccessRules rules = some_rules();
  rules.tokens.push_back({{.name = "stranger", .trust = cache::Trust::untrusted, .grants = rules.tokens[1].who.grants}, SecretHash::of_token("stranger")});
  return rules;
}

struct RedTeam : ::testing::Test {
  RedTeam() {
    server = must(GrpcServer::start(*store.cache, {.address = "127.0.0.1:0", .spool = store.root() / "tmp", .access = &access}));
    const auto channel = grpc::CreateChannel(server->address(), grpc::InsecureChannelCredentials());
    cas = reapi::ContentAddressableStorage::NewStub(channel);
    actions = reapi::ActionCache::NewStub(channel);
    streams = bytestream::ByteStream::NewStub(channel);
    fetch = asset::Fetch::NewStub(channel);
    push = asset::Push::NewStub(channel);
  }
  struct Party {
    std::string token, instance;
  };
  const Party team{"writer", "team"}, other{"other", "other"}, reader{"reader", "team"}, stranger{"stranger", "team"};

  static void introduce(const Party& who, grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    context.AddMetadata("authorization", "Bearer " + who.token);
  }
  template <class Stub, class Method, class Request, class Response>
  grpc::Status call(const Party& who, Stub& stub, Method method, Request request, Response& response) {
    if constexpr (requires { request.set_instance_name(who.instance); }) request.set_instance_name(who.instance);
    grpc::ClientContext context;
    introduce(who, context);
    return (stub.*method)(&context, request, &response);
  }
  using Cas = reapi::ContentAddressableStorage::Stub;

  std::string update(const Party& who, const std::string& bytes) {
    reapi::BatchUpdateBlobsRequest request;
    *request.add_requests()->mutable_digest() = digest_of(bytes);
    request.mutable_requests(0)->set_data(bytes);
    reapi::BatchUpdateBlobsResponse response;
    return seen(call(who, *cas, &Cas::BatchUpdateBlobs, request, response), response);
  }
  std::string find_missing(const Party& who, const reapi::Digest& digest) {
    reapi::FindMissingBlobsRequest request;
    *request.add_blob_digests() = digest;
    reapi::FindMissingBlobsResponse response;
    return seen(call(who, *cas, &Cas::FindMissingBlobs, request, response), response);
  }
  std::string batch_read(const Party& who, const reapi::Digest& digest) {
    reapi::BatchReadBlobsRequest request;
    *request.add_digests() = digest;
    reapi::BatchReadBlobsResponse response;
    return seen(call(who, *cas, &Cas::BatchReadBlobs, request, response), response);
  }
  std::string split(const Party& who, const reapi::Digest& digest) {
    reapi::SplitBlobRequest request;
    *request.mutable_blob_digest() = digest;
    reapi::SplitBlobResponse response;
    return seen(call(who, *cas, &Cas::SplitBlob, request, response), response);
  }
  std::string splice(const Party& who, const reapi::Digest& digest) {
    reapi::SpliceBlobRequest request;
    *request.mutable_blob_digest() = digest;
    *request.add_chunk_digests() = digest;
    reapi::SpliceBlobResponse response;
    return seen(call(who, *cas, &Cas::SpliceBlob, request, response), response);
  }
  std::string get_tree(const Party& who, const reapi::Digest& digest) {
    reapi::GetTreeRequest request;
    request.set_instance_name(who.instance);
    *request.mutable_root_digest() = digest;
    grpc::ClientContext context;
    introduce(who, context);
    const auto stream = cas->GetTree(&context, request);
    std::string all;
    for (reapi::GetTreeResponse page; stream->Read(&page);) all += page.ShortDebugString();
    return all + seen(stream->Finish(), reapi::GetTreeResponse());
  }
  std::string read(const Party& who, const reapi::Digest& digest) {
    bytestream::ReadRequest request;
    request.set_resource_name(who.instance + "/blobs/" + path_of(digest));
    grpc::ClientContext context;
    introduce(who, context);
    const auto stream = streams->Read(&context, request);
    std::string all;
    for (bytestream::ReadResponse part; stream->Read(&part);) all += part.data();
    return all + seen(stream->Finish(), bytestream::ReadResponse());
  }
  // The first piece of a write, and no other: one whose blob is there would be told so.
  std::string begin_write(const Party& who, const reapi::Digest& digest) {
    bytestream::WriteResponse response;
    grpc::ClientContext context;
    introduce(who, context);
    const auto stream = streams->Write(&context, &response);
    bytestream::WriteRequest request;
    request.set_resource_name(who.instance + "/uploads/" + std::to_string(++uploads) + "/blobs/" + path_of(digest));
    request.set_data("x");
    stream->Write(request);
    stream->WritesDone();
    return seen(stream->Finish(), response);
  }
  std::string query_write(const Party& who, const reapi::Digest& digest) {
    bytestream::QueryWriteStatusRequest request;
    request.set_resource_name(who.instance + "/uploads/" + std::to_string(++uploads) + "/blobs/" + path_of(digest));
    bytestream::QueryWriteStatusResponse response;
    return seen(call(who, *streams, &bytestream::ByteStream::Stub::QueryWriteStatus, request, response), response);
  }
  std::string keep_result(const Party& who, const std::string& action, const reapi::Digest& output) {
    reapi::UpdateActionResultRequest request;
    *request.mutable_action_digest() = digest_of(action);
    auto* const file = request.mutable_action_result()->add_output_files();
    file->set_path("out");
    *file->mutable_digest() = output;
    reapi::ActionResult response;
    return seen(call(who, *actions, &reapi::ActionCache::Stub::UpdateActionResult, request, response), response);
  }
  std::optional<reapi::ActionResult> find_result(const Party& who, const std::string& action) {
    reapi::GetActionResultRequest request;
    *request.mutable_action_digest() = digest_of(action);
    reapi::ActionResult response;
    const grpc::Status status = call(who, *actions, &reapi::ActionCache::Stub::GetActionResult, request, response);
    EXPECT_TRUE(status.ok() || status.error_code() == StatusCode::NOT_FOUND) << status.error_message();
    return status.ok() ? std::optional(response) : std::nullopt;
  }
  std::string push_blob(const Party& who, const reapi::Digest& digest) {
    asset::PushBlobRequest request;
    request.add_uris("https://example.com/pushed");
    *request.mutable_blob_digest() = digest;
    asset::PushBlobResponse response;
    return seen(call(who, *push, &asset::Push::Stub::PushBlob, request, response), response);
  }
  std::string fetch_by_checksum(const Party& who, const reapi::Digest& digest) {
    asset::FetchBlobRequest request;
    request.add_uris("https://example.com/fetched");
    request.add_qualifiers()->set_name("checksum.sri");
    request.mutable_qualifiers(0)->set_value("sha256-" + base::base64(must(BlobDigest::parse("sha256:" + digest.hash())).raw()));
    asset::FetchBlobResponse response;
    return seen(call(who, *fetch, &asset::Fetch::Stub::FetchBlob, request, response), response);
  }

  cache::OpenStore store;
  const Access access{rules_of_the_red_team()};
  std::unique_ptr<GrpcServer> server;
  std::unique_ptr<Cas> cas;
  std::unique_ptr<reapi::ActionCache::Stub> actions;
  std::unique_ptr<bytestream::ByteStream::Stub> streams;
  std::unique_ptr<asset::Fetch::Stub> fetch;
  std::unique_ptr<asset::Push::Stub> push;
  int uploads = 0;
};

TEST_F(RedTeam, ABlobOfOthersIsAnsweredAsOneThatNobodyHas) {
  reapi::Directory directory;
  directory.add_files()->set_name("a");
  *directory.mutable_files(0)->mutable_digest() = digest_of("hello");
  const std::string secret = directory.SerializeAsString();
  std::string unknown = secret;
  unknown.back() ^= 1;
  ASSERT_THAT(update(team, secret), ::testing::HasSubstr("status { }"));
  using Probe = std::string (RedTeam::*)(const Party&, const reapi::Digest&);
  const std::map<std::string, Probe> probes = {
      {"FindMissingBlobs", &RedTeam::find_missing}, {"BatchReadBlobs", &RedTeam::batch_read}, {"SplitBlob", &RedTeam::split},
      {"SpliceBlob", &RedTeam::splice},             {"GetTree", &RedTeam::get_tree},          {"Read", &RedTeam::read},
      {"Write", &RedTeam::begin_write},             {"QueryWriteStatus", &RedTeam::query_write},
      {"PushBlob", &RedTeam::push_blob},            {"FetchBlob", &RedTeam::fetch_by_checksum}};
  const auto masked = [](std::string text, const reapi::Digest& digest) {
    for (auto at = text.find(digest.hash()); at != std::string::npos; at = text.find(digest.hash())) text.replace(at, digest.hash().size(), "DIGEST");
    return text;
  };
  for (const auto& [name, probe] : probes) {
    const std::string of_secret = masked((this->*probe)(other, digest_of(secret)), digest_of(secret));
    EXPECT_EQ(of_secret, masked((this->*probe)(other, digest_of(unknown)), digest_of(unknown))) << name;
    EXPECT_NE(of_secret, masked((this->*probe)(team, digest_of(secret)), digest_of(secret))) << name << " says something to whoever may";
  }
  const std::string refused = masked(keep_result(other, "a", digest_of(secret)), digest_of(secret));
  EXPECT_EQ(refused, masked(keep_result(other, "a", digest_of(unknown)), digest_of(unknown)));
  EXPECT_THAT(refused, ::testing::StartsWith(std::to_string(StatusCode::FAILED_PRECONDITION)));
  EXPECT_FALSE(find_result(other, "a"));
}

TEST_F(RedTeam, WhoHasTheBytesMayHaveThem) {
  const std::string bytes = some_bytes(5000);
  update(team, bytes);
  EXPECT_THAT(update(other, bytes), ::testing::HasSubstr("status { }"));
  EXPECT_EQ(find_missing(other, digest_of(bytes)), find_missing(team, digest_of(bytes)));
  EXPECT_THAT(keep_result(other, "a", digest_of(bytes)), ::testing::StartsWith("0 "));
  EXPECT_TRUE(find_result(other, "a"));
  EXPECT_FALSE(find_result(team, "a")) << "keys are of their instance";
  EXPECT_EQ(must(store.cache->disk_usage()).blobs, 2u) << "the bytes and the result, each once";
}

TEST_F(RedTeam, WhatAStrangerPutsIsShownToStrangersOnlyUntilItIsPromoted) {
  update(stranger, "poison");
  update(team, "good");
  keep_result(stranger, "a", digest_of("poison"));
  ASSERT_TRUE(find_result(stranger, "a"));
  for (const Party& trusted : {team, reader}) EXPECT_FALSE(find_result(trusted, "a"));
  keep_result(team, "b", digest_of("good"));
  keep_result(stranger, "b", digest_of("poison"));
  for (const Party& who : {team, reader, stranger}) {
    const auto found = find_result(who, "b");
    ASSERT_TRUE(found);
    EXPECT_EQ(found->output_files(0).digest().hash(), digest_of("good").hash()) << who.token;
  }
  const cache::EntryName name{.door = "bazel", .instance = "team", .key = digest_of("a").hash()};
  ASSERT_OK(cache::EntryStore(*store.cache).promote(name, {.who = "ada", .reason = "a test"}));
  for (const Party& who : {team, reader, stranger}) EXPECT_TRUE(find_result(who, "a")) << who.token;
  EXPECT_THAT(batch_read(reader, digest_of("poison")), ::testing::HasSubstr("poison")) << "its outputs come with it";
  server.reset();
  EXPECT_TRUE(store.findings().empty());
}

// Whoever is at the other end of the socket is who the kernel says, if he shows no token.
TEST(GrpcSocket, ThePeersUserHasHisRights) {
  cache::OpenStore store;
  AccessRules rules = some_rules();
  rules.peers.push_back({{.name = "me", .trust = cache::Trust::trusted, .grants = {{{*InstancePattern::parse("mine")}, Rights::write}}}, {::getuid()}});
  const Access access(std::move(rules));
  const std::string path = (store.root() / "grpc.sock").str();
  const auto serve = [&] { return must(GrpcServer::start(*store.cache, {.address = path, .spool = store.root() / "tmp", .access = &access})); };
  auto server = serve();
  struct ::stat about {};
  ASSERT_EQ(::stat(path.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0077, 0u);
  const auto asked = [&](const std::string& instance, const std::string& authorization) {
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    const auto stub = reapi::ContentAddressableStorage::NewStub(grpc::CreateCustomChannel("unix:" + path, grpc::InsecureChannelCredentials(), own));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    reapi::FindMissingBlobsRequest request;
    request.set_instance_name(instance);
    *request.add_blob_digests() = digest_of("hello");
    reapi::FindMissingBlobsResponse response;
    return stub->FindMissingBlobs(&context, request, &response).error_code();
  };
  EXPECT_EQ(asked("mine", ""), StatusCode::OK);
  EXPECT_EQ(asked("team", ""), StatusCode::PERMISSION_DENIED) << "he is known";
  EXPECT_EQ(asked("team", "Bearer reader"), StatusCode::OK) << "a token that is shown counts more";
  EXPECT_EQ(asked("mine", "Bearer reader"), StatusCode::PERMISSION_DENIED);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(asked("mine", "Bearer guess"), StatusCode::UNAUTHENTICATED) << i;
  EXPECT_EQ(asked("mine", "Bearer guess"), StatusCode::RESOURCE_EXHAUSTED) << "another connection is the same guesser";
  EXPECT_EQ(asked("mine", ""), StatusCode::OK);
  EXPECT_FALSE(GrpcServer::start(*store.cache, {.address = path, .spool = {}, .access = &access})) << "somebody listens there";
  server.reset();
  EXPECT_NE(::stat(path.c_str(), &about), 0);
  server = serve();
  EXPECT_EQ(asked("mine", ""), StatusCode::OK);
}

// What was pushed as an asset is believed as little.
TEST_F(RedTeam, AStrangersAssetIsForStrangers) {
  update(stranger, "of a stranger");
  EXPECT_THAT(push_blob(stranger, digest_of("of a stranger")), ::testing::StartsWith("0 "));
  const auto fetched = [&](const Party& who) {
    asset::FetchBlobRequest request;
    request.add_uris("https://example.com/pushed");
    asset::FetchBlobResponse response;
    const grpc::Status status = call(who, *fetch, &asset::Fetch::Stub::FetchBlob, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status().code() == StatusCode::OK && response.has_blob_digest();
  };
  EXPECT_TRUE(fetched(stranger));
  EXPECT_FALSE(fetched(reader));
}

}  // namespace
}  // namespace cairn::serve
