// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/merge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libsnapshot/changes/applier.h"
#include "libsnapshot/diff.h"
#include "libsnapshot/merge/sources.h"
#include "libsnapshot/merge/stacking.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Fd;
using base::Status;

struct Split {
  std::optional<SnapshotId> base;  // what the first deltas lead to
  std::span<const Delta> rest;
};

// Applying the difference of a and b to a makes b, so a beginning of such deltas needs no applying.
Split split(std::span<const Delta> deltas) {
  Split found{std::nullopt, deltas};
  while (!found.rest.empty() && found.rest.front().lower == found.base) {
    found.base = found.rest.front().upper;
    found.rest = found.rest.subspan(1);
  }
  return found;
}

Status check_unwritable(Snapshotter& snapshots, std::span<const Delta> deltas) {
  if (deltas.empty()) return base::fail(ErrorCode::invalid_argument, "no deltas");
  for (const Delta& delta : deltas) {
    for (const auto id : {delta.lower, delta.upper}) {
      if (!id || TRY(snapshots.stat(*id)).kind != Kind::active) continue;
      return base::fail(ErrorCode::invalid_argument, "snapshot {} is active", *id);
    }
  }
  return {};
}

// Brings the files of one delta into a tree from where they lie.
class Linker {
 public:
  Linker(Sources sources) : sources_(std::move(sources)) {}

  base::Result<bool> link(const Change& change, int directory, const char* name) {
    if (!S_ISREG(change.status.st_mode) && !S_ISLNK(change.status.st_mode)) return false;
    const auto place = TRY(sources_.find(change));
    if (!place) return false;
    if (::linkat(place->holder.get(), change.name.data(), directory, name, 0) == 0) {
      struct ::stat linked {};
      if (::fstatat(directory, name, &linked, AT_SYMLINK_NOFOLLOW) != 0) return base::fail_errno(errno, "stat a link");
      made_.push_back({linked.st_ino, place->snapshot});
      return true;
    }
    // Another file system or subvolume, as many links as there can be, or forbidden: copy.
    if (errno == EXDEV || errno == EMLINK || errno == EPERM) return false;
    return base::fail_errno(errno, "link to the file of snapshot {}", place->snapshot);
  }

  const std::vector<HardLink>& made() const { return made_; }

  base::Result<Fd> open(const Change& change) const {
    const auto place = TRY(sources_.find(change));
    if (!place) return Fd();
    return Fd(::openat(place->holder.get(), change.name.data(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  }

 private:
  Sources sources_;
  std::vector<HardLink> made_;
};

// Everything that `lower` shows goes.
Status remove_all_of(Snapshotter& snapshots, SnapshotId lower, ChangeApplier& applier) {
  const auto tree = TRY(snapshots.mount(lower, Access::read_only));
  for (const auto& entry : TRY(base::list_dir(tree.fd()))) {
    const auto path = base::TreePath().child(entry.name);
    TRY(applier.apply(Change{.kind = ChangeKind::remove, .path = path, .directory = tree.fd(), .name = path.name()}));
  }
  return {};
}

class Merge {
 public:
  Merge(Snapshotter& snapshots, const MergeOptions& options) : snapshots_(snapshots), options_(options) {}

  base::Result<SnapshotId> run(std::span<const Delta> deltas) {
    TRY(check_unwritable(snapshots_, deltas));
    const Split parts = split(deltas);
    if (options_.copying == Copying::avoid && !parts.rest.empty()) {
      if (const auto plan = TRY(plan_stack(snapshots_, parts.base, parts.rest, options_.stop))) {
        if (const auto id = TRY(make_stack(snapshots_, parts.base, *plan))) {
          if (options_.counts != nullptr) options_.counts->stacked = true;
          return *id;
        }
      }
    }
    // A fork that is a copy is worse than links to every file of the base.
    const bool apply_base = parts.base && options_.copying == Copying::avoid && snapshots_.driver() == "native";
    const SnapshotId id = TRY(snapshots_.prepare(apply_base ? std::nullopt : parts.base));
    const auto filled = fill(id, parts, apply_base);
    if (filled) return id;
    (void)snapshots_.abandon(id);
    return tl::unexpected(filled.error());
  }

 private:
  Status fill(SnapshotId id, const Split& parts, bool apply_base) {
    const auto own = TRY(snapshots_.open_own(id));
    std::optional<MountedTree> below;
    if (own.stacked) below = TRY(snapshots_.mount(*parts.base, Access::read_only));
    if (apply_base) TRY(apply(id, Delta{std::nullopt, parts.base}, own.directory.get(), nullptr));
    for (const Delta& delta : parts.rest) TRY(apply(id, delta, own.directory.get(), below ? &*below : nullptr));
    TRY(set_root(snapshots_, parts.base, own.directory.get()));
    TRY(snapshots_.freeze(id));
    return {};
  }

  // Where forks share blocks, clones do as well, and who shares what is told by the blocks.
  bool may_link() const { return snapshots_.driver() == "overlay" || snapshots_.driver() == "native"; }

  Status apply(SnapshotId id, const Delta& delta, int target, const MountedTree* below) {
    ApplyCounts counts;
    ApplierOptions how{.onto = ApplierOptions::Onto::merge, .counts = &counts};
    if (below != nullptr) how.below = below->fd();
    std::optional<Linker> linker;
    if (delta.upper && options_.copying == Copying::avoid) {
      linker.emplace(TRY(Sources::open(snapshots_, *delta.upper)));
      if (may_link()) {
        how.make = [&](const Change& change, int directory, const char* name) { return linker->link(change, directory, name); };
      }
      how.open = [&](const Change& change) { return linker->open(change); };
    }
    ChangeApplier applier(target, std::move(how));
    if (delta.upper) {
      const auto visit = [&](const Change& change) { return change.kind == ChangeKind::relink ? Status() : applier.apply(change); };
      TRY(diff(snapshots_, delta.lower, *delta.upper, visit, {.stop = options_.stop}));
    } else if (delta.lower) {
      TRY(remove_all_of(snapshots_, *delta.lower, applier));
    }
    TRY(applier.finish());
    if (linker) TRY(snapshots_.note_links(id, linker->made()));  // their space is counted once
    if (options_.counts != nullptr) {
      options_.counts->linked += counts.linked;
      options_.counts->bytes_copied += counts.bytes_copied;
    }
    return {};
  }

  Snapshotter& snapshots_;
  const MergeOptions& options_;
};

}  // namespace

base::Result<SnapshotId> merge(Snapshotter& snapshots, std::span<const Delta> deltas, const MergeOptions& options) {
  return TRY(Merge(snapshots, options).run(deltas), "merge {} deltas", deltas.size());
}

}  // namespace cairn::snapshot
