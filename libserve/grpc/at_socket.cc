// SPDX-License-Identifier: Apache-2.0
#include "libserve/grpc/at_socket.h"

#include <fcntl.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "libbase/log/log.h"
#include "libserve/sockets/listening.h"
#include "libserve/sockets/peer.h"

namespace cairn::serve {

namespace {
constexpr std::chrono::milliseconds no_descriptor_pause{50};
}

base::Result<std::unique_ptr<grpc::Server>> start_at_socket(grpc::ServerBuilder& builder, const std::string& path) {
  TRY(listen_on(path));  // what nobody listens at is replaced, and then this is what gRPC replaces
  builder.AddListeningPort("unix:" + path, grpc::InsecureServerCredentials());
  const mode_t before = ::umask(0077);
  auto server = builder.BuildAndStart();
  ::umask(before);
  if (!server) return base::fail(base::ErrorCode::invalid_argument, "listen on {}: no socket can be made there", path);
  return server;
}

base::Status SocketFeed::listen(const std::string& path) {
  Listening listening = TRY(listen_on(path));
  if (::fcntl(listening.socket.get(), F_SETFL, 0) != 0) return base::fail_errno(errno, "wait at {}", path);  // until somebody comes
  socket_ = std::move(listening.socket);
  path_ = path;
  return {};
}

void SocketFeed::feed(grpc::Server& server) {
  accepting_ = std::jthread([this, &server] { accept_all(server); });
}

void SocketFeed::stop() {
  if (socket_) ::shutdown(socket_.get(), SHUT_RDWR);  // which ends the accept that waits
  if (accepting_.joinable()) accepting_.join();
  if (socket_) ::unlink(path_.c_str());
  socket_ = base::Fd();
}

void SocketFeed::accept_all(grpc::Server& server) {
  for (;;) {
    base::Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      if (errno == EINVAL) return;  // it is shut down
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        std::this_thread::sleep_for(no_descriptor_pause);
      else if (errno != EINTR && errno != ECONNABORTED && errno != EAGAIN)
        return base::log_error("gRPC takes no more connections at {}: {}", path_, base::errno_text(errno));
      continue;
    }
    {
      auto uids = uids_.lock();
      uids->erase(connection.get());
      if (const auto uid = uid_of_peer(connection.get())) uids->emplace(connection.get(), *uid);
    }
    grpc::AddInsecureChannelFromFd(&server, connection.release());
  }
}

std::optional<uid_t> SocketFeed::uid_of(std::string_view peer) const {
  constexpr std::string_view prefix = "fd:";
  if (!peer.starts_with(prefix)) return std::nullopt;
  peer.remove_prefix(prefix.size());
  int fd = -1;
  const auto [end, error] = std::from_chars(peer.data(), peer.data() + peer.size(), fd);
  if (error != std::errc() || end != peer.data() + peer.size()) return std::nullopt;
  auto uids = uids_.lock();
  const auto found = uids->find(fd);
  return found == uids->end() ? std::nullopt : std::optional(found->second);
}

}  // namespace cairn::serve
