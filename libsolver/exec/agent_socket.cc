// SPDX-License-Identifier: Apache-2.0
// One thread polls the socket and all connections. What one side says waits in a small buffer until the other takes it, so
// a side that does not read holds up nobody else.
#include "libsolver/exec/agent_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <string>
#include <thread>
#include <vector>

#include "libsolver/exec/memory_tree.h"

namespace cairn::solver {

using base::Fd;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t buffer_max = 256 << 10;  // the longest message of an agent

Result<struct ::sockaddr_un> address_of(std::string_view path) {
  struct ::sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return base::fail(base::ErrorCode::invalid_argument, "socket {}: its path is too long", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

const struct ::sockaddr* plain(const struct ::sockaddr_un& address) { return reinterpret_cast<const struct ::sockaddr*>(&address); }

// What goes from one side to the other.
struct Way {
  std::string waiting;
  bool ended = false;  // the reader has seen the end
  bool closed = false; // and the writer has been told
};

struct Connection {
  std::array<Fd, 2> ends;   // the step's, the agent's
  std::array<Way, 2> ways;  // what came from each

  bool is_over() const { return ways[0].closed && ways[1].closed; }

  short wanted(std::size_t side) const {
    const Way &from = ways[side], &to = ways[1 - side];
    short events = 0;
    if (!from.ended && from.waiting.size() < buffer_max) events |= POLLIN;
    if (!to.waiting.empty()) events |= POLLOUT;
    return events;
  }

  void read(std::size_t side) {
    Way& way = ways[side];
    std::array<char, 16 << 10> buffer;
    const ::ssize_t size = ::recv(ends[side].get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size > 0) way.waiting.append(buffer.data(), static_cast<std::size_t>(size));
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) way.ended = true;
  }

  void write(std::size_t side) {
    Way& way = ways[1 - side];
    const ::ssize_t size = ::send(ends[side].get(), way.waiting.data(), way.waiting.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size > 0) way.waiting.erase(0, static_cast<std::size_t>(size));
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
      way.waiting.clear();
      way.ended = true;
    }
  }

  // Tells who reads that nothing more comes.
  void pass_ends_on() {
    for (std::size_t side = 0; side < 2; ++side) {
      Way& way = ways[side];
      if (!way.ended || !way.waiting.empty() || way.closed) continue;
      way.closed = true;
      (void)::shutdown(ends[1 - side].get(), SHUT_WR);
    }
  }
};

}  // namespace

struct AgentSocket::State {
  snapshot::MountedTree tree;
  struct ::sockaddr_un agent = {};
  Fd listening, stop;
  std::list<Connection> connections;
  std::thread thread;

  ~State() {
    if (!thread.joinable()) return;
    (void)::eventfd_write(stop.get(), 1);
    thread.join();
  }

  void accept() {
    Connection connection;
    connection.ends[0] = Fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    connection.ends[1] = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // Without an agent the step's side is closed, as by an agent that has ended.
    if (!connection.ends[0] || !connection.ends[1] || ::connect(connection.ends[1].get(), plain(agent), sizeof agent) != 0) return;
    connections.push_back(std::move(connection));
  }

  void run() {
    std::vector<struct ::pollfd> polled;
    while (true) {
      polled.clear();
      polled.push_back({stop.get(), POLLIN, 0});
      polled.push_back({connections.size() < connections_max ? listening.get() : -1, POLLIN, 0});
      for (const Connection& connection : connections) {
        for (std::size_t side = 0; side < 2; ++side) {
          const short wanted = connection.wanted(side);
          polled.push_back({wanted != 0 ? connection.ends[side].get() : -1, wanted, 0});
        }
      }
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;  // interrupted
      if (polled[0].revents != 0) return;
      std::size_t at = 2;
      for (Connection& connection : connections) {
        for (std::size_t side = 0; side < 2; ++side, ++at) {
          const short events = polled[at].revents;
          if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) connection.read(side);
          if ((events & POLLOUT) != 0) connection.write(side);
        }
        connection.pass_ends_on();
      }
      connections.remove_if([](const Connection& connection) { return connection.is_over(); });
      if (polled[1].revents != 0) accept();
    }
  }
};

AgentSocket::AgentSocket(std::unique_ptr<State> state) : state_(std::move(state)) {}
AgentSocket::AgentSocket(AgentSocket&&) noexcept = default;
AgentSocket& AgentSocket::operator=(AgentSocket&&) noexcept = default;
AgentSocket::~AgentSocket() = default;

snapshot::MountedTree AgentSocket::take_tree() { return std::move(state_->tree); }

Result<AgentSocket> AgentSocket::open(const base::HostPath& agent, const SecretFile& file_facts) {
  auto state = std::make_unique<State>();
  state->agent = TRY(address_of(agent.str()), "forward an agent");
  struct ::stat about {};
  if (::stat(agent.c_str(), &about) != 0) return base::fail_errno(errno, "forward the agent {}", agent.str());
  if (!S_ISSOCK(about.st_mode)) return base::fail(base::ErrorCode::invalid_argument, "forward the agent {}: not a socket", agent.str());
  state->tree = TRY(make_memory_tree("forward an agent", MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  state->listening = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  state->stop = Fd(::eventfd(0, EFD_CLOEXEC));
  if (!state->listening || !state->stop) return base::fail_errno(errno, "forward an agent: make a socket");
  // The name leads through the descriptor into a file system that is mounted nowhere.
  const struct ::sockaddr_un address = TRY(address_of(fmt::format("/proc/self/fd/{}/{}", state->tree.fd(), file)));
  if (::bind(state->listening.get(), plain(address), sizeof address) != 0 || ::listen(state->listening.get(), 16) != 0) {
    return base::fail_errno(errno, "forward an agent: open a socket for the step");
  }
  if (::fchownat(state->tree.fd(), file, file_facts.owner, file_facts.group, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::fchmodat(state->tree.fd(), file, file_facts.mode & 0777, 0) != 0) {
    return base::fail_errno(errno, "forward an agent: set the owner and mode of its socket");
  }
  state->thread = std::thread([running = state.get()] { running->run(); });
  return AgentSocket(std::move(state));
}

}  // namespace cairn::solver
