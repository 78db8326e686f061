// SPDX-License-Identifier: Apache-2.0
// Reflink: a tree has all files of its parent, but shares their blocks (XFS, btrfs). Making one costs a few calls
// of the kernel a file, and no bytes.
#include <fcntl.h>

#include "libsnapshot/drivers/driver.h"
#include "libsnapshot/trees/extents.h"

namespace cairn::snapshot {
namespace {

class ReflinkDriver final : public Driver {
 public:
  std::string_view name() const override { return "reflink"; }
  Shape shape() const override { return Shape::complete; }

  base::Status make(const TreeDirs& trees, SnapshotId id, const Chain* parent) const override {
    if (parent == nullptr) return trees.create_part(id, "fs", 0755);
    return copy_merged(*this, trees, *parent, id, "fs");
  }

  base::Result<DetachedMount> mount(const TreeDirs& trees, const Chain& chain, Access access) const override {
    return mount_complete(trees, chain, access);
  }

  base::Result<TreeMeasure> measure(const TreeDirs& trees, SnapshotId id) const override {
    // What is shared belongs to an ancestor, which counted it when it was frozen itself, and outlives this tree.
    auto found = TRY(trees.measure(id));
    const base::Fd tree = TRY(trees.open_part(id, "fs", O_RDONLY));
    found.usage.bytes -= TRY(shared_bytes(tree.get()), "measure tree {}", id);
    return found;
  }
};

}  // namespace

std::unique_ptr<Driver> make_reflink_driver() { return std::make_unique<ReflinkDriver>(); }

}  // namespace cairn::snapshot
