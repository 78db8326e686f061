// SPDX-License-Identifier: Apache-2.0
// Overlay: a tree is the changes on top of its parent. Making one costs two directories, whatever the parent holds.
#include <fcntl.h>
#include <unistd.h>

#include "libbase/crash_point.h"
#include "libsnapshot/drivers/driver.h"

namespace cairn::snapshot {
namespace {

using base::Fd;
using base::Status;

class OverlayDriver final : public Driver {
 public:
  explicit OverlayDriver(OverlayMarksIn marks) : marks_(marks) {}

  std::string_view name() const override { return "overlay"; }
  Shape shape() const override { return Shape::stacked; }

  Status make(const TreeDirs& trees, SnapshotId id, const Chain* parent) const override {
    TRY(trees.create_part(id, "fs", 0755));
    if (parent == nullptr) return {};
    // The root of the upper is what a mount shows as the root.
    const Fd from = TRY(trees.open_part(parent->id, directory_name(parent->layer), O_RDONLY));
    const Fd to = TRY(trees.open_part(id, "fs", O_RDONLY));
    TRY(copy_directory_metadata(from.get(), to.get(), OverlayMarks::drop), "make tree {}", id);
    return {};
  }

  base::Result<DetachedMount> mount(const TreeDirs& trees, const Chain& chain, Access access) const override {
    if (!chain.below) {
      const Fd only = TRY(trees.open_part(chain.id, directory_name(chain.layer), O_PATH));
      return mount_directory(only.get(), access);
    }
    auto overlay = TRY(OverlayBuilder::start(marks_));
    const Chain* lower = &chain;
    if (access == Access::read_write) {
      TRY(add_upper(overlay, trees, chain));
      lower = chain.below.get();
    }
    for (; lower != nullptr; lower = lower->below.get()) {
      const Fd layer = TRY(trees.open_part(lower->id, directory_name(lower->layer), O_PATH));
      TRY(overlay.add_lower(layer.get()));
    }
    return overlay.finish();
  }

  base::Result<MountSpec> mount_outside(const TreeDirs& trees, const base::HostPath& root, const Chain& chain,
                                        Access access) const override {
    if (!chain.below) return bind_spec(root, chain, access);
    MountSpec spec{.type = "overlay", .source = "overlay", .options = {}};
    const Chain* lower = &chain;
    if (access == Access::read_write) {
      // Freezing takes it away. One that is there may be in use.
      const auto made = trees.create_part(chain.id, "work", 0700);
      if (!made && made.error().code != base::ErrorCode::already_exists) return tl::unexpected(made.error());
      spec.options = {"workdir=" + (root / fmt::format("trees/{}/work", chain.id)).str(),
                      "upperdir=" + layer_path(root, chain).str()};
      lower = chain.below.get();
    }
    std::string lowers;
    for (; lower != nullptr; lower = lower->below.get())
      lowers += (lowers.empty() ? "lowerdir=" : ":") + layer_path(root, *lower).str();
    spec.options.push_back(std::move(lowers));
    // An upper must stand for itself, as with our own mounts (OverlayBuilder::start). An option that this kernel does not
    // know would make mount(2) fail.
    const bool users = marks_ == OverlayMarksIn::user;
    for (const auto& [feature, value] : {std::pair("index", "off"), std::pair("metacopy", "off"),
                                         std::pair("redirect_dir", users ? "nofollow" : "off")})
      if (::access(fmt::format("/sys/module/overlay/parameters/{}", feature).c_str(), F_OK) == 0)
        spec.options.push_back(fmt::format("{}={}", feature, value));
    if (users) spec.options.emplace_back("userxattr");
    return spec;
  }

  base::Result<Frozen> freeze(const TreeDirs& trees, SnapshotId id) const override {
    // Five inodes, each of which may cost a wait for the device: nobody has to wait for that.
    TRY(trees.take_out(id, "work"), "freeze");
    CRASH_POINT("snapshot.freeze.work_taken");
    return Driver::freeze(trees, id);
  }

 private:
  static Status add_upper(OverlayBuilder& overlay, const TreeDirs& trees, const Chain& chain) {
    auto made = trees.create_part(chain.id, "work", 0700);
    if (!made && made.error().code == base::ErrorCode::already_exists) {
      // A volatile mount leaves a mark in work/ that refuses the next one, because after a crash the upper could not be
      // trusted. Ours did not crash: an active tree never survives its process.
      TRY(trees.take_out(chain.id, "work"));
      made = trees.create_part(chain.id, "work", 0700);
    }
    TRY(std::move(made));
    const Fd upper = TRY(trees.open_part(chain.id, "fs", O_PATH));
    const Fd work = TRY(trees.open_part(chain.id, "work", O_PATH));
    return overlay.set_upper(upper.get(), work.get());
  }

  const OverlayMarksIn marks_;
};

}  // namespace

std::unique_ptr<Driver> make_overlay_driver(OverlayMarksIn marks) { return std::make_unique<OverlayDriver>(marks); }

}  // namespace cairn::snapshot
