// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/snapshot_workload.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libsnapshot/diff.h"
#include "libsnapshot/lent.h"
#include "libsnapshot/merge.h"
#include "tests/e2e/power/random_changes.h"
#include "tests/support/must.h"
#include "tests/support/tree_state.h"

namespace cairn::test {
namespace {

using base::lmdb::SequenceNumber;
using snapshot::Access;
using snapshot::Copying;
using snapshot::Delta;
using snapshot::SnapshotId;

class Workload {
 public:
  Workload(const base::HostPath& root, const WorkloadOptions& options, Reporter& reporter)
      : reporter_(reporter), random_(options.seed), store_(must(PowerStore::open(root, options.store))) {
    for (int round = 0; round < options.rounds; ++round) one_round();
    derive_in_every_way();
    end_a_squashed_chain();
    lend_and_end();
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
    const SnapshotId id = pick(4) == 0 ? derive() : commit(choose_parent());
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

  void in_a_change(std::function<base::Status(base::lmdb::WriteTxn&)> change) {
    base::lmdb::GroupWriter::Entry entry;
    entry.change = std::move(change);
    must(store_->writer().wait_durable(must(store_->writer().enqueue(std::move(entry)))));
  }

  // Trees that are lent: one until it is published, one until its loan ends, and one that the next open finds.
  void lend_and_end() {
    auto& snapshots = store_->snapshots();
    const SnapshotId base = commit(std::nullopt);
    settle();
    const SnapshotId published = make(base), ended = make(base), left = make(base);
    for (const SnapshotId id : {published, ended, left})
      in_a_change([&](base::lmdb::WriteTxn& txn) { return snapshot::lend(txn, snapshots, id); });
    freeze(published);
    in_a_change([&](base::lmdb::WriteTxn& txn) { return snapshot::end_loan(txn, ended); });
    must(snapshots.abandon(ended));
    settle();
  }

  SnapshotId commit(std::optional<SnapshotId> parent) { return freeze(make(parent)); }

  SnapshotId freeze(SnapshotId active) {
    must(store_->snapshots().freeze(active));
    return publish(active);
  }

  SnapshotId publish(SnapshotId frozen) {
    auto& snapshots = store_->snapshots();
    const auto state = must(tree_state(must(snapshots.mount(frozen, Access::read_only)).fd()));
    reporter_.say(Event::Kind::intent, frozen.value(), state);
    queued_.push_back({frozen, must(store_->publish(frozen))});
    children_[frozen] = 0;
    const auto about = must(snapshots.stat(frozen));
    auto& parents = parents_[frozen] = about.stacked_on;
    if (about.parent) parents.push_back(about.parent);
    for (const SnapshotId parent : parents) ++children_[parent];
    return frozen;
  }

  // A tree out of others, as it comes: stacked, linked, cloned or copied.
  SnapshotId derive() {
    const auto any = choose_parent(), other = choose_parent();
    if (!any || !other || *any == *other) return commit(any);
    switch (pick(4)) {
      case 0: return merge({{std::nullopt, *any}, own_delta(*other)}, Copying::avoid).first;
      case 1: return merge({{*any, *other}}, Copying::avoid).first;
      case 2: return merge({own_delta(*any), own_delta(*other)}, Copying::always).first;
      default: return apply_difference(*any, *other);
    }
  }

  Delta own_delta(SnapshotId id) {
    const SnapshotId parent = must(store_->snapshots().stat(id)).parent;
    return {parent ? std::optional(parent) : std::nullopt, id};
  }

  std::pair<SnapshotId, snapshot::MergeCounts> merge(const std::vector<Delta>& deltas, Copying copying) {
    snapshot::MergeCounts counts;
    const SnapshotId id = must(snapshot::merge(store_->snapshots(), deltas, {.copying = copying, .counts = &counts}));
    return {publish(id), counts};
  }

  SnapshotId apply_difference(SnapshotId lower, SnapshotId upper) {
    auto& snapshots = store_->snapshots();
    const SnapshotId id = must(snapshots.prepare(lower));
    must(snapshot::apply_changes(must(snapshots.mount(id, Access::read_write)), [&](const auto& visitor) {
      return snapshot::diff(snapshots, lower, upper, visitor, {.replay = snapshot::Replay::hard_links});
    }));
    return freeze(id);
  }

  SnapshotId commit_file(std::optional<SnapshotId> parent, const std::string& directory, const std::string& name) {
    auto& snapshots = store_->snapshots();
    const SnapshotId id = must(snapshots.prepare(parent));
    {
      const auto tree = must(snapshots.mount(id, Access::read_write));
      const auto path = must(base::TreePath::parse(directory));
      must(base::remove_all_beneath(tree.fd(), path));  // what is made again hides what was there
      must(base::make_dirs_beneath(tree.fd(), path, 0755));
      const auto file = must(base::open_beneath(tree.fd(), path.child(name), O_WRONLY | O_CREAT, 0644));
      must(base::write_full(file.get(), std::string_view(std::string(20'000, 'f') + name)));
    }
    return freeze(id);
  }

  // Whatever chance brought before: each way in which a merge is made, and layers stacked by hand, with a change on top.
  void derive_in_every_way() {
    auto& snapshots = store_->snapshots();
    const bool overlay = snapshots.driver() == "overlay";
    const SnapshotId base = commit_file(std::nullopt, "base", "file");
    const SnapshotId left = commit_file(base, "left", "l"), right = commit_file(base, "right", "r");
    const SnapshotId again = commit_file(base, "base", "other");
    const Delta whole{std::nullopt, base}, to_left{base, left}, to_right{base, right}, to_again{base, again};
    CHECK(merge({whole, to_left, to_right}, Copying::avoid).second.stacked == overlay);
    const auto counts = merge({to_left, to_again}, Copying::avoid).second;
    CHECK(!counts.stacked && (counts.linked > 0) == (overlay || snapshots.driver() == "native"));
    CHECK(merge({to_left, to_right}, Copying::always).second.bytes_copied > 0 || !overlay);
    apply_difference(left, again);
    settle();
    if (!overlay) return;
    const std::vector<SnapshotId> layers = {right, left};
    const SnapshotId id = must(snapshots.prepare_stack(layers));
    change_at_random(must(snapshots.mount(id, Access::read_write)).fd(), random_(), 12);
    freeze(id);
    settle();
    give_up_to_squash(id);
  }

  void give_up_to_squash(SnapshotId id) {
    std::stop_source stopped;
    stopped.request_stop();
    const auto squashed = store_->snapshots().squash(id, store_->writer(), stopped.get_token());
    CHECK(!squashed && squashed.error().code == base::ErrorCode::cancelled);
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
    for (const SnapshotId parent : parents_[id]) --children_[parent];
    children_.erase(id);
  }

  Reporter& reporter_;
  std::mt19937_64 random_;
  std::unique_ptr<PowerStore> store_;
  std::vector<std::pair<SnapshotId, SequenceNumber>> queued_;
  std::map<SnapshotId, int> children_;  // of those that are not retired
  std::map<SnapshotId, std::vector<SnapshotId>> parents_;  // and what a merge stacks
};

}  // namespace

void run_snapshot_workload(const base::HostPath& root, const WorkloadOptions& options, Reporter& reporter) {
  Workload(root, options, reporter);
}

}  // namespace cairn::test
