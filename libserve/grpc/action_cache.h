// SPDX-License-Identifier: Apache-2.0
// ActionCache of the Remote Execution API, version 2. An action result is an entry whose closure is everything that it
// names: it is complete while it is there, and nobody looks at its outputs when it is asked for.
#pragma once

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include "libserve/grpc/context.h"

namespace cairn::serve {

// GetActionResult answers with the bytes that were stored: nobody has to read them into an object and back.
using ActionCacheServiceBase = reapi::ActionCache::WithRawCallbackMethod_GetActionResult<
    reapi::ActionCache::WithCallbackMethod_UpdateActionResult<reapi::ActionCache::Service>>;

class ActionCacheService final : public ActionCacheServiceBase {
 public:
  explicit ActionCacheService(GrpcContext& context) : context_(context) {}
  using Unary = grpc::ServerUnaryReactor;
  using Call = grpc::CallbackServerContext;
  Unary* GetActionResult(Call* call, const grpc::ByteBuffer* request, grpc::ByteBuffer* response) override;
  Unary* UpdateActionResult(Call* call, const reapi::UpdateActionResultRequest* request,
                            reapi::ActionResult* response) override;

 private:
  base::Result<std::string> look_up(const Admitted& store, const reapi::GetActionResultRequest& request);
  // Once more, when the tiers have been asked.
  void look_below(const Admitted& store, reapi::GetActionResultRequest request, grpc::ServerUnaryReactor* reactor,
                  grpc::ByteBuffer* response, const grpc::Status& missed);
  base::Result<base::lmdb::SequenceNumber> keep(const Admitted& store, const reapi::UpdateActionResultRequest& request);

  GrpcContext& context_;
};

}  // namespace cairn::serve
