// SPDX-License-Identifier: Apache-2.0
// The networks of steps, in a network of the test's own in place of the machine's.
#include "libsolver/exec/network.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/executor.h"
#include "tests/support/busybox_root.h"
#include "tests/support/own_network.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::HostPath;
using ::testing::HasSubstr;
using ::testing::Not;

ino_t inode(int fd) {
  struct ::stat about {};
  EXPECT_EQ(::fstat(fd, &about), 0);
  return about.st_ino;
}

class NetworkTest : public ::testing::Test {
 protected:
  void in_network(const std::function<void()>& f) {
    const auto made = test::in_own_network(f);
    ASSERT_TRUE(made) << made.error().message;
  }
  // What a step with busybox as its root says.
  std::string said(Executor& executor, const std::string& script) {
    const HostPath root = temp_ / ("root" + std::to_string(++steps_));
    EXPECT_TRUE(test::make_busybox_root(root));
    auto tree = test::mount_tree(root);
    if (!tree) return tree.error().message;
    ExecRequest request;
    request.id = "step-" + std::to_string(steps_);
    request.args = {"sh", "-c", script + " 2>&1"};
    request.network = NetworkMode::sandbox;
    request.mounts.emplace_back();
    request.mounts.back().dest = "/";
    request.mounts.back().tree = &*tree;
    std::string text;
    const auto exit = executor.run(request, [&](Stream, std::string_view part) { text.append(part); }, {});
    return exit ? text : exit.error().message;
  }

  test::TempDir temp_;
  int steps_ = 0;
};

TEST_F(NetworkTest, a_network_serves_one_step_after_the_other_and_is_left_when_its_process_has_died) {
  in_network([&] {
    const auto spawner = Spawner::open();
    ASSERT_TRUE(spawner);
    const auto program = find_program("slirp4netns");
    ASSERT_TRUE(program) << program.error().message;
    Networks networks(*program, **spawner);
    auto first = networks.take({}), second = networks.take({});
    ASSERT_TRUE(first) << first.error().message;
    ASSERT_TRUE(second) << second.error().message;
    const ino_t first_inode = inode(first->fd()), second_inode = inode(second->fd());
    EXPECT_NE(first_inode, second_inode);
    networks.give_back(std::move(*first));
    auto again = networks.take({});
    ASSERT_TRUE(again);
    EXPECT_EQ(inode(again->fd()), first_inode);
    again->kill();
    networks.give_back(std::move(*again));
    const auto other = networks.take({});
    ASSERT_TRUE(other) << other.error().message;
    EXPECT_TRUE(other->works());
    EXPECT_NE(inode(other->fd()), first_inode);
  });
}

TEST_F(NetworkTest, a_stop_is_heard_while_a_network_is_made) {
  const HostPath slow = temp_ / "slirp4netns";
  ASSERT_TRUE(test::put_file(temp_.path(), "slirp4netns", "#!/bin/sh\nexec sleep 1000\n"));
  ASSERT_EQ(::chmod(slow.c_str(), 0755), 0);
  const auto spawner = Spawner::open();
  ASSERT_TRUE(spawner);
  Networks networks(slow, **spawner);
  std::stop_source stop;
  stop.request_stop();
  const auto network = networks.take(stop.get_token());
  ASSERT_FALSE(network);
  EXPECT_EQ(network.error().code, base::ErrorCode::cancelled);
}

TEST_F(NetworkTest, what_does_not_start_is_said_and_the_host_s_network_is_used) {
  ASSERT_TRUE(test::put_file(temp_.path(), "bin/slirp4netns", "#!/bin/sh\necho no tap here >&2; exit 1\n"));
  ASSERT_EQ(::chmod((temp_ / "bin/slirp4netns").c_str(), 0755), 0);
  {
    const auto spawner = Spawner::open();
    ASSERT_TRUE(spawner);
    Networks networks(temp_ / "bin/slirp4netns", **spawner);
    const auto network = networks.take({});
    ASSERT_FALSE(network);
    EXPECT_EQ(network.error().code, base::ErrorCode::unavailable);
    EXPECT_THAT(network.error().message, HasSubstr("it ended: no tap here"));
  }
  const std::string path = ::getenv("PATH");
  ASSERT_EQ(::setenv("PATH", ((temp_ / "bin").str() + ":" + path).c_str(), 1), 0);
  in_network([&] {
    const auto executor = open_executor({"", temp_ / "state"});
    ASSERT_TRUE(executor) << executor.error().message;
    EXPECT_THAT(said(**executor, "ip -o -4 addr show"), HasSubstr(test::outside_address));
  });
  ASSERT_EQ(::setenv("PATH", path.c_str(), 1), 0);
}

TEST(NetworkResolvConf, keeps_what_is_not_about_servers) {
  EXPECT_EQ(network_resolv_conf("# from dhcp\nnameserver 127.0.0.53\nsearch a.example b.example\noptions edns0"),
            "nameserver 10.0.2.3\nsearch a.example b.example\noptions edns0\n");
  EXPECT_EQ(network_resolv_conf(""), "nameserver 10.0.2.3\n");
}

}  // namespace
}  // namespace cairn::solver
