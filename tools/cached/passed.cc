// SPDX-License-Identifier: Apache-2.0
#include "tools/cached/passed.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace cairn::cached {

namespace {

constexpr std::string_view systemd = "systemd:", descriptor = "fd:";
constexpr int first_passed = 3;

long number_in(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::strtol(text, nullptr, 10);
}

}  // namespace

base::Result<std::string> resolve_passed(const std::string& address) {
  if (!address.starts_with(systemd)) return address;
  const std::string_view wanted = std::string_view(address).substr(systemd.size());
  const char* listed = std::getenv("LISTEN_FDNAMES");
  std::string_view names = listed == nullptr ? "" : listed;
  const long count = number_in("LISTEN_PID") == ::getpid() ? number_in("LISTEN_FDS") : 0;
  for (long i = 0; i < count; ++i) {
    const std::string_view name = names.substr(0, names.find(':'));
    if (name == wanted) return fmt::format("{}{}", descriptor, first_passed + i);
    names.remove_prefix(std::min(names.size(), name.size() + 1));
  }
  auto error =
      base::fail(base::ErrorCode::invalid_argument, "listen on {}: no socket of that name was passed", address);
  error.value().hint = "FileDescriptorName= in the .socket unit gives it its name";
  return error;
}

bool is_local_socket(const std::string& address) {
  if (!address.starts_with(descriptor)) return false;
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(std::atoi(address.c_str() + descriptor.size()), reinterpret_cast<sockaddr*>(&bound), &size) != 0)
    return false;
  if (bound.ss_family == AF_UNIX) return true;
  if (bound.ss_family == AF_INET)
    return ntohl(reinterpret_cast<const sockaddr_in&>(bound).sin_addr.s_addr) >> 24 == 127;
  return bound.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(bound).sin6_addr);
}

}  // namespace cairn::cached
