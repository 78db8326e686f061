// SPDX-License-Identifier: Apache-2.0
// Making network namespaces, and starting slirp4netns in them.
#include "libsolver/exec/network.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <thread>

#include "libsolver/exec/output_pump.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;
using base::Result;

// Where slirp4netns answers questions for names (its manual).
constexpr std::string_view name_server = "nameserver 10.0.2.3\n";
constexpr int ready_timeout_ms = 10'000;
constexpr std::size_t said_max = 4096;

// A thread that left the network of the others makes one, and ends; the descriptor keeps it.
Result<Fd> make_namespace() {
  Fd made;
  int error = 0;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) == 0) made = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!made) error = errno;
  }).join();
  if (!made) return base::fail_errno(error, "make a network for a step");
  return made;
}

std::string read_all(int pipe) {
  std::string text(said_max, '\0');
  const ::ssize_t size = ::read(pipe, text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

Result<Network> Network::make(const base::HostPath& slirp4netns, Spawner& spawner, std::stop_token stop) {
  Fd network_namespace = TRY(make_namespace());
  Pipe ready = TRY(make_pipe());
  Pipe said = TRY(make_pipe());
  SpawnPlan plan;
  plan.command = {slirp4netns.str(),        "--configure",     "--mtu=65520",
                  "--disable-host-loopback", "--netns-type=path", fmt::format("--ready-fd={}", SpawnPlan::first_kept + 1),
                  fmt::format("/proc/self/fd/{}", SpawnPlan::first_kept), "tap0"};
  plan.keep = {network_namespace.get(), ready.write.get()};
  plan.out = said.write.get();
  plan.err = said.write.get();
  Child child = TRY(spawner.spawn(plan));
  ready.write.reset();
  said.write.reset();
  Network network(std::move(network_namespace), std::move(child));
  const StopEvent stopped(std::move(stop));
  std::array<struct ::pollfd, 3> polled{
      {{ready.read.get(), POLLIN, 0}, {network.process_.pidfd.get(), POLLIN, 0}, {stopped.fd().get(), POLLIN, 0}}};
  int count = 0;
  do {
    count = ::poll(polled.data(), polled.size(), ready_timeout_ms);
  } while (count < 0 && errno == EINTR);
  char one = 0;
  if (count > 0 && ::read(ready.read.get(), &one, 1) == 1) return network;
  if (polled[2].revents != 0) return base::fail(ErrorCode::cancelled, "the step was stopped before it began");
  const char* what = count == 0 ? "it was not ready after 10 s" : "it ended";
  return base::fail(ErrorCode::unavailable, "start {}: {}: {}", slirp4netns.str(), what, read_all(said.read.get()));
}

Network::~Network() {
  if (!process_.pidfd) return;  // moved from
  kill_child(process_);
  (void)wait_child(process_);
}

void Network::kill() {
  kill_child(process_);
  struct ::pollfd ended = {process_.pidfd.get(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
}

bool Network::works() const {
  struct ::pollfd ended = {process_.pidfd.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 0;
}

Result<Network> Networks::take(std::stop_token stop) {
  while (true) {
    std::optional<Network> used;
    {
      auto idle = idle_.lock();
      if (idle->empty()) break;
      used.emplace(std::move(idle->back()));
      idle->pop_back();
    }
    if (used->works()) return std::move(*used);
  }
  return Network::make(slirp4netns_, spawner_, std::move(stop));
}

void Networks::give_back(Network network) {
  auto idle = idle_.lock();
  if (idle->size() < kept_max) idle->push_back(std::move(network));
}

std::string network_resolv_conf(std::string_view of_host) {
  std::string text(name_server);
  for (std::size_t at = 0; at < of_host.size();) {
    const std::size_t end = std::min(of_host.find('\n', at), of_host.size());
    const std::string_view line = of_host.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("search") || line.starts_with("domain") || line.starts_with("options")) text.append(line).append("\n");
  }
  return text;
}

}  // namespace cairn::solver
