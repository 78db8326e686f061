// SPDX-License-Identifier: Apache-2.0
#include "tools/cached/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "libbase/fs/fd.h"

namespace cairn::cached {

base::Status notify(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || *path == '\0') return {};
  const std::string_view name(path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool is_name = name.front() == '/' || name.front() == '@';
  if (!is_name || name.size() >= sizeof address.sun_path)
    return base::fail(base::ErrorCode::invalid_argument, "tell \"{}\" about {}: that is no socket", name, state);
  name.copy(address.sun_path, name.size());
  if (name.front() == '@') address.sun_path[0] = '\0';  // an abstract one
  const base::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return base::fail_errno(errno, "make a socket");
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  if (::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size) < 0)
    return base::fail_errno(errno, "tell {} about {}", name, state);
  return {};
}

}  // namespace cairn::cached
