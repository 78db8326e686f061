// SPDX-License-Identifier: Apache-2.0
// The size of a tree on disk. The tree may change meanwhile; what vanishes is not counted.
#include <fcntl.h>

#include <cerrno>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/fs/deep_cursor.h"

namespace cairn::base {

namespace {

using Visit = std::function<Status(const TreeEntry&)>;

struct Measure {
  const Visit& visit;
  TreeSize size{};
  std::set<std::pair<dev_t, ino_t>> linked{};  // inodes with several names that are counted already

  Status add(const TreeEntry& entry) {
    const struct ::stat& stat = entry.stat;
    if (visit) TRY(visit(entry));
    if (!S_ISDIR(stat.st_mode) && stat.st_nlink > 1 && !linked.emplace(stat.st_dev, stat.st_ino).second) return {};
    size.bytes += static_cast<std::int64_t>(stat.st_blocks) * 512;
    if (S_ISREG(stat.st_mode)) size.logical_bytes += static_cast<std::int64_t>(stat.st_size);
    size.inodes += 1;
    return {};
  }

  // Counts the current directory and what is in it, except directories, which it notes.
  Status add_dir(int dir, dev_t device, std::vector<std::string>& pending) {
    TRY(add({dir, ".", TRY(stat_fd(dir))}));
    for (DirEntry& entry : TRY(read_entries(dir))) {
      struct ::stat stat;
      if (::fstatat(dir, entry.name.c_str(), &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
        if (errno == ENOENT) continue;
        return fail_errno(errno, "stat \"{}\"", entry.name);
      }
      if (!S_ISDIR(stat.st_mode)) {
        // Not compared with the device: overlayfs shows files with the number of a layer.
        TRY(add({dir, entry.name, stat}));
      } else if (stat.st_dev == device) {
        pending.push_back(std::move(entry.name));
      }
    }
    return {};
  }
};

}  // namespace

Result<TreeSize> measure_tree(int dir, const Visit& visit) {
  const Fd root = TRY(open_beneath(dir, TreePath(), O_RDONLY | O_DIRECTORY), "measure a tree");
  const dev_t device = TRY(stat_fd(root.get())).st_dev;
  Measure measure{visit};
  DeepCursor cursor(root.get());
  std::vector<std::string> root_pending;
  TRY(measure.add_dir(root.get(), device, root_pending), "measure a tree");
  while (cursor.depth() > 0 || !root_pending.empty()) {
    auto& pending = cursor.depth() > 0 ? cursor.top().pending : root_pending;
    if (pending.empty()) {
      TRY(cursor.leave(), "measure a tree");
      continue;
    }
    std::string name = std::move(pending.back());
    pending.pop_back();
    const Status entered = cursor.enter(std::move(name));
    if (!entered) {
      // Gone, or a mount of the same file system elsewhere in it, which the device number does not tell.
      const auto code = entered.error().code;
      if (code == ErrorCode::not_found || code == ErrorCode::busy || code == ErrorCode::unavailable) continue;
      return tl::unexpected(add_context(entered.error(), "measure a tree"));
    }
    TRY(measure.add_dir(cursor.fd(), device, cursor.top().pending), "measure \"{}\" in a tree", cursor.path());
  }
  return measure.size;
}

}  // namespace cairn::base
