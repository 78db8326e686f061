// SPDX-License-Identifier: Apache-2.0
// ByteStream: blobs of any size, in pieces.
#pragma once

#include <google/bytestream/bytestream.grpc.pb.h>
#include "libserve/grpc/context.h"
#include "libserve/grpc/uploads.h"

namespace cairn::serve {

namespace bytestream = google::bytestream;

class ByteStreamService final : public bytestream::ByteStream::CallbackService {
 public:
  explicit ByteStreamService(GrpcContext& context) : context_(context) {}
  using Call = grpc::CallbackServerContext;
  grpc::ServerWriteReactor<bytestream::ReadResponse>* Read(Call* call, const bytestream::ReadRequest* request) override;
  grpc::ServerReadReactor<bytestream::WriteRequest>* Write(Call* call, bytestream::WriteResponse* response) override;
  grpc::ServerUnaryReactor* QueryWriteStatus(Call* call, const bytestream::QueryWriteStatusRequest* request,
                                             bytestream::QueryWriteStatusResponse* response) override;

 private:
  GrpcContext& context_;
  Uploads uploads_;
};

}  // namespace cairn::serve
