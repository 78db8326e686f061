// SPDX-License-Identifier: Apache-2.0
#include "tests/support/loopback_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cairn::test {

LoopbackListener::LoopbackListener(std::function<void(base::Fd)> accepted) : accepted_(std::move(accepted)) {
  listening_ = base::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  CHECK(::bind(listening_.get(), generic, size) == 0, "bind on the loopback");
  CHECK(::listen(listening_.get(), 64) == 0, "listen on the loopback");
  CHECK(::getsockname(listening_.get(), generic, &size) == 0, "getsockname");
  port_ = ntohs(address.sin_port);
  accepting_ = std::thread([this] {
    while (true) {
      base::Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) return;
      accepted_(std::move(socket));
    }
  });
}

void LoopbackListener::stop() {
  if (!accepting_.joinable()) return;
  ::shutdown(listening_.get(), SHUT_RDWR);
  accepting_.join();
}

InetdServer::~InetdServer() {
  listener_.stop();
  for (const pid_t child : *children_.lock()) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
}

void InetdServer::start(const base::Fd& socket) {
  ++accepted_;
  std::vector<char*> arguments;
  for (const std::string& word : command_) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  posix_spawn_file_actions_adddup2(&streams, socket.get(), 0);
  posix_spawn_file_actions_adddup2(&streams, socket.get(), 1);
  pid_t child = -1;
  const int error = ::posix_spawnp(&child, arguments[0], &streams, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&streams);
  CHECK(error == 0, "start {}: {}", command_[0], base::errno_text(error));
  children_.lock()->push_back(child);
}

}  // namespace cairn::test
