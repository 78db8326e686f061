// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/local_walk.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <optional>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/work_stack.h"
#include "libsolver/sources/path_filter.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

constexpr std::size_t open_levels_max = 8;  // directories that a cursor keeps open; there are some for each core
constexpr std::size_t warnings_max = 20;

bool is_gone(const base::Error& error) { return error.code == ErrorCode::not_found; }

struct Folder;

struct Item {
  LocalEntry entry;
  bool is_taken = false;  // selected by itself, not for what is below it
  std::pair<std::uint64_t, std::uint64_t> inode{};  // of a regular file with several names
  std::unique_ptr<Folder> below;                    // of a directory
};

// A directory: what is in it, once it has been listed.
struct Folder {
  std::string path;  // "" or "a/b"
  PathFilter::Level filter;
  bool is_gone = false;
  std::vector<Item> items;
  std::vector<std::string> warnings;
  std::unique_ptr<cache::DirectoryStats> stats;
};

// Lists one directory after the other. One per thread.
class Lister {
 public:
  Lister(int dir, const PathFilter& filter, const std::stop_token& stop, cache::StatCache* stats,
         base::WorkStack<Folder*>& stack)
      : dir_(dir), filter_(filter), stop_(stop), stats_(stats), stack_(stack) {}

  Status list(Folder& folder) {
    if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "reading a local directory was cancelled");
    const Fd fd = TRY(open(folder));
    if (!fd) {
      folder.is_gone = true;
      return {};
    }
    auto names = base::list_dir(fd.get());
    if (!names && is_gone(names.error())) {
      folder.is_gone = true;
      return {};
    }
    if (!names) return tl::unexpected(base::add_context(names.error(), "list directory " + folder.path));
    if (stats_ != nullptr) TRY(begin_stats(folder, fd.get(), *names));
    folder.items.reserve(names->size());
    for (base::DirEntry& name : *names) TRY(visit(folder, fd.get(), std::move(name.name)));
    std::vector<Folder*> below;
    // The last one is worked off first.
    for (auto item = folder.items.rbegin(); item != folder.items.rend(); ++item)
      if (item->below) below.push_back(item->below.get());
    if (!below.empty()) stack_.push(std::move(below));
    return {};
  }

 private:
  // An empty Fd if it has vanished.
  Result<Fd> open(const Folder& folder) {
    const base::TreePath path = TRY(base::TreePath::parse(folder.path));
    // A description of its own, for a caller's may have been read to some point.
    auto fd = base::open_beneath(dir_, path, O_RDONLY | O_DIRECTORY);
    if (fd) return std::move(*fd);
    const bool is_other = fd.error().code == ErrorCode::invalid_argument ||
                          (is_gone(fd.error()) && TRY(base::find_stat_beneath(dir_, path)).has_value());
    if (is_other) return fail(ErrorCode::busy, "{} changed while it was read", folder.path);
    if (is_gone(fd.error())) return Fd();
    return tl::unexpected(base::add_context(std::move(fd).error(), "open directory " + folder.path));
  }

  Status begin_stats(Folder& folder, int fd, const std::vector<base::DirEntry>& names) {
    const cache::StatX seen = TRY(look_at(fd, "", AT_EMPTY_PATH), "stat {}", folder.path);
    folder.stats = std::make_unique<cache::DirectoryStats>(*stats_, fd, seen);
    folder.stats->forget_missing([&names](std::string_view wanted) {
      const auto found = std::lower_bound(names.begin(), names.end(), wanted,
                                          [](const base::DirEntry& entry, std::string_view text) { return entry.name < text; });
      return found != names.end() && found->name == wanted;
    });
    return {};
  }

  Status visit(Folder& folder, int fd, std::string name) {
    const std::string path = folder.path.empty() ? name : folder.path + "/" + name;
    const auto looked = look_at(fd, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
    if (!looked && is_gone(looked.error())) return {};
    const cache::StatX& seen = TRY(looked, "stat {}", path);
    PathFilter::Level own;
    const bool is_directory = S_ISDIR(seen.stx_mode);
    const auto kind = is_directory ? PathFilter::Kind::directory : PathFilter::Kind::other;
    const auto verdict = TRY(filter_.judge(path, kind, folder.filter, own), "{}", path);
    if (verdict == PathFilter::Verdict::prune || (!is_directory && verdict != PathFilter::Verdict::take)) return {};
    Item item;
    item.entry.name = std::move(name);
    item.is_taken = verdict == PathFilter::Verdict::take;
    const Status described = describe(folder, item, fd, path, seen);
    if (!described && is_gone(described.error())) return {};
    TRY(described);
    if (is_directory) {
      item.below = std::make_unique<Folder>();
      item.below->path = path;
      item.below->filter = std::move(own);
    }
    folder.items.push_back(std::move(item));
    return {};
  }

  Status describe(Folder& folder, Item& item, int fd, const std::string& path, const cache::StatX& seen) {
    LocalEntry& entry = item.entry;
    entry.mode = seen.stx_mode;
    entry.modified = {seen.stx_mtime.tv_sec, static_cast<long>(seen.stx_mtime.tv_nsec)};
    if (S_ISREG(seen.stx_mode)) {
      entry.size = seen.stx_size;
      entry.has_content = true;
      if (seen.stx_nlink > 1) {
        item.inode = {(std::uint64_t{seen.stx_dev_major} << 32) | seen.stx_dev_minor, seen.stx_ino};
      }
      if (!folder.stats) return {};
      const auto known = folder.stats->find(entry.name, seen);
      if (known) entry.content = *known;
      entry.is_known = known.has_value();
      return {};
    }
    if (S_ISSOCK(seen.stx_mode)) {
      // spec/storage 3.1: the socket bit is cleared, and what is left is a regular file without data.
      entry.mode = (seen.stx_mode & 07777) | S_IFREG;
      if (folder.warnings.size() < warnings_max)
        folder.warnings.push_back(path + " is a socket: it becomes an empty file");
    } else {
      if (S_ISCHR(seen.stx_mode) || S_ISBLK(seen.stx_mode)) {
        entry.device = makedev(seen.stx_rdev_major, seen.stx_rdev_minor);
      }
      if (S_ISLNK(seen.stx_mode)) {
        std::array<char, PATH_MAX> buffer;
        const ssize_t size = ::readlinkat(fd, entry.name.c_str(), buffer.data(), buffer.size());
        if (size < 0) return fail_errno(errno, "read the link {}", path);
        entry.target.assign(buffer.data(), static_cast<std::size_t>(size));
      }
      entry.xattrs = sent_xattrs(TRY(base::list_xattrs_at(fd, entry.name), "read the xattrs of {}", path));
    }
    entry.content = header_content(sent_entry(entry));
    entry.is_known = true;
    return {};
  }

  int dir_;
  const PathFilter& filter_;
  const std::stop_token& stop_;
  cache::StatCache* stats_;
  base::WorkStack<Folder*>& stack_;
};

// Makes one row of what is in the folders, without what is there only for something below it that was not selected.
class Flattener {
 public:
  LocalWalk run(std::unique_ptr<Folder> root) {
    push(std::move(root), std::nullopt, LocalEntry::none);
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.next == level.folder->items.size()) {
        if (level.index && level.folder->stats) walk_.stats.emplace(*level.index, std::move(level.folder->stats));
        levels_.pop_back();
        continue;
      }
      visit(level.folder->items[level.next++]);
    }
    return std::move(walk_);
  }

 private:
  struct Level {
    std::unique_ptr<Folder> folder;
    std::optional<std::uint32_t> index;  // of its entry
    // Until something below is selected, a directory that is not selected itself only waits here.
    std::optional<LocalEntry> waiting;
    std::size_t next = 0;
  };

  void push(std::unique_ptr<Folder> folder, std::optional<LocalEntry> waiting, std::optional<std::uint32_t> index) {
    for (std::string& warning : folder->warnings)
      if (walk_.warnings.size() < warnings_max) walk_.warnings.push_back(std::move(warning));
    levels_.push_back({std::move(folder), index, std::move(waiting)});
  }

  void visit(Item& item) {
    if (!item.below) {
      add_after_waiting(std::move(item.entry));
      if (walk_.entries.back().has_content) note_file(item.inode);
      return;
    }
    std::unique_ptr<Folder> below = std::move(item.below);
    if (below->is_gone) return;
    if (!item.is_taken) return push(std::move(below), std::move(item.entry), std::nullopt);
    const std::uint32_t index = add_after_waiting(std::move(item.entry));
    push(std::move(below), std::nullopt, index);
  }

  // After every directory above it that still waits.
  std::uint32_t add_after_waiting(LocalEntry entry) {
    std::uint32_t parent = LocalEntry::none;
    for (Level& level : levels_) {
      if (level.waiting) {
        level.waiting->parent = parent;
        level.index = add(std::move(*level.waiting));
        level.waiting.reset();
      }
      parent = *level.index;
    }
    entry.parent = parent;
    return add(std::move(entry));
  }

  std::uint32_t add(LocalEntry entry) {
    CHECK(walk_.entries.size() < LocalEntry::none);
    walk_.entries.push_back(std::move(entry));
    return static_cast<std::uint32_t>(walk_.entries.size() - 1);
  }

  // The last entry is a file to be opened.
  void note_file(const std::pair<std::uint64_t, std::uint64_t>& inode) {
    LocalEntry& entry = walk_.entries.back();
    if (inode.second != 0) {
      const auto [first, is_new] = inodes_.try_emplace(inode, static_cast<std::uint32_t>(walk_.entries.size() - 1));
      if (!is_new) {
        entry.link = first->second;
        return;
      }
    }
    walk_.bytes += entry.size;
    if (entry.is_known) ++walk_.files_known;
  }

  std::vector<Level> levels_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint32_t> inodes_;
  LocalWalk walk_;
};

}  // namespace

cache::TreeEntry sent_entry(const LocalEntry& entry) {
  cache::TreeEntry sent = sent_entry(entry.mode, entry.size, entry.target, entry.device, entry.xattrs);
  sent.mtime_seconds = entry.modified.tv_sec;
  sent.mtime_nanoseconds = static_cast<std::uint32_t>(entry.modified.tv_nsec);
  return sent;
}

Result<cache::StatX> look_at(int dir, const char* name, int flags) {
  cache::StatX seen{};
  if (::statx(dir, name, flags, STATX_BASIC_STATS | STATX_BTIME, &seen) != 0) return fail_errno(errno, "stat");
  return seen;
}

Xattrs sent_xattrs(Xattrs all) {
  std::erase_if(all, [](const auto& xattr) {
    return xattr.first.starts_with("com.apple.") || xattr.first.starts_with("trusted.overlay.");
  });
  return all;
}

std::string LocalWalk::path_of(std::uint32_t index) const {
  std::string path;
  for (; index != LocalEntry::none; index = entries[index].parent) {
    path = path.empty() ? entries[index].name : entries[index].name + "/" + path;
  }
  return path;
}

Result<LocalWalk> walk_local(int dir, const LocalFilter& filter, std::stop_token stop, cache::StatCache* stats) {
  const auto compiled = TRY(PathFilter::compile(dir, filter));
  auto root = std::make_unique<Folder>();
  base::WorkStack<Folder*> stack;
  TRY(stack.run({root.get()}, [&] {
    return [lister = std::make_unique<Lister>(dir, compiled, stop, stats, stack)](Folder* folder) {
      return lister->list(*folder);
    };
  }));
  if (root->is_gone) return fail(ErrorCode::not_found, "the local directory has vanished");
  return Flattener().run(std::move(root));
}

Result<int> DirectoryCursor::at(std::uint32_t directory) {
  if (directory == LocalEntry::none) return root_;
  while (!open_.empty() && open_.back().first != directory && !is_above(open_.back().first, directory))
    open_.pop_back();
  if (!open_.empty() && open_.back().first == directory) return open_.back().second.get();
  const LocalEntry& entry = walk_.entries[directory];
  const bool is_next = open_.empty() ? entry.parent == LocalEntry::none : open_.back().first == entry.parent;
  Fd fd;
  if (is_next) {
    const int parent = open_.empty() ? root_ : open_.back().second.get();
    fd = TRY(base::open_beneath(parent, base::TreePath().child(entry.name), O_RDONLY | O_DIRECTORY));
  } else {
    const base::TreePath path = TRY(base::TreePath::parse(walk_.path_of(directory)));
    fd = TRY(base::open_beneath(root_, path, O_RDONLY | O_DIRECTORY));
  }
  if (open_.size() == open_levels_max) open_.clear();
  open_.emplace_back(directory, std::move(fd));
  return open_.back().second.get();
}

bool DirectoryCursor::is_above(std::uint32_t ancestor, std::uint32_t directory) const {
  // A directory comes before what is in it, so the way up need not go further than the ancestor.
  while (directory != LocalEntry::none && directory > ancestor) directory = walk_.entries[directory].parent;
  return directory == ancestor;
}

}  // namespace cairn::solver
