// SPDX-License-Identifier: Apache-2.0
// Btrfs: a tree is a subvolume, forked from that of its parent. Forking and freezing cost a commit of the file system
// each, whatever the tree holds; a chain has no depth, and everything about a tree is in one directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libsnapshot/drivers/driver.h"
#include "libsnapshot/drivers/send_candidates.h"
#include "libsnapshot/trees/subvolume.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Fd;
using base::Status;

constexpr const char* tree_name = "fs";
constexpr const char* old_name = "fs.old";    // the writable one, between the fork that replaces it and its end
constexpr const char* look_name = "fs.look";  // a fork that is made only so that the tree is written out

class BtrfsDriver final : public Driver {
 public:
  std::string_view name() const override { return "btrfs"; }
  Shape shape() const override { return Shape::complete; }

  Status make(const TreeDirs& trees, SnapshotId id, const Chain* parent) const override {
    const Fd into = TRY(trees.open_tree(id, O_RDONLY));
    if (parent != nullptr && !parent->below) {
      const Fd from = TRY(trees.open_part(parent->id, directory_name(parent->layer), O_RDONLY));
      if (TRY(is_subvolume(from.get()))) return fork_subvolume(from.get(), into.get(), tree_name, Access::read_write);
    }
    // The parent, if there is one, is a directory that another driver made.
    if (parent != nullptr) TRY(trees.sync_all());  // so that its extents are older than the subvolume
    TRY(create_subvolume(into.get(), tree_name));
    const Fd tree = TRY(trees.open_part(id, tree_name, O_RDONLY));
    if (::fchmod(tree.get(), 0755) != 0) return base::fail_errno(errno, "set mode of tree {}", id);
    if (parent == nullptr) return {};
    const auto source = TRY(mount(trees, *parent, Access::read_only));
    return copy_tree(source.directory.get(), tree.get(), copies());
  }

  base::Result<DetachedMount> mount(const TreeDirs& trees, const Chain& chain, Access access) const override {
    return mount_complete(trees, chain, access);
  }

  base::Result<TreeMeasure> measure(const TreeDirs& trees, SnapshotId id) const override {
    const Fd active = TRY(trees.open_part(id, tree_name, O_RDONLY));
    const Fd tree = TRY(trees.open_tree(id, O_RDONLY));
    TRY(fork_subvolume(active.get(), tree.get(), look_name, Access::read_only));
    const auto found = measure_subvolume(active.get());
    TRY(destroy_subvolume(tree.get(), look_name));
    return with_directory(TRY(found, "measure tree {}", id), tree.get());
  }

  base::Result<Frozen> freeze(const TreeDirs& trees, SnapshotId id) const override {
    const Fd active = TRY(trees.open_part(id, tree_name, O_RDONLY));
    if (const auto inside = TRY(nested_subvolumes(active.get())); !inside.empty()) {
      auto refused = base::fail(ErrorCode::invalid_argument,
                                "freeze snapshot {}: there are {} subvolumes in it, which a fork would show empty", id,
                                inside.size());
      refused.value().hint = "make directories instead, or move the files out of the subvolumes";
      return refused;
    }
    const Fd tree = TRY(trees.open_tree(id, O_RDONLY));
    // A fork that cannot be written takes the place of the active tree. The commit that makes it writes out what is in
    // the active tree, and only that, so that nothing is left to be synced.
    TRY(trees.rename_part(id, tree_name, old_name));
    CRASH_POINT("snapshot.btrfs.put_aside");
    const auto found = replace(active.get(), tree.get());
    if (!found) {
      TRY(trees.rename_part(id, old_name, tree_name));
      return tl::unexpected(base::add_context(found.error(), fmt::format("freeze snapshot {}", id)));
    }
    // What stays of the old one, now or after a crash, shares all its extents with the frozen tree and goes with it.
    if (const auto gone = destroy_subvolume(tree.get(), old_name); !gone) base::log_warning("{}", gone.error().message);
    CRASH_POINT("snapshot.btrfs.old_gone");
    return Frozen{.measure = TRY(with_directory(*found, tree.get())), .reached = Reached::disk};
  }

  Status take_up(const TreeDirs& trees, SnapshotId id) const override {
    // What was put aside is the tree that was written to; what may have come in its place is a fork of it.
    if (trees.open_part(id, old_name, O_RDONLY)) TRY(restore(trees, id));
    const Fd tree = TRY(trees.open_tree(id, O_RDONLY));
    if (::faccessat(tree.get(), tree_name, W_OK, AT_EACCESS) == 0 || errno != EROFS) return {};
    TRY(trees.rename_part(id, tree_name, old_name));
    const Fd frozen = TRY(trees.open_part(id, old_name, O_RDONLY));
    TRY(fork_subvolume(frozen.get(), tree.get(), tree_name, Access::read_write));
    return destroy_subvolume(tree.get(), old_name);
  }

  base::Result<std::function<bool(const base::TreePath&)>> candidates(const TreeDirs& trees, SnapshotId lower,
                                                                      SnapshotId upper) const override {
    const Fd from = TRY(trees.open_part(lower, tree_name, O_RDONLY));
    const Fd to = TRY(trees.open_part(upper, tree_name, O_RDONLY));
    // Another driver made it.
    if (!TRY(is_subvolume(from.get())) || !TRY(is_subvolume(to.get()))) return MayDiffer();
    auto touched = paths_touched_between(from.get(), to.get());
    if (!touched) {
      base::log_debug("compare snapshots {} and {} whole: {}", lower, upper, touched.error().message);
      return MayDiffer();
    }
    return MayDiffer([touched = std::make_shared<const TouchedPaths>(std::move(*touched))](const base::TreePath& path) {
      return touched->may_differ(path.str());
    });
  }

 private:
  using MayDiffer = std::function<bool(const base::TreePath&)>;

  static Status restore(const TreeDirs& trees, SnapshotId id) {
    const Fd tree = TRY(trees.open_tree(id, O_RDONLY));
    if (trees.open_part(id, tree_name, O_RDONLY)) TRY(destroy_subvolume(tree.get(), tree_name));
    return trees.rename_part(id, old_name, tree_name);
  }

  static base::Result<Usage> replace(int active, int tree) {
    TRY(fork_subvolume(active, tree, tree_name, Access::read_only));
    CRASH_POINT("snapshot.btrfs.forked");
    const auto usage = measure_subvolume(active);
    if (!usage) TRY(destroy_subvolume(tree, tree_name));
    return usage;
  }

  static base::Result<TreeMeasure> with_directory(Usage usage, int tree) {
    const auto status = TRY(base::stat_fd(tree));
    usage.bytes += static_cast<std::int64_t>(status.st_blocks) * 512;
    usage.inodes += 1;
    return TreeMeasure{.usage = usage, .marks = {}, .linked_elsewhere = {}};
  }
};

}  // namespace

std::unique_ptr<Driver> make_btrfs_driver() { return std::make_unique<BtrfsDriver>(); }

}  // namespace cairn::snapshot
