// SPDX-License-Identifier: Apache-2.0
// A client of the Remote Execution API, as the conformance suite needs one. The server is ours, started by the fixture
// on a store of its own, or, with CAIRN_REAPI_SERVER=HOST:PORT, any other.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include <google/bytestream/bytestream.grpc.pb.h>
#include "libbase/hash/sha256.h"
#include "libserve/grpc_server.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::serve {

namespace reapi = build::bazel::remote::execution::v2;
namespace bytestream = google::bytestream;
using cache::must;

inline reapi::Digest digest_of(std::string_view bytes) {
  reapi::Digest digest;
  digest.set_hash(base::digest_of<BlobDigest>(bytes).hex());
  digest.set_size_bytes(static_cast<std::int64_t>(bytes.size()));
  return digest;
}
inline std::string path_of(const reapi::Digest& digest) {
  return digest.hash() + "/" + std::to_string(digest.size_bytes());
}

// Bytes that no other test has, and that do not compress.
std::string some_bytes(std::size_t size);

class GrpcTest : public ::testing::Test {
 protected:
  GrpcTest();
  bool is_ours() const { return server_ != nullptr; }
  void restart(const GrpcOptions& options);

  static grpc::StatusCode code(const grpc::Status& status) { return status.error_code(); }

  // Each call with a client context of its own, and a deadline.
  template <class Stub, class Method, class Request, class Response>
  grpc::Status call(Stub& stub, Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return (stub.*method)(&context, request, &response);
  }

  grpc::Status update(const std::string& bytes, const reapi::Digest& digest,
                      reapi::Compressor::Value compressor = reapi::Compressor::IDENTITY);
  reapi::Digest put(const std::string& bytes);  // expects that it is taken
  bool is_missing(const reapi::Digest& digest);
  // The bytes of all messages.
  grpc::Status read(const std::string& name, std::string& into, std::int64_t offset = 0, std::int64_t limit = 0);
  // In pieces of so many bytes.
  struct Piece {
    std::string name;
    std::int64_t offset = 0;
    std::string data;
    bool last = false;
  };
  grpc::Status write(const std::vector<Piece>& pieces, bytestream::WriteResponse& response);
  static std::vector<Piece> pieces(const std::string& name, const std::string& bytes, std::size_t size = 100'000);

  std::optional<cache::OpenStore> store_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<reapi::ContentAddressableStorage::Stub> cas_;
  std::unique_ptr<reapi::ActionCache::Stub> actions_;
  std::unique_ptr<reapi::Capabilities::Stub> capabilities_;
  std::unique_ptr<bytestream::ByteStream::Stub> streams_;
  const std::string instance_ = "conformance";
};

}  // namespace cairn::serve
