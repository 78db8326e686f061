// SPDX-License-Identifier: Apache-2.0
// gRPC at a socket file: it would take the place of whoever listens there, let others connect for a moment, and not say who has
// connected.
#pragma once

#include <grpcpp/grpcpp.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libbase/sync.h"

namespace cairn::serve {

// What has been built so far starts at this socket, which is its user's alone from the first moment on. Errors:
// invalid_argument (no socket can be made there), busy (somebody listens there), io.
base::Result<std::unique_ptr<grpc::Server>> start_at_socket(grpc::ServerBuilder& builder, const std::string& path);

// Takes connections in itself, asks the kernel whose each is, and hands it over to gRPC. A call says as its peer which descriptor
// its connection has ("fd:12"); gRPC 1.51 closes that when no call of the connection is left, so it is not another one's meanwhile.
// Thread-safe.
class SocketFeed {
 public:
  // Errors: as start_at_socket.
  base::Status listen(const std::string& path);
  // From now on. The server outlives it, or stop() was called.
  void feed(grpc::Server& server);
  void stop();  // takes the socket away; the connections that there are stay
  ~SocketFeed() { stop(); }
  // nullopt: it is no connection of this feed, or nobody knows.
  std::optional<uid_t> uid_of(std::string_view peer) const;

 private:
  void accept_all(grpc::Server& server);

  std::string path_;
  base::Fd socket_;
  mutable base::Guarded<std::unordered_map<int, uid_t>> uids_;  // by descriptor; of one that is closed until it is used again
  std::jthread accepting_;
};

}  // namespace cairn::serve
