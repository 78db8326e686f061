// SPDX-License-Identifier: Apache-2.0
// Forwarded sockets, with an agent that a test writes.
#include "libsolver/exec/agent_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/fs/fd.h"
#include "tests/support/busybox_root.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;

Fd connect_to(const std::string& path) {
  struct ::sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<struct ::sockaddr*>(&address), sizeof address), 0) << path;
  return socket;
}

std::string read_to_end(const Fd& socket) {
  std::string all, part(64 << 10, '\0');
  while (true) {
    const ::ssize_t size = ::recv(socket.get(), part.data(), part.size(), 0);
    if (size <= 0) return all;
    all.append(part, 0, static_cast<std::size_t>(size));
  }
}

// As much of it as the other side takes.
bool send_all(const Fd& socket, std::string_view text) {
  while (!text.empty()) {
    const ::ssize_t size = ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (size < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

// Answers each connection by `answer`, on a thread of its own.
class Agent {
 public:
  Agent(const std::string& path, std::function<void(Fd)> answer) {
    struct ::sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    listening_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listening_.get(), reinterpret_cast<struct ::sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listening_.get(), 100), 0);
    accepting_ = std::thread([this, answer = std::move(answer)] {
      while (true) {
        const int connection = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) return;
        answering_.emplace_back([answer, connection] { answer(Fd(connection)); });
      }
    });
  }
  ~Agent() {
    ::shutdown(listening_.get(), SHUT_RDWR);
    accepting_.join();
    for (std::thread& each : answering_) each.join();
  }

 private:
  Fd listening_;
  std::thread accepting_;
  std::vector<std::thread> answering_;
};

class AgentSocketTest : public ::testing::Test {
 protected:
  AgentSocket open() {
    auto socket = AgentSocket::open(temp_ / "agent", {});
    EXPECT_TRUE(socket) << socket.error().message;
    AgentSocket opened = std::move(*socket);
    tree_ = opened.take_tree();
    return opened;
  }
  Fd connect() { return connect_to("/proc/self/fd/" + std::to_string(tree_.fd()) + "/" + AgentSocket::file); }

  test::TempDir temp_;
  snapshot::MountedTree tree_;
};

TEST_F(AgentSocketTest, bytes_and_ends_go_both_ways_whole) {
  const std::string much(3 << 20, 'm');
  const Agent agent((temp_ / "agent").str(), [](Fd connection) {
    const std::string all = read_to_end(connection);  // until the step has said its last
    send_all(connection, all + all);
  });
  const AgentSocket socket = open();
  const Fd step = connect();
  std::thread writer([&] {
    EXPECT_TRUE(send_all(step, much));
    ::shutdown(step.get(), SHUT_WR);
  });
  EXPECT_EQ(read_to_end(step), much + much);
  writer.join();
}

TEST_F(AgentSocketTest, who_does_not_read_holds_up_nobody) {
  const Agent agent((temp_ / "agent").str(), [](Fd connection) {
    char first = 0;
    if (::recv(connection.get(), &first, 1, 0) != 1) return;
    send_all(connection, first == 'm' ? std::string(4 << 20, 'x') : "short");
  });
  const AgentSocket socket = open();
  std::vector<Fd> lazy;
  for (int i = 0; i < 5; ++i) {
    lazy.push_back(connect());
    ASSERT_EQ(::send(lazy.back().get(), "m", 1, 0), 1);
  }
  for (int i = 0; i < 20; ++i) {
    const Fd brisk = connect();
    ASSERT_EQ(::send(brisk.get(), "s", 1, 0), 1);
    EXPECT_EQ(read_to_end(brisk), "short");
  }
  lazy.clear();  // gives up in the middle of an answer
}

TEST_F(AgentSocketTest, more_connections_than_it_takes_at_a_time_are_served_all_the_same) {
  const Agent agent((temp_ / "agent").str(), [](Fd connection) {
    if (char byte = 0; ::recv(connection.get(), &byte, 1, 0) == 1) (void)::send(connection.get(), "k", 1, MSG_NOSIGNAL);
  });
  const AgentSocket socket = open();
  std::vector<std::thread> steps;
  std::atomic<int> served{0};
  for (std::size_t i = 0; i < AgentSocket::connections_max + 10; ++i) {
    steps.emplace_back([&] {
      const Fd step = connect();
      if (::send(step.get(), "?", 1, MSG_NOSIGNAL) == 1 && read_to_end(step) == "k") ++served;
    });
  }
  for (std::thread& step : steps) step.join();
  EXPECT_EQ(served.load(), static_cast<int>(AgentSocket::connections_max + 10));
}

TEST_F(AgentSocketTest, an_agent_that_has_ended_is_an_end_and_one_that_never_was_is_an_error) {
  {
    const Agent agent((temp_ / "agent").str(), [](Fd) {});
    const AgentSocket socket = open();
    const Fd step = connect();
    EXPECT_EQ(read_to_end(step), "");
  }
  const AgentSocket socket = open();  // the file is there, and nobody listens
  const Fd step = connect();
  EXPECT_EQ(read_to_end(step), "");
  EXPECT_EQ(AgentSocket::open(temp_ / "nowhere", {}).error().code, ErrorCode::not_found);
  ASSERT_TRUE(test::put_file(temp_.path(), "file", "text"));
  EXPECT_EQ(AgentSocket::open(temp_ / "file", {}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(AgentSocket::open(temp_ / std::string(200, 'l'), {}).error().code, ErrorCode::invalid_argument);
}

TEST_F(AgentSocketTest, its_end_closes_all_connections) {
  const Agent agent((temp_ / "agent").str(), [](Fd connection) { EXPECT_EQ(read_to_end(connection), ""); });
  std::optional<AgentSocket> socket = open();
  const Fd step = connect();
  socket.reset();
  EXPECT_EQ(read_to_end(step), "");
}

}  // namespace
}  // namespace cairn::solver
