// SPDX-License-Identifier: Apache-2.0
// What this cache can do, said to clients that ask before they use it.
#pragma once

#include <build/bazel/remote/execution/v2/remote_execution.grpc.pb.h>
#include "libserve/grpc/context.h"

namespace cairn::serve {

class CapabilitiesService final : public reapi::Capabilities::CallbackService {
 public:
  explicit CapabilitiesService(GrpcContext& context) : context_(context) {}
  grpc::ServerUnaryReactor* GetCapabilities(grpc::CallbackServerContext* call,
                                            const reapi::GetCapabilitiesRequest* request,
                                            reapi::ServerCapabilities* response) override;

 private:
  GrpcContext& context_;
};

}  // namespace cairn::serve
