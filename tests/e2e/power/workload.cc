// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/workload.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>

#include "tests/support/tree_state.h"

namespace cairn::test {
namespace {

using base::lmdb::SequenceNumber;
using snapshot::Access;
using snapshot::SnapshotId;

struct EventHeader {
  Event::Kind kind;
  std::uint32_t state_size;
  std::uint64_t id, position;
};

template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Workload {
 public:
  Workload(const base::HostPath& root, const WorkloadOptions& options, const DiskLog& log, int pipe)
      : log_(log), pipe_(pipe), random_(options.seed), store_(must(PowerStore::open(root, options.store))) {
    for (int round = 0; round < options.rounds; ++round) one_round();
    settle();
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  void say(Event::Kind kind, SnapshotId id, std::string_view state = {}) {
    const EventHeader header{kind, static_cast<std::uint32_t>(state.size()), id.value(), log_.position()};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += state;
    must(base::write_full(pipe_, std::string_view(bytes)));
  }

  // Chains grow beyond chain_max, so that some are flattened, and branch.
  std::optional<SnapshotId> choose_parent() {
    if (children_.empty() || pick(6) == 0) return std::nullopt;
    if (pick(3) > 0) return children_.rbegin()->first;
    return std::next(children_.begin(), static_cast<std::ptrdiff_t>(pick(children_.size())))->first;
  }

  SnapshotId make(std::optional<SnapshotId> parent) {
    auto& snapshots = store_->snapshots();
    const SnapshotId id = must(snapshots.prepare(parent));
    change_at_random(must(snapshots.mount(id, Access::read_write)).fd(), random_(), 12);
    return id;
  }

  void one_round() {
    auto& snapshots = store_->snapshots();
    // While another tree is being written, the files of a group are synced one by one.
    std::optional<SnapshotId> unfinished;
    if (pick(2) == 0) unfinished = make(choose_parent());
    const auto parent = choose_parent();
    const SnapshotId id = make(parent);
    must(snapshots.freeze(id));
    say(Event::Kind::intent, id, must(tree_state(must(snapshots.mount(id, Access::read_only)).fd())));
    queued_.push_back({id, must(store_->publish(id))});
    children_[id] = 0;
    parents_[id] = parent;
    if (parent) ++children_[*parent];
    if (pick(3) > 0) settle();
    if (unfinished) must(snapshots.abandon(*unfinished));
    if (pick(4) == 0) retire_one();
    if (pick(8) == 0) must(snapshots.erase_trash(store_->writer(), {}));
  }

  void settle() {
    if (queued_.empty()) return;
    must(store_->writer().wait_durable(queued_.back().second));
    for (const auto& [id, number] : queued_) say(Event::Kind::committed, id);
    queued_.clear();
  }

  void retire_one() {
    settle();
    std::vector<SnapshotId> leaves;
    for (const auto& [id, count] : children_) {
      if (count == 0) leaves.push_back(id);
    }
    if (leaves.size() < 2) return;
    const SnapshotId id = leaves[pick(leaves.size())];
    say(Event::Kind::retiring, id);
    must(store_->writer().wait_durable(must(store_->retire(id))));
    say(Event::Kind::retired, id);
    if (const auto parent = parents_[id]) --children_[*parent];
    children_.erase(id);
  }

  const DiskLog& log_;
  int pipe_;
  std::mt19937_64 random_;
  std::unique_ptr<PowerStore> store_;
  std::vector<std::pair<SnapshotId, SequenceNumber>> queued_;
  std::map<SnapshotId, int> children_;  // of those that are not retired
  std::map<SnapshotId, std::optional<SnapshotId>> parents_;
};

std::vector<Event> read_events(int pipe) {
  const std::string bytes = must(base::read_all(pipe, std::size_t{1} << 30));
  std::vector<Event> events;
  for (std::size_t at = 0; at < bytes.size();) {
    EventHeader header;
    CHECK(at + sizeof header <= bytes.size(), "the report of the workload breaks off");
    std::memcpy(&header, bytes.data() + at, sizeof header);
    at += sizeof header;
    events.push_back({header.kind, SnapshotId(header.id), header.position, bytes.substr(at, header.state_size)});
    at += header.state_size;
  }
  return events;
}

}  // namespace

std::vector<Event> run_workload(const base::HostPath& root, const WorkloadOptions& options, const DiskLog& log) {
  std::array<int, 2> ends{};
  CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0, "pipe: {}", ::strerror(errno));
  base::Fd from(ends[0]), to(ends[1]);
  const pid_t child = ::fork();
  CHECK(child >= 0, "fork: {}", ::strerror(errno));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    from.reset();
    { Workload workload(root, options, log, to.get()); }
    ::_exit(0);
  }
  to.reset();
  auto events = read_events(from.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(status == 0, "the workload failed: status {:#x}", status);
  return events;
}

}  // namespace cairn::test
