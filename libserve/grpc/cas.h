// SPDX-License-Identifier: Apache-2.0
// ContentAddressableStorage of the Remote Execution API, version 2: many small blobs in one message, trees, and blobs
// of chunks.
#pragma once

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include "libserve/grpc/context.h"

namespace cairn::serve {

// FindMissingBlobs comes as bytes: 10,000 digests in messages of their own are 20,000 allocations.
using CasServiceBase = reapi::ContentAddressableStorage::WithRawCallbackMethod_FindMissingBlobs<
    reapi::ContentAddressableStorage::WithCallbackMethod_BatchUpdateBlobs<
        reapi::ContentAddressableStorage::WithCallbackMethod_BatchReadBlobs<
            reapi::ContentAddressableStorage::WithCallbackMethod_GetTree<
                reapi::ContentAddressableStorage::WithCallbackMethod_SplitBlob<
                    reapi::ContentAddressableStorage::WithCallbackMethod_SpliceBlob<
                        reapi::ContentAddressableStorage::Service>>>>>>;

class CasService final : public CasServiceBase {
 public:
  explicit CasService(GrpcContext& context) : context_(context) {}

  using Unary = grpc::ServerUnaryReactor;
  using Call = grpc::CallbackServerContext;
  Unary* FindMissingBlobs(Call* call, const grpc::ByteBuffer* request, grpc::ByteBuffer* response) override;
  Unary* BatchUpdateBlobs(Call* call, const reapi::BatchUpdateBlobsRequest* request,
                          reapi::BatchUpdateBlobsResponse* response) override;
  Unary* BatchReadBlobs(Call* call, const reapi::BatchReadBlobsRequest* request,
                        reapi::BatchReadBlobsResponse* response) override;
  grpc::ServerWriteReactor<reapi::GetTreeResponse>* GetTree(Call* call, const reapi::GetTreeRequest* request) override;
  Unary* SplitBlob(Call* call, const reapi::SplitBlobRequest* request, reapi::SplitBlobResponse* response) override;
  Unary* SpliceBlob(Call* call, const reapi::SpliceBlobRequest* request, reapi::SpliceBlobResponse* response) override;

 private:
  base::Status find_missing(const Admitted& store, std::string_view request, std::string& response);
  // Of one blob of a batch.
  base::Result<cache::BlobStore::Put> put(const Admitted& store,
                                          const reapi::BatchUpdateBlobsRequest::Request& request);
  base::Status read(const Admitted& store, const reapi::Digest& wanted, reapi::BatchReadBlobsResponse::Response& into);

  // Those of the answer that are not there, once more, when the tiers have been asked.
  void read_below(const Admitted& store, reapi::BatchReadBlobsResponse& response, grpc::ServerUnaryReactor* reactor);

  GrpcContext& context_;
};

}  // namespace cairn::serve
