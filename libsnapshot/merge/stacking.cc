// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/merge/stacking.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <set>
#include <string>
#include <unordered_set>

#include "libbase/fs/beneath.h"
#include "libbase/fs/deep_cursor.h"
#include "libsnapshot/changes/lineage.h"
#include "libsnapshot/changes/metadata.h"
#include "libsnapshot/diff.h"

namespace cairn::snapshot {
namespace {

using base::Status;
using base::TreePath;

constexpr std::size_t layers_of_a_delta_max = 64;  // as many as a diff looks into
constexpr std::size_t stack_max = 500;             // the kernel's limit; the snapshotter has one of its own

// The paths that a delta changes, and the directories that they are in.
struct Changed {
  std::set<std::string> paths, above;

  void add(const TreePath& path) {
    paths.insert(path.str());
    for (TreePath up = path.parent(); !up.is_root() && above.insert(up.str()).second; up = up.parent()) continue;
  }
};

base::Result<Changed> changed_paths(Snapshotter& snapshots, const Delta& delta, std::stop_token stop) {
  Changed changed;
  const auto note = [&](const Change& change) -> Status {
    if (change.kind != ChangeKind::relink && !change.path.is_root()) changed.add(change.path);
    return {};
  };
  TRY(diff(snapshots, delta.lower, *delta.upper, note, {.stop = std::move(stop)}));
  return changed;
}

// Walks one layer and holds each entry against what its delta changes: a file that was copied up and is as it was, or a
// whiteout of what is not in the lower tree, would hide what another delta has there.
class LayerCheck {
 public:
  LayerCheck(int layer, const Changed& changed, std::vector<TreePath>& whiteouts_in)
      : layer_(layer), cursor_(layer), changed_(changed), whiteouts_in_(whiteouts_in) {}

  base::Result<bool> run() {
    if (!TRY(check_directory())) return false;
    while (true) {
      auto& pending = pending_.back();
      if (pending.empty()) {
        pending_.pop_back();
        if (pending_.empty()) return true;
        path_ = path_.parent();
        TRY(cursor_.leave());
        continue;
      }
      const std::string name = std::move(pending.back());
      pending.pop_back();
      path_ = path_.child(name);
      TRY(cursor_.enter(name));
      if (!TRY(check_directory())) return false;
    }
  }

 private:
  base::Result<bool> check_directory() {
    pending_.emplace_back();
    bool whiteouts = false;
    for (auto& entry : TRY(base::list_dir(cursor_.depth() == 0 ? layer_ : cursor_.fd()))) {
      const TreePath path = path_.child(entry.name);
      const bool reported = changed_.paths.contains(path.str());
      if (!reported && (entry.type != DT_DIR || !changed_.above.contains(path.str()))) return false;
      if (entry.type == DT_CHR) whiteouts = whiteouts || TRY(is_whiteout(entry.name));
      if (entry.type == DT_DIR) pending_.back().push_back(std::move(entry.name));
    }
    if (whiteouts && !path_.is_root()) whiteouts_in_.push_back(path_);
    return true;
  }

  base::Result<bool> is_whiteout(const std::string& name) {
    struct ::stat status {};
    if (::fstatat(cursor_.fd(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return base::fail_errno(errno, "stat");
    return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
  }

  int layer_;
  base::DeepCursor cursor_;
  const Changed& changed_;
  std::vector<TreePath>& whiteouts_in_;
  TreePath path_;
  std::vector<std::vector<std::string>> pending_;
};

// Adds the layers of one delta; false if they cannot be stacked.
base::Result<bool> add_delta(Snapshotter& snapshots, const Delta& delta, std::stop_token stop, StackPlan& plan) {
  if (!delta.upper) return false;
  const auto layers = TRY(layers_above(snapshots, delta.lower, *delta.upper, layers_of_a_delta_max));
  if (!layers) return false;
  for (const SnapshotId id : *layers) {
    if (TRY(snapshots.stat(id)).marks.opaque) return false;
  }
  const Changed changed = TRY(changed_paths(snapshots, delta, std::move(stop)));
  for (const SnapshotId id : *layers) {
    const auto own = TRY(snapshots.open_own(id));
    if (!TRY(LayerCheck(own.directory.get(), changed, plan.whiteouts_in).run(), "snapshot {}", id)) return false;
  }
  plan.layers.insert(plan.layers.begin(), layers->begin(), layers->end());
  return true;
}

// What a layer does is done again by the same layer higher up, so the lower one can go.
void keep_nearest(std::vector<SnapshotId>& layers) {
  std::unordered_set<SnapshotId> seen;
  std::erase_if(layers, [&](SnapshotId id) { return !seen.insert(id).second; });
}

Status finish_tree(Snapshotter& snapshots, std::optional<SnapshotId> base, SnapshotId id, const StackPlan& plan) {
  {
    const auto tree = TRY(snapshots.mount(id, Access::read_write));
    for (const TreePath& path : plan.whiteouts_in) {
      const auto found = base::open_beneath(tree.fd(), path, O_RDONLY | O_DIRECTORY);
      if (!found) {
        const auto code = found.error().code;
        // Another layer has something else there.
        if (code == base::ErrorCode::not_found || code == base::ErrorCode::invalid_argument) continue;
        return tl::unexpected(found.error());
      }
      // Setting the time that it has copies it up.
      TRY(set_mtime(found->get(), ".", TRY(base::stat_fd(found->get())).st_mtim));
    }
    TRY(set_root(snapshots, base, tree.fd()));
  }
  TRY(snapshots.freeze(id));
  return {};
}

}  // namespace

base::Result<std::optional<StackPlan>> plan_stack(Snapshotter& snapshots, std::optional<SnapshotId> base,
                                                  std::span<const Delta> deltas, std::stop_token stop) {
  StackPlan plan;
  if (base) {
    auto layers = TRY(layers_above(snapshots, std::nullopt, *base, stack_max));
    if (!layers) return std::nullopt;
    plan.layers = std::move(*layers);
  }
  for (const Delta& delta : deltas) {
    if (!TRY(add_delta(snapshots, delta, stop, plan))) return std::nullopt;
  }
  keep_nearest(plan.layers);
  return plan;
}

base::Result<std::optional<SnapshotId>> make_stack(Snapshotter& snapshots, std::optional<SnapshotId> base,
                                                   const StackPlan& plan) {
  const auto id = snapshots.prepare_stack(plan.layers);
  if (!id) {
    const auto code = id.error().code;
    if (code == base::ErrorCode::unavailable || code == base::ErrorCode::invalid_argument) return std::nullopt;
    return tl::unexpected(id.error());
  }
  const auto finished = finish_tree(snapshots, base, *id, plan);
  if (finished) return *id;
  (void)snapshots.abandon(*id);
  return tl::unexpected(finished.error());
}

Status set_root(Snapshotter& snapshots, std::optional<SnapshotId> base, int directory) {
  Metadata wanted;
  if (base) {
    const auto tree = TRY(snapshots.mount(*base, Access::read_only));
    wanted = TRY(metadata_of(tree.fd(), "."));
  } else {
    wanted.status = TRY(base::stat_fd(directory));
    wanted.status.st_uid = wanted.status.st_gid = 0;
    wanted.status.st_mode = S_IFDIR | 0755;
  }
  return set_metadata(directory, ".", wanted);
}

}  // namespace cairn::snapshot
