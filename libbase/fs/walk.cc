// SPDX-License-Identifier: Apache-2.0
// Directories as wholes: listing, measuring, removing. Trees may be deeper than the stack or the path limit allow, so
// nothing here recurses, and at most a few directories are open at a time.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "libbase/fs/beneath.h"

namespace cairn::base {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using DirStream = std::unique_ptr<DIR, CloseDir>;

// Any descriptor of the directory will do, O_PATH ones too.
Result<DirStream> open_stream(int dir) {
  const int fd = ::openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "list a directory");
  DirStream stream(::fdopendir(fd));
  if (!stream) {
    ::close(fd);
    return fail_errno(errno, "list a directory");
  }
  return stream;
}

// Calls f(name, type) for each entry, in the order of the file system.
template <class F>
Status each_entry(int dir, F&& f) {
  const DirStream stream = TRY(open_stream(dir));
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) {
      if (errno != 0) return fail_errno(errno, "list a directory");
      return {};
    }
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") TRY(f(entry->d_name, entry->d_type));
  }
}

Result<unsigned char> type_of(int dir, const char* name) {
  struct ::stat info{};
  if (::fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "stat {}", name);
  return static_cast<unsigned char>(IFTODT(info.st_mode));
}

Result<Fd> step_down(int dir, const std::string& name) {
  Fd fd(::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open directory {}", name);
  return fd;
}

Result<Fd> step_up(int dir) {
  Fd fd(::openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open a parent directory");
  return fd;
}

// Unlinks what can be unlinked in dir; returns the names of its directories.
Result<std::vector<std::string>> remove_files(int dir) {
  std::vector<std::string> files, directories;
  TRY(each_entry(dir, [&](const char* name, unsigned char type) -> Status {
    if (type == DT_UNKNOWN) type = TRY(type_of(dir, name));
    (type == DT_DIR ? directories : files).emplace_back(name);
    return {};
  }));
  for (const std::string& name : files) {
    if (::unlinkat(dir, name.c_str(), 0) != 0 && errno != ENOENT) return fail_errno(errno, "remove {}", name);
  }
  return directories;
}

// Empties the directory `top`. Goes down and up by "..": what is being removed is nobody's to move about.
Status remove_contents(Fd top) {
  struct Level {
    std::vector<std::string> directories;  // still to be removed, the current one last
  };
  const dev_t device = TRY(stat_fd(top.get())).st_dev;
  std::vector<Level> levels;
  levels.push_back({TRY(remove_files(top.get()))});
  Fd here = std::move(top);
  while (true) {
    if (!levels.back().directories.empty()) {
      Fd below = TRY(step_down(here.get(), levels.back().directories.back()));
      if (TRY(stat_fd(below.get())).st_dev != device) {
        return fail(ErrorCode::busy, "remove {}: another file system is mounted there", levels.back().directories.back());
      }
      levels.push_back({TRY(remove_files(below.get()))});
      here = std::move(below);
      continue;
    }
    levels.pop_back();
    if (levels.empty()) return {};
    here = TRY(step_up(here.get()));
    const std::string name = std::move(levels.back().directories.back());
    levels.back().directories.pop_back();
    if (::unlinkat(here.get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return fail_errno(errno, "remove directory {}", name);
    }
  }
}

}  // namespace

Result<std::vector<DirEntry>> list_dir(int dir) {
  std::vector<DirEntry> entries;
  TRY(each_entry(dir, [&](const char* name, unsigned char type) -> Status {
    if (type == DT_UNKNOWN) type = TRY(type_of(dir, name));
    entries.push_back({name, type});
    return {};
  }));
  std::sort(entries.begin(), entries.end(), [](const DirEntry& a, const DirEntry& b) { return a.name < b.name; });
  return entries;
}

Status remove_all_beneath(int dir, const TreePath& path) {
  CHECK(!path.is_root());
  auto parent = open_beneath(dir, path.parent(), O_PATH | O_DIRECTORY);
  if (!parent) {
    if (parent.error().code == ErrorCode::not_found) return {};
    return tl::unexpected(std::move(parent).error());
  }
  const std::string name(path.name());
  if (::unlinkat(parent->get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return fail_errno(errno, "remove {}", path.str());
  Fd top = TRY(step_down(parent->get(), name));
  if (TRY(stat_fd(top.get())).st_dev != TRY(stat_fd(parent->get())).st_dev) {
    return fail(ErrorCode::busy, "remove {}: another file system is mounted there", path.str());
  }
  TRY(remove_contents(std::move(top)), "remove {}", path.str());
  if (::unlinkat(parent->get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return fail_errno(errno, "remove {}", path.str());
  }
  return {};
}

Result<TreeSize> measure_tree(int dir) {
  TreeSize size;
  std::set<ino_t> linked;  // inodes with more than one name that have been counted
  dev_t device = 0;
  const auto count = [&](const struct ::stat& info) {
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1 && !linked.insert(info.st_ino).second) return;
    size.bytes += 512 * static_cast<std::int64_t>(info.st_blocks);
    ++size.inodes;
  };
  Fd here = TRY(step_down(dir, "."));
  const struct ::stat root = TRY(stat_fd(here.get()));
  device = root.st_dev;
  count(root);
  const auto count_entries = [&](int fd) -> Result<std::vector<std::string>> {
    std::vector<std::string> directories;
    TRY(each_entry(fd, [&](const char* name, unsigned char) -> Status {
      struct ::stat info{};
      if (::fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return {};  // gone meanwhile
        return fail_errno(errno, "stat {}", name);
      }
      if (info.st_dev != device) return {};
      count(info);
      if (S_ISDIR(info.st_mode)) directories.emplace_back(name);
      return {};
    }));
    return directories;
  };
  std::vector<std::vector<std::string>> levels;
  levels.push_back(TRY(count_entries(here.get())));
  while (true) {
    if (levels.back().empty()) {
      levels.pop_back();
      if (levels.empty()) return size;
      here = TRY(step_up(here.get()));
      continue;
    }
    const std::string name = std::move(levels.back().back());
    levels.back().pop_back();
    auto below = step_down(here.get(), name);
    if (!below && below.error().code == ErrorCode::not_found) continue;
    here = TRY(std::move(below));
    levels.push_back(TRY(count_entries(here.get())));
  }
}

}  // namespace cairn::base
