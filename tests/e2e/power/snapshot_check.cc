// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/lent.h"
#include "tests/e2e/power/snapshot_check.h"

#include <fcntl.h>

#include <cerrno>
#include <map>
#include <set>

#include "libbase/fs/host_tree.h"
#include "tests/support/tree_state.h"

namespace cairn::test {
namespace {

using base::Status;
using base::lmdb::Scan;
using snapshot::Access;
using snapshot::SnapshotId;
using Kind = Violation::Kind;

class Checker {
 public:
  Checker(base::HostPath root, const Expected& expected, const StoreOptions& options)
      : root_(std::move(root)), expected_(expected), options_(options) {}

  std::vector<Violation> run() {
    if (const auto checked = check(); !checked) say(Kind::unopenable, checked.error().message);
    return std::move(found_);
  }

 private:
  void say(Kind kind, std::string text) { found_.push_back({kind, std::move(text)}); }

  Status check() {
    {
      auto store = TRY(PowerStore::open(root_, options_), "open the store");
      TRY(read_rows(store->env()));
      compare_rows();
      TRY(compare_names());
      TRY(compare_trees(store->snapshots()));
      TRY(store->snapshots().erase_trash(store->writer(), {}));
      TRY(commit_one(*store));
    }
    // What was committed now is there after a restart, with everything that was before.
    auto store = TRY(PowerStore::open(root_, options_), "open the store again");
    TRY(read_rows(store->env()));
    if (!rows_.contains(fresh_)) say(Kind::unopenable, fmt::format("snapshot {}, committed after the cut, is gone", fresh_));
    return compare_tree(store->snapshots(), fresh_, fresh_state_);
  }

  Status read_rows(base::lmdb::Env& env) {
    rows_.clear();
    trash_.clear();
    ours_.clear();
    return env.view([&](base::lmdb::ReadTxn& txn) -> Status {
      TRY(snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& info) -> base::Result<Scan> {
        rows_.insert(info.id);
        return Scan::next;
      }));
      TRY(snapshot::each_trash(txn, [&](SnapshotId id, snapshot::Usage) -> base::Result<Scan> {
        trash_.insert(id);
        return Scan::next;
      }));
      for (const SnapshotId id : TRY(snapshot::lent_trees(txn))) lent_.insert(id);
      return txn.scan(caller_table, "", [&](const SnapshotId& id, const std::string&) -> base::Result<Scan> {
        ours_.insert(id);
        return Scan::next;
      });
    });
  }

  void compare_rows() {
    for (const std::uint64_t id : expected_.must_exist) {
      if (!rows_.contains(SnapshotId(id))) say(Kind::lost, fmt::format("snapshot {} was acknowledged and has no row", id));
    }
    for (const std::uint64_t id : expected_.must_be_gone) {
      if (rows_.contains(SnapshotId(id))) say(Kind::came_back, fmt::format("snapshot {} was acknowledged as retired", id));
    }
    if (rows_ != ours_) say(Kind::stray, "the caller's rows and those of the snapshots are not the same");
  }

  // I6, and I1 for the trash: a directory for each row, a row for each directory.
  Status compare_names() {
    std::set<std::string> named;
    for (const SnapshotId id : rows_) named.insert(fmt::format("{}", id));
    for (const SnapshotId id : lent_) named.insert(fmt::format("{}", id));
    for (const std::string& name : TRY(base::list_host_dir(root_ / "trees"))) {
      if (named.erase(name) == 0 && !trash_.contains(SnapshotId(std::stoull(name)))) {
        say(Kind::stray, fmt::format("trees/{} is named by no row", name));
      }
    }
    for (const std::string& name : named) say(Kind::bad_tree, fmt::format("trees/{} is missing", name));
    return {};
  }

  Status compare_trees(snapshot::Snapshotter& snapshots) {
    const std::map<std::uint64_t, std::string> states(expected_.may_exist.begin(), expected_.may_exist.end());
    for (const SnapshotId id : rows_) {
      const auto state = states.find(id.value());
      if (state == states.end()) {
        say(Kind::stray, fmt::format("snapshot {} was never published", id));
        continue;
      }
      TRY(compare_tree(snapshots, id, state->second));
    }
    return {};
  }

  Status compare_tree(snapshot::Snapshotter& snapshots, SnapshotId id, const std::string& expected) {
    const auto state = [&]() -> base::Result<std::string> {
      return tree_state(TRY(snapshots.mount(id, Access::read_only)).fd());
    }();
    if (!state) {
      say(Kind::bad_tree, fmt::format("snapshot {}: {}", id, state.error().message));
    } else if (*state != expected) {
      say(Kind::bad_tree, fmt::format("snapshot {}: {}", id, first_difference(expected, *state)));
    }
    return {};
  }

  Status commit_one(PowerStore& store) {
    const auto parent = rows_.empty() ? std::nullopt : std::optional(*rows_.rbegin());
    auto& snapshots = store.snapshots();
    fresh_ = TRY(snapshots.prepare(parent), "a new snapshot");
    {
      const auto tree = TRY(snapshots.mount(fresh_, Access::read_write));
      const base::Fd file(::openat(tree.fd(), "fresh", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
      if (!file) return base::fail_errno(errno, "make a file in a new snapshot");
      TRY(base::write_full(file.get(), std::string_view("written after the cut")));
    }
    TRY(snapshots.freeze(fresh_));
    fresh_state_ = TRY(tree_state(TRY(snapshots.mount(fresh_, Access::read_only)).fd()));
    return store.writer().wait_durable(TRY(store.publish(fresh_)));
  }

  base::HostPath root_;
  const Expected& expected_;
  const StoreOptions& options_;
  std::set<SnapshotId> rows_, trash_, lent_, ours_;
  SnapshotId fresh_;
  std::string fresh_state_;
  std::vector<Violation> found_;
};

}  // namespace

std::vector<Violation> check_snapshots(const base::HostPath& root, const Expected& expected,
                                       const StoreOptions& options) {
  return Checker(root, expected, options).run();
}

}  // namespace cairn::test
