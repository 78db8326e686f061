// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/snapshot_workload.h"

#include <map>
#include <random>

#include "tests/e2e/power/random_changes.h"
#include "tests/support/tree_state.h"

namespace cairn::test {
namespace {

using base::lmdb::SequenceNumber;
using snapshot::Access;
using snapshot::SnapshotId;

template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class Workload {
 public:
  Workload(const base::HostPath& root, const WorkloadOptions& options, Reporter& reporter)
      : reporter_(reporter), random_(options.seed), store_(must(PowerStore::open(root, options.store))) {
    for (int round = 0; round < options.rounds; ++round) one_round();
    end_a_squashed_chain();
  }

 private:
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

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
    const SnapshotId id = commit(choose_parent());
    if (pick(3) > 0) settle();
    if (unfinished) must(snapshots.abandon(*unfinished));
    if (pick(3) == 0) squash(id);
    if (pick(4) == 0) retire_one();
    if (pick(8) == 0) must(snapshots.erase_trash(store_->writer(), {}));
  }

  // Whatever chance brought before: a squashed chain, whose copy is links, and its end.
  void end_a_squashed_chain() {
    SnapshotId id = commit(std::nullopt);
    for (int i = 0; i < 2; ++i) id = commit(id);
    squash(id);
    retire(id);
    must(store_->snapshots().erase_trash(store_->writer(), {}));
  }

  SnapshotId commit(std::optional<SnapshotId> parent) {
    auto& snapshots = store_->snapshots();
    const SnapshotId id = make(parent);
    must(snapshots.freeze(id));
    reporter_.say(Event::Kind::intent, id.value(), must(tree_state(must(snapshots.mount(id, Access::read_only)).fd())));
    queued_.push_back({id, must(store_->publish(id))});
    children_[id] = 0;
    parents_[id] = parent;
    if (parent) ++children_[*parent];
    return id;
  }

  void squash(SnapshotId id) {
    settle();
    must(store_->snapshots().squash(id, store_->writer(), {}));
  }

  void settle() {
    if (queued_.empty()) return;
    must(store_->writer().wait_durable(queued_.back().second));
    for (const auto& [id, number] : queued_) reporter_.say(Event::Kind::committed, id.value());
    queued_.clear();
  }

  void retire_one() {
    settle();
    std::vector<SnapshotId> leaves;
    for (const auto& [id, count] : children_) {
      if (count == 0) leaves.push_back(id);
    }
    if (leaves.size() < 2) return;
    retire(leaves[pick(leaves.size())]);
  }

  void retire(SnapshotId id) {
    reporter_.say(Event::Kind::retiring, id.value());
    must(store_->writer().wait_durable(must(store_->retire(id))));
    reporter_.say(Event::Kind::retired, id.value());
    if (const auto parent = parents_[id]) --children_[*parent];
    children_.erase(id);
  }

  Reporter& reporter_;
  std::mt19937_64 random_;
  std::unique_ptr<PowerStore> store_;
  std::vector<std::pair<SnapshotId, SequenceNumber>> queued_;
  std::map<SnapshotId, int> children_;  // of those that are not retired
  std::map<SnapshotId, std::optional<SnapshotId>> parents_;
};

}  // namespace

void run_snapshot_workload(const base::HostPath& root, const WorkloadOptions& options, Reporter& reporter) {
  Workload(root, options, reporter);
}

}  // namespace cairn::test
