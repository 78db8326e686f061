// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a connection, as far as the connection knows.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace cairn::serve {

struct Peer {
  std::string address{};                 // without a port; of a unix socket: ""
  std::optional<uid_t> uid{};            // of a unix socket
  std::vector<std::string> certificate{};  // what it has shown and the client CA has signed: "CN:ci", "DNS:ci.example.com"
};

// Of a connected unix socket. nullopt: the kernel does not say.
std::optional<uid_t> uid_of_peer(int socket);

}  // namespace cairn::serve
