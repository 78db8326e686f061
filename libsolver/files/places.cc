// SPDX-License-Identifier: Apache-2.0
#include "libsolver/files/places.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libbase/fs/long_path.h"
#include "libcache/pattern.h"
#include "libsolver/ops/cache_maps.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;
using base::TreePath;

Result<TreePath> resolve_in(int tree, std::string_view path, LastName last) {
  return base::resolve_long(tree, TRY(TreePath::clean(path)),
                            last == LastName::follow ? base::LastLink::follow : base::LastLink::keep);
}

Result<Place> open_place(int tree, const TreePath& path) {
  CHECK(!path.is_root());
  Place place;
  place.directory = TRY(base::open_beneath(tree, path.parent(), O_RDONLY | O_DIRECTORY), "open /{}", path.parent().str());
  place.name = path.name();
  return place;
}

std::optional<timespec> timestamp_of(std::int64_t nanoseconds) {
  if (nanoseconds == -1) return std::nullopt;
  constexpr std::int64_t second = 1'000'000'000;
  timespec time{nanoseconds / second, static_cast<long>(nanoseconds % second)};
  if (time.tv_nsec < 0) {
    time.tv_sec -= 1;
    time.tv_nsec += second;
  }
  return time;
}

Status give(int fd, const Given& given) {
  if (given.owner && ::fchownat(fd, "", given.owner->uid, given.owner->gid, AT_EMPTY_PATH) != 0) {
    return fail_errno(errno, "set the owner {}:{}", given.owner->uid, given.owner->gid);
  }
  if (!given.modified) return {};
  const std::array<timespec, 2> times{*given.modified, *given.modified};
  if (::utimensat(fd, "", times.data(), AT_EMPTY_PATH) != 0) return fail_errno(errno, "set the times");
  return {};
}

Result<std::vector<TreePath>> make_dirs(int tree, const TreePath& path, mode_t mode, const Given& given) {
  std::vector<TreePath> made;
  Fd at = TRY(base::open_beneath(tree, TreePath(), O_RDONLY | O_DIRECTORY));
  TreePath done;
  std::string_view rest = path.str();
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    done = done.child(name);
    const bool is_new = ::mkdirat(at.get(), name.c_str(), 0700) == 0;
    if (!is_new && errno != EEXIST) return fail_errno(errno, "make directory /{}", done.str());
    Fd next(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next && (errno == ENOTDIR || errno == ELOOP)) {
      return fail(ErrorCode::already_exists, "make directory /{}: it is there and no directory", done.str());
    }
    if (!next) return fail_errno(errno, "open /{}", done.str());
    if (is_new) {
      if (::fchmod(next.get(), mode) != 0) return fail_errno(errno, "set the mode of /{}", done.str());
      TRY(give(next.get(), given), "make directory /{}", done.str());
      made.push_back(done);
    }
    at = std::move(next);
  }
  return made;
}

namespace {

// Adds what matches the names of `patterns` from `level` on, below an open directory.
Status expand(int directory, const std::string& path, const std::vector<std::string>& patterns, std::size_t level,
              std::vector<std::string>& out) {
  for (const base::DirEntry& entry : TRY(base::list_dir(directory))) {
    if (!TRY(cache::path_match(patterns[level], entry.name))) continue;
    const std::string below = path + "/" + entry.name;
    if (level + 1 == patterns.size()) {
      out.push_back(below);
      continue;
    }
    if (entry.type != DT_DIR) continue;
    const Fd next(::openat(directory, entry.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return fail_errno(errno, "open {}", below);
    TRY(expand(next.get(), below, patterns, level + 1, out));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> expand_wildcards(int tree, std::string_view path, LastName last) {
  std::string plain;
  std::vector<std::string> patterns;
  const std::string clean = rooted_path(path);
  for (std::string_view rest = std::string_view(clean).substr(1); !rest.empty();) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (patterns.empty() && !has_wildcard(name)) plain += "/" + name;
    else patterns.push_back(name);
  }
  if (patterns.empty()) return std::vector<std::string>{std::string(path)};
  const TreePath start = TRY(resolve_in(tree, plain, last));
  std::vector<std::string> out;
  const auto stat = TRY(base::find_stat_beneath(tree, start));
  if (!stat) return fail(ErrorCode::not_found, "\"{}\" not found", plain);
  if (!S_ISDIR(stat->st_mode)) return out;
  const Fd directory = TRY(base::open_beneath(tree, start, O_RDONLY | O_DIRECTORY), "open {}", plain);
  TRY(expand(directory.get(), start.is_root() ? "" : "/" + start.str(), patterns, 0, out));
  return out;
}

}  // namespace cairn::solver
