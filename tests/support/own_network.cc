// SPDX-License-Identifier: Apache-2.0
#include "tests/support/own_network.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "libbase/fs/fd.h"

namespace cairn::test {
namespace {

using base::Fd;
using base::Status;

struct ::ifreq interface(const char* name) {
  struct ::ifreq request = {};
  std::strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  return request;
}

Status make_network() {
  if (::unshare(CLONE_NEWNET) != 0) return base::fail_errno(errno, "leave the machine's network");
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct ::ifreq loopback = interface("lo");
  loopback.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &loopback) != 0) return base::fail_errno(errno, "bring the loopback up");
  struct ::ifreq alias = interface("lo:1");
  auto* address = reinterpret_cast<struct ::sockaddr_in*>(&alias.ifr_addr);
  address->sin_family = AF_INET;
  ::inet_pton(AF_INET, outside_address, &address->sin_addr);
  if (::ioctl(socket.get(), SIOCSIFADDR, &alias) != 0) return base::fail_errno(errno, "add an address");
  return {};
}

}  // namespace

Status in_own_network(const std::function<void()>& f) {
  Status made;
  std::thread([&] {
    made = make_network();
    if (made) f();
  }).join();
  return made;
}

struct Greeter::State {
  std::string greeting;
  Fd listening;
  std::thread thread;
};

Greeter::Greeter(std::string greeting) : state_(new State{std::move(greeting), {}, {}}) {
  state_->listening = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct ::sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  ::socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<struct ::sockaddr*>(&address);
  if (::bind(state_->listening.get(), plain, size) != 0 || ::listen(state_->listening.get(), 16) != 0 ||
      ::getsockname(state_->listening.get(), plain, &size) != 0) {
    return;  // port 0: nobody can connect, and the test fails
  }
  port_ = ntohs(address.sin_port);
  state_->thread = std::thread([state = state_] {
    while (true) {
      const Fd connection(::accept4(state->listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) return;  // shut down
      (void)::send(connection.get(), state->greeting.data(), state->greeting.size(), MSG_NOSIGNAL);
    }
  });
}

Greeter::~Greeter() {
  ::shutdown(state_->listening.get(), SHUT_RDWR);
  if (state_->thread.joinable()) state_->thread.join();
  delete state_;
}

}  // namespace cairn::test
