// SPDX-License-Identifier: Apache-2.0
// gRPC at a socket file: it would take the place of whoever listens there, and let others connect for a moment.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "libbase/result.h"

namespace cairn::serve {

// What has been built so far starts at this socket, which is its user's alone from the first moment on. Errors:
// invalid_argument (no socket can be made there), busy (somebody listens there), io.
base::Result<std::unique_ptr<grpc::Server>> start_at_socket(grpc::ServerBuilder& builder, const std::string& path);

}  // namespace cairn::serve
