// SPDX-License-Identifier: Apache-2.0
// Native: a tree is a full copy of its parent. Works everywhere, and is the model that the other drivers are compared
// with.
#include "libsnapshot/drivers/driver.h"

namespace cairn::snapshot {
namespace {

class NativeDriver final : public Driver {
 public:
  std::string_view name() const override { return "native"; }
  Shape shape() const override { return Shape::complete; }
  CopyData copies() const override { return CopyData::bytes; }

  base::Status make(const TreeDirs& trees, SnapshotId id, const Chain* parent) const override {
    if (parent == nullptr) return trees.create_part(id, "fs", 0755);
    return copy_merged(*this, trees, *parent, id, "fs");
  }

  base::Result<DetachedMount> mount(const TreeDirs& trees, const Chain& chain, Access access) const override {
    return mount_complete(trees, chain, access);
  }
};

}  // namespace

std::unique_ptr<Driver> make_native_driver() { return std::make_unique<NativeDriver>(); }

}  // namespace cairn::snapshot
