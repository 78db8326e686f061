// SPDX-License-Identifier: Apache-2.0
// What several drivers do alike.
#include "libsnapshot/drivers/driver.h"

#include <fcntl.h>

namespace cairn::snapshot {
namespace {

base::Status expect_complete(const Chain& chain) {
  if (!chain.below) return {};
  return base::fail(base::ErrorCode::unavailable,
                    "mount snapshot {}: it was made by the overlay driver, which is not in use", chain.id);
}

}  // namespace

base::Result<TreeMeasure> Driver::measure(const TreeDirs& trees, SnapshotId id) const { return trees.measure(id); }

base::Result<Frozen> Driver::freeze(const TreeDirs& trees, SnapshotId id) const {
  return Frozen{.measure = TRY(measure(trees, id)), .reached = Reached::memory};
}

base::Result<std::function<bool(const base::TreePath&)>> Driver::candidates(const TreeDirs&, SnapshotId,
                                                                            SnapshotId) const {
  return std::function<bool(const base::TreePath&)>();
}

base::Status Driver::take_up(const TreeDirs&, SnapshotId) const { return {}; }

base::Result<MountSpec> Driver::mount_outside(const TreeDirs&, const base::HostPath& root, const Chain& chain,
                                              Access access) const {
  TRY(expect_complete(chain));
  return bind_spec(root, chain, access);
}

base::HostPath layer_path(const base::HostPath& root, const Chain& chain) {
  return root / fmt::format("trees/{}/{}", chain.id, directory_name(chain.layer));
}

MountSpec bind_spec(const base::HostPath& root, const Chain& chain, Access access) {
  return {.type = "bind",
          .source = layer_path(root, chain).str(),
          .options = {access == Access::read_only ? "ro" : "rw", "rbind"}};
}

base::Status copy_merged(const Driver& driver, const TreeDirs& trees, const Chain& chain, SnapshotId id,
                         std::string_view name) {
  const auto source = TRY(driver.mount(trees, chain, Access::read_only));
  TRY(trees.create_part(id, name, 0755));
  const base::Fd target = TRY(trees.open_part(id, name, O_RDONLY));
  TRY(copy_tree(source.directory.get(), target.get(), driver.copies()), "copy snapshot {} into trees/{}/{}", chain.id,
      id, name);
  return {};
}

base::Result<DetachedMount> mount_complete(const TreeDirs& trees, const Chain& chain, Access access) {
  TRY(expect_complete(chain));
  const auto tree = TRY(trees.open_part(chain.id, directory_name(chain.layer), O_PATH));
  return mount_directory(tree.get(), access);
}

}  // namespace cairn::snapshot
