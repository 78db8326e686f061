// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/at_socket.h"

#include <sys/stat.h>

#include "libserve/sockets/listening.h"

namespace cairn::serve {

base::Result<std::unique_ptr<grpc::Server>> start_at_socket(grpc::ServerBuilder& builder, const std::string& path) {
  TRY(listen_on(path));  // what nobody listens at is replaced, and then this is what gRPC replaces
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  const mode_t before = ::umask(0077);
  auto server = builder.BuildAndStart();
  ::umask(before);
  if (!server) return base::fail(base::ErrorCode::invalid_argument, "listen on {}: no socket can be made there", path);
  return server;
}

}  // namespace cairn::serve
