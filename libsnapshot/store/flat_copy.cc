// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/store/flat_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <unordered_set>
#include <utility>

#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libsnapshot/changes.h"
#include "libsnapshot/store/housekeeper.h"
#include "libsnapshot/trees/copy.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Fd;
using base::Status;

// So many rows are written in the transaction that names the copy, which others wait for. Files beyond it are copied.
constexpr std::size_t links_max = 32'768;

constexpr const char* unfinished = "flat.tmp";

// Finds the files behind the names of a merged tree. Directory by directory, as the copy goes.
class Layers {
 public:
  Layers(const TreeDirs& trees, const Chain& chain) : trees_(trees) {
    for (const Chain* next = &chain; next != nullptr; next = next->below.get()) chain_.push_back(next);
  }

  struct Found {
    const Chain* layer;
    int directory;
    struct ::stat status;
  };
  // prefix: the directory, "" or ending in a slash. Nothing if it cannot be told: the caller copies.
  std::optional<Found> find(const std::string& prefix, const std::string& name, const struct ::stat& merged) {
    if (!entered_ || prefix != prefix_) enter(prefix);
    for (const auto& [layer, directory] : directories_) {
      Found found{layer, directory.get(), {}};
      if (::fstatat(found.directory, name.c_str(), &found.status, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;
        return std::nullopt;
      }
      // The nearest one is what the mount shows; the rest makes sure.
      const auto& is = found.status;
      const bool same = S_ISREG(is.st_mode) && is.st_ino == merged.st_ino && is.st_size == merged.st_size &&
                        is.st_mode == merged.st_mode && is.st_mtim.tv_sec == merged.st_mtim.tv_sec &&
                        is.st_mtim.tv_nsec == merged.st_mtim.tv_nsec;
      if (same && !is_marked(found.directory, name)) return found;
      return std::nullopt;
    }
    return std::nullopt;
  }

 private:
  void enter(const std::string& prefix) {
    entered_ = true;
    prefix_ = prefix;
    directories_.clear();
    const auto path = base::TreePath::parse(prefix.empty() ? "" : prefix.substr(0, prefix.size() - 1));
    if (!path) return;
    for (const Chain* layer : chain_) {
      const auto top = trees_.open_part(layer->id, directory_name(layer->layer), O_PATH);
      if (!top) continue;
      auto directory = base::open_beneath(top->get(), *path, O_PATH | O_DIRECTORY);
      if (directory) directories_.emplace_back(layer, std::move(*directory));
    }
  }

  // What overlayfs has written onto a file would be seen in a copy that is not mounted through it.
  static bool is_marked(int directory, const std::string& name) {
    const auto xattrs = base::list_xattrs_at(directory, name);
    if (!xattrs) return true;
    return std::any_of(xattrs->begin(), xattrs->end(), [](const auto& xattr) { return is_overlay_mark(xattr.first); });
  }

  const TreeDirs& trees_;
  std::vector<const Chain*> chain_;  // nearest first
  bool entered_ = false;
  std::string prefix_;
  std::vector<std::pair<const Chain*, Fd>> directories_;  // of prefix_, in those layers that have it
};

class Linker {
 public:
  Linker(const TreeDirs& trees, const Chain& chain, LiveMounts& mounts, SnapshotId id, IfMounted if_mounted)
      : layers_(trees, chain), mounts_(mounts), id_(id), if_mounted_(if_mounted) {}

  // True if the file is there now, as a link. Errors: busy.
  base::Result<bool> link(const std::string& prefix, const std::string& name, const struct ::stat& merged, int to) {
    if (!S_ISREG(merged.st_mode) || copy_.links.size() >= links_max) return false;
    const auto found = layers_.find(prefix, name, merged);
    if (!found || !TRY(link_to(*found, name, to))) return false;
    linked_.insert(prefix + name);
    const Usage usage{.bytes = std::int64_t{found->status.st_blocks} * 512,
                      .inodes = 1,
                      .logical_bytes = static_cast<std::int64_t>(found->status.st_size)};
    shared_ += usage;
    if (found->layer->id != id_) copy_.links.push_back({found->status.st_ino, found->layer->id, usage});
    return true;
  }

  bool linked(const std::string& path) const { return linked_.contains(path); }

  FlatCopy finish(const Usage& usage) {
    copy_.usage = copy_.fresh = usage;
    copy_.fresh -= shared_;
    return std::move(copy_);
  }

 private:
  base::Result<bool> link_to(const Layers::Found& found, const std::string& name, int to) {
    const InHaste hurry;  // a mount may wait for us
    if (!mounts_.begin_link(found.layer->id, found.status.st_nlink)) {
      if (if_mounted_ == IfMounted::copy) return false;
      return fail(ErrorCode::busy, "\"{}\" of snapshot {} may be mounted", name, found.layer->id);
    }
    const bool made = ::linkat(found.directory, name.c_str(), to, name.c_str(), 0) == 0;
    mounts_.end_link();
    return made;
  }

  Layers layers_;
  LiveMounts& mounts_;
  SnapshotId id_;
  IfMounted if_mounted_;
  FlatCopy copy_;
  Usage shared_;
  std::unordered_set<std::string> linked_;
};

// By everything a tree holds; what is linked is the same file.
Status expect_equal(const DetachedMount& chain, int copy, const Linker& linker, const std::stop_token& stop) {
  ChangeOptions options;
  options.stop = stop;
  options.may_differ = [&](const base::TreePath& path) { return !linker.linked(path.str()); };
  const auto differs = [](const Change& change) -> Status {
    return fail(ErrorCode::corrupt, "the flat copy differs from the chain at \"{}\"", change.path.str());
  };
  return changes_between(chain.directory.get(), copy, differs, options);
}

}  // namespace

base::Result<FlatCopy> make_flat_copy(const Driver& driver, const TreeDirs& trees, LiveMounts& mounts, SnapshotId id,
                                      const Chain& chain, IfMounted if_mounted, const std::stop_token& stop) {
  // What is there is the work of an owner that died before a row could name it.
  TRY(trees.erase_part(id, unfinished));
  TRY(trees.erase_part(id, "flat"));
  Linker linker(trees, chain, mounts, id, if_mounted);
  const auto fill = [&]() -> base::Result<Usage> {
    const auto source = TRY(driver.mount(trees, chain, Access::read_only));
    TRY(trees.create_part(id, unfinished, 0755));
    const Fd target = TRY(trees.open_part(id, unfinished, O_RDONLY));
    const auto leaf = [&](const LeafToCopy& from) -> base::Result<bool> {
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "squash snapshot {}", id);
      return linker.link(from.prefix, from.name, from.status, from.to);
    };
    TRY(copy_tree(source.directory.get(), target.get(), driver.copies(), leaf));
    CRASH_POINT("snapshot.flatten.copied");
    TRY(expect_equal(source, target.get(), linker, stop));
    CRASH_POINT("snapshot.flatten.compared");
    TRY(trees.rename_part(id, unfinished, "flat"));
    CRASH_POINT("snapshot.flatten.renamed");
    return TRY(trees.measure_part(id, "flat")).usage;
  };
  auto usage = fill();
  if (usage) return linker.finish(*usage);
  TRY(trees.erase_part(id, unfinished));
  TRY(trees.erase_part(id, "flat"));
  return tl::unexpected(std::move(usage).error());
}

}  // namespace cairn::snapshot
