// SPDX-License-Identifier: Apache-2.0
// Resolving destinations through links and mounts, and making and removing mount points.
#include "libsolver/exec/mount_points.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::Fd;
using base::TreePath;

constexpr int links_max = 40;

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (end > at) parts.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::string join(const std::vector<std::string>& parts, std::size_t count) {
  std::string path;
  for (std::size_t i = 0; i < count; ++i) path.append(i == 0 ? "" : "/").append(parts[i]);
  return path;
}

bool is_at_or_below(std::string_view path, std::string_view top) {
  return top.empty() || (path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/'));
}

base::Result<std::string> read_link(int dir, const TreePath& path) {
  const Fd link = TRY(base::open_beneath(dir, path, O_PATH | O_NOFOLLOW));
  std::array<char, PATH_MAX> target{};
  const ::ssize_t size = ::readlinkat(link.get(), "", target.data(), target.size());
  if (size < 0) return base::fail_errno(errno, "read link /{}", path.str());
  return std::string(target.data(), static_cast<std::size_t>(size));
}

base::Result<Fd> open_dir(int dir, const TreePath& path) {
  return base::open_beneath(dir, path, O_RDONLY | O_DIRECTORY);
}

// Modes are set apart from the making, because the engine's umask must not show in a tree.
base::Result<Fd> make_entry(int parent, const std::string& name, PointKind kind) {
  int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC;
  if (kind == PointKind::directory) {
    if (::mkdirat(parent, name.c_str(), 0755) != 0) return base::fail_errno(errno, "make directory {}", name);
    flags |= O_DIRECTORY;
  } else {
    flags |= O_CREAT | O_EXCL;
  }
  Fd made(::openat(parent, name.c_str(), flags, 0644));
  if (!made) return base::fail_errno(errno, "make {}", name);
  if (::fchmod(made.get(), kind == PointKind::directory ? 0755 : 0644) != 0) {
    return base::fail_errno(errno, "set the mode of {}", name);
  }
  return made;
}

bool same_time(const struct ::timespec& a, const struct ::timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

MountPoints::MountPoints(int root) : layers_{{"", root, snapshot::Access::read_write}} {}

std::size_t MountPoints::layer_of(const std::string& path) const {
  for (std::size_t i = layers_.size(); i-- > 0;) {
    if (is_at_or_below(path, layers_[i].at)) return i;
  }
  return 0;
}

base::Result<TreePath> MountPoints::inside(std::size_t layer, const std::string& path) const {
  return TreePath::parse(std::string_view(path).substr(layers_[layer].at.size()));
}

base::Result<MountPoints::Place> MountPoints::resolve(const TreePath& path) const {
  std::vector<std::string> rest = split(path.str());
  std::reverse(rest.begin(), rest.end());
  Place place;
  int links = 0;
  while (!rest.empty()) {
    const std::string name = std::move(rest.back());
    rest.pop_back();
    if (name == ".") continue;
    if (name == "..") {
      if (!place.components.empty()) place.components.pop_back();
      place.found = std::min(place.found, place.components.size());
      continue;
    }
    place.components.push_back(name);
    if (place.found + 1 < place.components.size()) continue;  // its parent does not exist
    const std::string here = join(place.components, place.components.size());
    const std::size_t layer = layer_of(here);
    place.type = 0;
    if (layers_[layer].dir < 0 || layers_[layer].at == here) {
      place.found = place.components.size();
      continue;
    }
    const TreePath in_layer = TRY(inside(layer, here));
    const auto stat = TRY(base::find_stat_beneath(layers_[layer].dir, in_layer), "resolve /{}", path.str());
    if (!stat) continue;
    if (S_ISLNK(stat->st_mode)) {
      if (++links > links_max)
        return base::fail(ErrorCode::invalid_argument, "resolve /{}: too many links", path.str());
      const std::string target = TRY(read_link(layers_[layer].dir, in_layer));
      place.components.pop_back();
      if (target.starts_with('/')) place.components.clear();
      place.found = place.components.size();
      const auto parts = split(target);
      rest.insert(rest.end(), parts.rbegin(), parts.rend());
      continue;
    }
    if (!S_ISDIR(stat->st_mode) && !rest.empty()) {
      return base::fail(ErrorCode::invalid_argument, "resolve /{}: /{} is not a directory", path.str(), here);
    }
    place.found = place.components.size();
    place.type = stat->st_mode & S_IFMT;
  }
  place.path = join(place.components, place.components.size());
  place.layer = layer_of(place.path);
  return place;
}

base::Result<std::string> MountPoints::add(const TreePath& dest, PointKind kind, int content, snapshot::Access access) {
  const Place place = TRY(resolve(dest), "place a mount");
  if (place.components.empty()) {
    return base::fail(ErrorCode::invalid_argument, "place a mount at /{}: it would hide the root", dest.str());
  }
  if (place.type != 0 && S_ISDIR(place.type) != (kind == PointKind::directory)) {
    return base::fail(ErrorCode::invalid_argument, "place a mount at /{}: a {} is there", dest.str(),
                      S_ISDIR(place.type) ? "directory" : "file");
  }
  for (std::size_t i = place.found; i < place.components.size(); ++i) {
    const bool is_parent = i + 1 < place.components.size();
    const TreePath path = TRY(inside(place.layer, join(place.components, i + 1)));
    TRY(make_stub(place.layer, path, is_parent ? PointKind::directory : kind, is_parent), "place a mount at /{}",
        dest.str());
  }
  layers_.push_back({place.path, content, access});
  return "/" + place.path;
}

base::Result<std::size_t> MountPoints::watch(std::size_t layer, const TreePath& directory) {
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    if (directories_[i].layer == layer && directories_[i].path == directory) return i;
  }
  const Fd dir = TRY(open_dir(layers_[layer].dir, directory));
  const auto stat = TRY(base::stat_fd(dir.get()));
  directories_.push_back({layer, directory, stat.st_mtim, stat.st_mtim});
  return directories_.size() - 1;
}

base::Status MountPoints::make_stub(std::size_t layer, const TreePath& path, PointKind kind, bool is_parent) {
  if (layers_[layer].access == snapshot::Access::read_only) {
    return base::fail(ErrorCode::invalid_argument, "the read-only mount at /{} has no /{}", layers_[layer].at,
                      path.str());
  }
  const std::size_t watched = TRY(watch(layer, path.parent()));
  const Fd parent = TRY(open_dir(layers_[layer].dir, path.parent()));
  TRY(make_entry(parent.get(), std::string(path.name()), kind));
  stubs_.push_back({layer, path, kind, is_parent});
  directories_[watched].after = TRY(base::stat_fd(parent.get())).st_mtim;
  return {};
}

base::Status MountPoints::make_cwd(const TreePath& path, const StepUser& user) {
  const Place place = TRY(resolve(path), "working directory");
  if (place.type != 0 && !S_ISDIR(place.type)) {
    return base::fail(ErrorCode::invalid_argument, "working directory /{}: not a directory", path.str());
  }
  for (std::size_t i = place.found; i < place.components.size(); ++i) {
    const TreePath made = TRY(inside(place.layer, join(place.components, i + 1)));
    if (layers_[place.layer].access == snapshot::Access::read_only) {
      return base::fail(ErrorCode::invalid_argument, "working directory /{}: not in the read-only mount at /{}",
                        path.str(), layers_[place.layer].at);
    }
    const Fd parent = TRY(open_dir(layers_[place.layer].dir, made.parent()), "working directory /{}", path.str());
    const Fd entry = TRY(make_entry(parent.get(), std::string(made.name()), PointKind::directory),
                         "working directory /{}", path.str());
    if (::fchown(entry.get(), user.uid, user.gid) != 0) {
      return base::fail_errno(errno, "working directory /{}: set its owner", path.str());
    }
    // Unlike a stub it stays, so its parent has changed for good.
    for (Directory& directory : directories_) {
      if (directory.layer != place.layer || directory.path != made.parent()) continue;
      directory.before = directory.after = TRY(base::stat_fd(parent.get())).st_mtim;
    }
  }
  return {};
}

base::Status MountPoints::remove_stub(const Stub& stub) const {
  const int dir = layers_[stub.layer].dir;
  const auto stat = base::find_stat_beneath(dir, stub.path);
  if (!stat || !*stat) return {};  // the step took it away, or put a link in its way
  const bool is_directory = S_ISDIR((*stat)->st_mode);
  if (is_directory != (stub.kind == PointKind::directory) || (!is_directory && (*stat)->st_size != 0)) return {};
  const Fd parent = TRY(open_dir(dir, stub.path.parent()));
  const int removed = ::unlinkat(parent.get(), std::string(stub.path.name()).c_str(), is_directory ? AT_REMOVEDIR : 0);
  if (removed == 0 || errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST) return {};
  return base::fail_errno(errno, "remove the mount point /{}", stub.path.str());
}

base::Status MountPoints::restore(RemoveStubs which) {
  struct Change {
    const Directory* directory;
    struct ::timespec time;
  };
  std::vector<Change> changes;
  for (const Directory& directory : directories_) {
    const auto dir = open_dir(layers_[directory.layer].dir, directory.path);
    if (!dir) continue;  // the step took it away
    const auto stat = TRY(base::stat_fd(dir->get()));
    changes.push_back({&directory, same_time(stat.st_mtim, directory.after) ? directory.before : stat.st_mtim});
  }
  for (std::size_t i = stubs_.size(); i-- > 0;) {
    if (!stubs_[i].is_parent || which == RemoveStubs::created_parents) TRY(remove_stub(stubs_[i]));
  }
  for (const Change& change : changes) {
    const auto dir = open_dir(layers_[change.directory->layer].dir, change.directory->path);
    if (!dir) continue;  // it was a stub itself
    const struct ::timespec times[2] = {{0, UTIME_OMIT}, change.time};
    if (::futimens(dir->get(), times) != 0) {
      return base::fail_errno(errno, "give /{} its time back", change.directory->path.str());
    }
  }
  stubs_.clear();
  directories_.clear();
  return {};
}

}  // namespace cairn::solver
