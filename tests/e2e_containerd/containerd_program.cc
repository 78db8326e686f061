// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e_containerd/containerd_program.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "libbase/fs/beneath.h"
#include "tests/support/must.h"

namespace cairn::test {

namespace {

// What is removed is collected at once, and not when the last collection is fifty times as long ago as it took.
constexpr const char* config = R"(version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{0}/containerd.sock"
[ttrpc]
  address = "{0}/containerd.sock.ttrpc"
[proxy_plugins.cairn]
  type = "snapshot"
  address = "{0}/cairn.sock"
[plugins."io.containerd.gc.v1.scheduler"]
  deletion_threshold = 1
  pause_threshold = 0.5
)";

std::vector<std::string> with(std::vector<std::string> argv, const std::vector<std::string>& more) {
  argv.insert(argv.end(), more.begin(), more.end());
  return argv;
}

}  // namespace

ContainerdProgram::ContainerdProgram()
    : cached_(std::make_unique<CachedProgram>(
          std::vector<std::string>{"--containerd", (dir_ / "cairn.sock").str()})) {
  const base::HostPath file = dir_ / "config.toml";
  must(base::write_file_atomic(file, fmt::format(fmt::runtime(config), dir_.path().str()), base::Durable::no));
  containerd_ = std::make_unique<Program>(dir_.path(), std::vector<std::string>{"containerd", "--config", file.str()});
  Ended answered;
  for (int look = 0; look < 600; ++look) {
    answered = run_in_dir({"ctr", "--address", (dir_ / "containerd.sock").str(), "version"});
    if (answered.code == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  CHECK(false, "containerd did not start: {} {}", answered.err, log());
}

ContainerdProgram::~ContainerdProgram() {
  std::string id;
  for (const char c : ctr({"task", "ls", "--quiet"}).out) {
    if (c != '\n') {
      id += c;
      continue;
    }
    ctr({"task", "kill", "--signal", "SIGKILL", id});
    ctr({"task", "rm", "--force", id});
    id.clear();
  }
  containerd_->signal(SIGTERM);
  containerd_->wait();
}

Ended ContainerdProgram::ctr(std::vector<std::string> arguments) const {
  const auto argv = with({"ctr", "--address", (dir_ / "containerd.sock").str(), "--timeout", "60s"}, arguments);
  Ended ended = run_in_dir(argv);
  // A client of gRPC waits a while before it looks again whether a server that has ended is there.
  for (int look = 0; look < 60 && ended.code != 0 && ended.err.find(": unavailable") != std::string::npos; ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    ended = run_in_dir(argv);
  }
  return ended;
}

Ended ContainerdProgram::snapshots(std::vector<std::string> arguments) const {
  return ctr(with({"snapshots", "--snapshotter", "cairn"}, arguments));
}

std::string ContainerdProgram::run(const std::string& image, const std::string& id, std::vector<std::string> command) const {
  const Ended ended = ctr(with({"run", "--rm", "--snapshotter", "cairn", image, id}, command));
  EXPECT_EQ(ended.code, 0) << ended.err << log();
  return ended.out;
}

std::vector<std::string> ContainerdProgram::trees() const {
  std::vector<std::string> names;
  for (auto& entry : must(base::list_dir(must(base::open_host_dir(cached_->root() / "trees")).get())))
    names.push_back(std::move(entry.name));
  return names;
}

}  // namespace cairn::test
