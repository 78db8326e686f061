// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/local_walk.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <optional>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libsolver/sources/path_filter.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

constexpr std::size_t open_levels_max = 32;  // directories that a walk or a cursor keeps open
constexpr std::size_t warnings_max = 20;

bool is_gone(const base::Error& error) { return error.code == ErrorCode::not_found; }

class Walker {
 public:
  Walker(int dir, const PathFilter& filter, std::stop_token stop)
      : dir_(dir), filter_(filter), stop_(std::move(stop)) {}

  Result<LocalWalk> run() {
    Level root;
    // A description of its own, for a caller's may have been read to some point.
    const Fd listing = TRY(base::open_beneath(dir_, {}, O_RDONLY | O_DIRECTORY), "open the local directory");
    root.names = TRY(base::list_dir(listing.get()), "list the local directory");
    levels_.push_back(std::move(root));
    while (!levels_.empty()) {
      if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "reading a local directory was cancelled");
      Level& level = levels_.back();
      if (level.next == level.names.size()) {
        levels_.pop_back();
        continue;
      }
      const std::string name = std::move(level.names[level.next++].name);
      TRY(visit(name));
    }
    return std::move(walk_);
  }

 private:
  struct Level {
    std::string path;  // "" or "a/b/"
    Fd fd;             // closed again in deep trees; the root has none
    std::vector<base::DirEntry> names;
    std::size_t next = 0;
    PathFilter::Level filter;
    // Until something below is selected, a directory that is not selected itself only waits here.
    std::optional<LocalEntry> waiting;
    std::uint32_t index = LocalEntry::none;
  };

  Result<int> folder_of(Level& level) {
    if (level.path.empty()) return dir_;
    if (!level.fd) {
      const base::TreePath path = TRY(base::TreePath::parse(level.path));
      level.fd = TRY(base::open_beneath(dir_, path, O_RDONLY | O_DIRECTORY));
    }
    return level.fd.get();
  }

  Status visit(const std::string& name) {
    Level& level = levels_.back();
    const std::string path = level.path + name;
    const auto folder = folder_of(level);
    if (!folder && is_gone(folder.error())) return {};
    const int at = TRY(folder, "open the directory of {}", path);
    struct ::stat facts;
    if (::fstatat(at, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return {};
      return fail_errno(errno, "stat {}", path);
    }
    PathFilter::Level own;
    const auto kind = S_ISDIR(facts.st_mode) ? PathFilter::Kind::directory : PathFilter::Kind::other;
    const auto verdict = TRY(filter_.judge(path, kind, level.filter, own), "{}", path);
    if (S_ISDIR(facts.st_mode)) {
      if (verdict == PathFilter::Verdict::prune) return {};
      return descend(at, name, path, facts, verdict, std::move(own));
    }
    if (verdict != PathFilter::Verdict::take) return {};
    auto entry = describe(at, name, path, facts);
    if (!entry && is_gone(entry.error())) return {};
    append(TRY(std::move(entry)));
    if (S_ISREG(facts.st_mode)) note_links(facts);
    return {};
  }

  Status descend(int at, const std::string& name, const std::string& path, const struct ::stat& facts,
                 PathFilter::Verdict verdict, PathFilter::Level filter) {
    Fd fd(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) {
      if (errno == ENOENT) return {};
      if (errno == ENOTDIR || errno == ELOOP) return fail(ErrorCode::busy, "{} changed while it was read", path);
      return fail_errno(errno, "open directory {}", path);
    }
    auto names = base::list_dir(fd.get());
    if (!names && is_gone(names.error())) return {};
    Level level;
    level.path = path + "/";
    level.names = TRY(std::move(names), "list directory {}", path);
    level.filter = std::move(filter);
    LocalEntry entry = TRY(describe(at, name, path, facts));
    if (verdict == PathFilter::Verdict::take) {
      level.index = append(std::move(entry));
    } else {
      level.waiting = std::move(entry);
    }
    // A descriptor for every level of a deep tree would be too many; they are opened again on the way back.
    if (levels_.size() >= open_levels_max) levels_.back().fd.reset();
    level.fd = std::move(fd);
    levels_.push_back(std::move(level));
    return {};
  }

  Result<LocalEntry> describe(int at, const std::string& name, const std::string& path, const struct ::stat& facts) {
    LocalEntry entry;
    entry.name = name;
    entry.mode = facts.st_mode;
    entry.modified = facts.st_mtim;
    if (S_ISREG(facts.st_mode)) {
      entry.size = static_cast<std::uint64_t>(facts.st_size);
      entry.has_content = true;
      return entry;
    }
    if (S_ISSOCK(facts.st_mode)) {
      // spec/storage 3.1: the socket bit is cleared, and what is left is a regular file without data.
      entry.mode = (facts.st_mode & 07777) | S_IFREG;
      if (walk_.warnings.size() < warnings_max)
        walk_.warnings.push_back(path + " is a socket: it becomes an empty file");
      return entry;
    }
    if (S_ISCHR(facts.st_mode) || S_ISBLK(facts.st_mode)) entry.device = facts.st_rdev;
    if (S_ISLNK(facts.st_mode)) {
      std::array<char, PATH_MAX> buffer;
      const ssize_t size = ::readlinkat(at, name.c_str(), buffer.data(), buffer.size());
      if (size < 0) return fail_errno(errno, "read the link {}", path);
      entry.target.assign(buffer.data(), static_cast<std::size_t>(size));
    }
    entry.xattrs = sent_xattrs(TRY(base::list_xattrs_at(at, name), "read the xattrs of {}", path));
    return entry;
  }

  // After every directory above it that still waits.
  std::uint32_t append(LocalEntry entry) {
    std::uint32_t parent = LocalEntry::none;
    for (Level& level : levels_) {
      if (level.waiting) {
        level.waiting->parent = parent;
        level.index = add(std::move(*level.waiting));
        level.waiting.reset();
      }
      parent = level.index;
    }
    entry.parent = parent;
    return add(std::move(entry));
  }

  std::uint32_t add(LocalEntry entry) {
    CHECK(walk_.entries.size() < LocalEntry::none);
    walk_.entries.push_back(std::move(entry));
    return static_cast<std::uint32_t>(walk_.entries.size() - 1);
  }

  // The last entry is a regular file.
  void note_links(const struct ::stat& facts) {
    const auto index = static_cast<std::uint32_t>(walk_.entries.size() - 1);
    if (facts.st_nlink > 1) {
      const auto [first, is_new] = inodes_.try_emplace({facts.st_dev, facts.st_ino}, index);
      if (!is_new) {
        walk_.entries.back().link = first->second;
        return;
      }
    }
    walk_.bytes += walk_.entries.back().size;
  }

  int dir_;
  const PathFilter& filter_;
  std::stop_token stop_;
  std::vector<Level> levels_;
  std::map<std::pair<dev_t, ino_t>, std::uint32_t> inodes_;
  LocalWalk walk_;
};

}  // namespace

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

Result<LocalWalk> walk_local(int dir, const LocalFilter& filter, std::stop_token stop) {
  const auto compiled = TRY(PathFilter::compile(dir, filter));
  return Walker(dir, compiled, std::move(stop)).run();
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
