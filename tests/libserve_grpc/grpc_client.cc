// SPDX-License-Identifier: Apache-2.0
#include "tests/libserve_grpc/grpc_client.h"

#include <random>

namespace cairn::serve {

std::string some_bytes(std::size_t size) {
  static std::mt19937_64 random(std::random_device{}());
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

GrpcTest::GrpcTest() {
  const char* const other = std::getenv("CAIRN_REAPI_SERVER");
  if (other == nullptr) {
    store_.emplace();
    restart({});
    return;
  }
  channel_ = grpc::CreateChannel(other, grpc::InsecureChannelCredentials());
  cas_ = reapi::ContentAddressableStorage::NewStub(channel_);
  actions_ = reapi::ActionCache::NewStub(channel_);
  capabilities_ = reapi::Capabilities::NewStub(channel_);
  streams_ = bytestream::ByteStream::NewStub(channel_);
}

void GrpcTest::restart(const GrpcOptions& wanted) {
  GrpcOptions options = wanted;
  options.address = "127.0.0.1:0";
  options.spool = store_->root() / "tmp";
  server_.reset();
  server_ = must(GrpcServer::start(*store_->cache, options));
  channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
  cas_ = reapi::ContentAddressableStorage::NewStub(channel_);
  actions_ = reapi::ActionCache::NewStub(channel_);
  capabilities_ = reapi::Capabilities::NewStub(channel_);
  streams_ = bytestream::ByteStream::NewStub(channel_);
}

grpc::Status GrpcTest::update(const std::string& bytes, const reapi::Digest& digest,
                              reapi::Compressor::Value compressor) {
  reapi::BatchUpdateBlobsRequest request;
  request.set_instance_name(instance_);
  auto* const one = request.add_requests();
  *one->mutable_digest() = digest;
  one->set_data(bytes);
  one->set_compressor(compressor);
  reapi::BatchUpdateBlobsResponse response;
  const grpc::Status status = call(*cas_, &reapi::ContentAddressableStorage::Stub::BatchUpdateBlobs, request, response);
  if (!status.ok()) return status;
  EXPECT_EQ(response.responses_size(), 1);
  EXPECT_EQ(response.responses(0).digest().hash(), digest.hash());
  return {static_cast<grpc::StatusCode>(response.responses(0).status().code()),
          response.responses(0).status().message()};
}

reapi::Digest GrpcTest::put(const std::string& bytes) {
  const grpc::Status status = update(bytes, digest_of(bytes));
  EXPECT_TRUE(status.ok()) << status.error_message();
  return digest_of(bytes);
}

bool GrpcTest::is_missing(const reapi::Digest& digest) {
  reapi::FindMissingBlobsRequest request;
  request.set_instance_name(instance_);
  *request.add_blob_digests() = digest;
  reapi::FindMissingBlobsResponse response;
  const grpc::Status status = call(*cas_, &reapi::ContentAddressableStorage::Stub::FindMissingBlobs, request, response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.missing_blob_digests_size() == 1;
}

grpc::Status GrpcTest::read(const std::string& name, std::string& into, std::int64_t offset, std::int64_t limit) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  bytestream::ReadRequest request;
  request.set_resource_name(name);
  request.set_read_offset(offset);
  request.set_read_limit(limit);
  const auto reader = streams_->Read(&context, request);
  bytestream::ReadResponse response;
  into.clear();
  while (reader->Read(&response)) into += response.data();
  return reader->Finish();
}

std::vector<GrpcTest::Piece> GrpcTest::pieces(const std::string& name, const std::string& bytes, std::size_t size) {
  std::vector<Piece> all;
  for (std::size_t at = 0; at < bytes.size(); at += size)
    all.push_back({all.empty() ? name : std::string(), static_cast<std::int64_t>(at), bytes.substr(at, size),
                   at + size >= bytes.size()});
  if (all.empty()) all.push_back({name, 0, {}, true});
  return all;
}

grpc::Status GrpcTest::write(const std::vector<Piece>& pieces, bytestream::WriteResponse& response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto writer = streams_->Write(&context, &response);
  for (const Piece& piece : pieces) {
    bytestream::WriteRequest request;
    request.set_resource_name(piece.name);
    request.set_write_offset(piece.offset);
    request.set_data(piece.data);
    request.set_finish_write(piece.last);
    if (!writer->Write(request)) break;  // it has its answer
  }
  writer->WritesDone();
  return writer->Finish();
}

}  // namespace cairn::serve
