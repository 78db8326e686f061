// SPDX-License-Identifier: Apache-2.0
// Networks of their own for steps: a network namespace each, whose one way out is slirp4netns, a TCP/IP stack in a process.
// A step reaches what the host reaches, but nothing that listens on the host's loopback, and no other step. Where networks
// are taken again and again they are kept: making one costs two processes.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/sync.h"
#include "libsolver/exec/spawner.h"

namespace cairn::solver {

// A network that nobody uses. Its end is the end of its process.
class Network {
 public:
  // Errors: unavailable (slirp4netns does not work here; the message says why), cancelled, io.
  static base::Result<Network> make(const base::HostPath& slirp4netns, Spawner& spawner, std::stop_token stop);
  Network(Network&&) = default;
  Network& operator=(Network&&) = delete;
  ~Network();

  int fd() const { return namespace_.get(); }  // of the namespace; for setns
  bool works() const;                          // its process is alive
  void kill();                                 // ends its process; it works no longer

 private:
  Network(base::Fd network_namespace, Child process)
      : namespace_(std::move(network_namespace)), process_(std::move(process)) {}
  base::Fd namespace_;
  Child process_;
};

// Thread-safe.
class Networks {
 public:
  Networks(base::HostPath slirp4netns, Spawner& spawner) : slirp4netns_(std::move(slirp4netns)), spawner_(spawner) {}

  // One that was used before, or a new one.
  base::Result<Network> take(std::stop_token stop);
  // After its step: no process of it is alive. What may have changed the network itself must not be given back.
  void give_back(Network network);

 private:
  static constexpr std::size_t kept_max = 16;
  const base::HostPath slirp4netns_;
  Spawner& spawner_;
  base::Guarded<std::vector<Network>> idle_;
};

// What a step in such a network has as resolv.conf: slirp4netns asks the host's name servers, wherever they listen; the
// host's search list and options stay.
std::string network_resolv_conf(std::string_view of_host);

}  // namespace cairn::solver
