// SPDX-License-Identifier: Apache-2.0
// Native: a tree is a full copy of its parent, sharing data where the file system can. Works everywhere, and is the
// model that the other drivers are compared with.
#include <fcntl.h>

#include "libsnapshot/drivers/driver.h"

namespace cairn::snapshot {
namespace {

class NativeDriver final : public Driver {
 public:
  std::string_view name() const override { return "native"; }
  Shape shape() const override { return Shape::complete; }

  base::Status make(const TreeDirs& trees, SnapshotId id, const Chain* parent) const override {
    if (parent == nullptr) return trees.create_part(id, "fs", 0755);
    return copy_merged(*this, trees, *parent, id, "fs");
  }

  base::Result<DetachedMount> mount(const TreeDirs& trees, const Chain& chain, Access access) const override {
    if (chain.below) {
      return base::fail(base::ErrorCode::unavailable,
                        "mount snapshot {}: it was made by the overlay driver, which is not in use", chain.id);
    }
    const auto tree = TRY(trees.open_part(chain.id, directory_name(chain.layer), O_PATH));
    return mount_directory(tree.get(), access);
  }
};

}  // namespace

std::unique_ptr<Driver> make_native_driver() { return std::make_unique<NativeDriver>(); }

}  // namespace cairn::snapshot
