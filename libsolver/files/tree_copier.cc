// SPDX-License-Identifier: Apache-2.0
#include "libsolver/files/tree_copier.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libsolver/sources/copy_data.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;
using base::TreePath;

namespace {

Result<std::optional<struct ::stat>> find_stat_at(int directory, const std::string& name) {
  struct ::stat stat {};
  if (::fstatat(directory, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0) return std::optional(stat);
  if (errno == ENOENT) return std::optional<struct ::stat>();
  return fail_errno(errno, "look at {}", name);
}

Result<std::string> read_link(int directory, const std::string& name) {
  char target[PATH_MAX];
  const ssize_t size = ::readlinkat(directory, name.c_str(), target, sizeof target);
  if (size < 0) return fail_errno(errno, "read link {}", name);
  return std::string(target, static_cast<std::size_t>(size));
}

// The same kind of node; a socket, which only its process could serve, becomes an empty file.
mode_t node_type(mode_t mode) { return S_ISSOCK(mode) ? S_IFREG : mode & S_IFMT; }

}  // namespace

std::string TreeCopier::Walk::path(const std::string& name) const {
  std::string text;
  for (std::size_t i = 1; i < levels.size(); ++i) text += levels[i].name + "/";
  return text + name;
}

Result<TreeCopier> TreeCopier::create(const wire::FileActionCopy& action, const Given& given, const CopyOptions& options) {
  TreeCopier copier(action, given, options);
  if (!action.mode_str.empty()) copier.mode_ = TRY(ModeChange::parse(action.mode_str));
  if (!action.include_patterns.empty()) {
    copier.include_ = TRY(cache::PatternList::compile(action.include_patterns), "include patterns");
  }
  if (!action.exclude_patterns.empty()) {
    copier.exclude_ = TRY(cache::PatternList::compile(action.exclude_patterns), "exclude patterns");
  }
  return copier;
}

Status TreeCopier::copy(int from, const TreePath& source, const struct ::stat& stat, int to, const TreePath& target) {
  refused_xattrs_.clear();
  if (!S_ISDIR(stat.st_mode)) {
    const Place old_place = TRY(open_place(from, source));
    const Place new_place = TRY(open_place(to, target));
    TRY(make_room(new_place.directory.get(), new_place.name));
    TRY(copy_other(old_place.directory.get(), new_place.directory.get(), old_place.name, new_place.name, stat));
  } else {
    const Fd old_top = TRY(base::open_beneath(from, source, O_RDONLY | O_DIRECTORY));
    Finish finish_top = Finish::times;  // one that is there keeps all else
    Fd new_top;
    if (target.is_root()) {
      new_top = TRY(base::open_beneath(to, target, O_RDONLY | O_DIRECTORY));
    } else {
      const Place place = TRY(open_place(to, target));
      const auto there = TRY(find_stat_at(place.directory.get(), place.name));
      if (!there || !S_ISDIR(there->st_mode)) {
        finish_top = TRY(make_target_dir(place.directory.get(), place.name, {.is_taken = true}));
      }
      new_top = TRY(base::open_beneath(place.directory.get(), TRY(TreePath::parse(place.name)), O_RDONLY | O_DIRECTORY));
    }
    TRY(copy_below(old_top.get(), new_top.get()));
    TRY(finish(old_top.get(), new_top.get(), stat, finish_top));
  }
  for (const std::string& name : refused_xattrs_) {
    if (options_.warn) options_.warn("the tree cannot have the attribute " + name + "; it was left out\n");
  }
  return {};
}

Status TreeCopier::copy_below(int source, int target) {
  Walk walk{base::DeepCursor(source), base::DeepCursor(target), {}, target, {}};
  walk.levels.push_back({.is_entered = true, .is_taken = true, .entries = TRY(base::list_dir(source))});
  while (!walk.levels.empty()) {
    if (options_.stop.stop_requested()) return fail(ErrorCode::cancelled, "copying was cancelled");
    TRY(step(walk));
  }
  return {};
}

Status TreeCopier::step(Walk& walk) {
  Level& level = walk.levels.back();
  if (level.next == level.entries.size()) return leave(walk);
  const std::string name = std::move(level.entries[level.next++].name);
  return base::Result<void>(visit(walk, name)).map_error([&](base::Error error) {
    return base::add_context(std::move(error), walk.path(name));
  });
}

Status TreeCopier::visit(Walk& walk, const std::string& name) {
  Level level{.name = name};
  level.is_taken = true;
  bool is_excluded = false;
  if (include_ || exclude_) {
    const std::string path = walk.path(name);
    const Level& above = walk.levels.back();
    if (include_) level.is_taken = TRY(include_->matches(path, above.include, level.include));
    if (exclude_) is_excluded = TRY(exclude_->matches(path, above.exclude, level.exclude));
    if (is_excluded) level.is_taken = false;
    // Nothing below can be taken back in.
    if (is_excluded && !exclude_->has_exclusions()) return {};
  }
  const auto stat = TRY(find_stat_at(walk.source.fd(), name));
  if (!stat) return fail(ErrorCode::not_found, "it is gone");
  level.source = *stat;
  if (S_ISDIR(stat->st_mode)) return enter(walk, std::move(level));
  if (!level.is_taken) return {};
  TRY(enter_all_targets(walk));
  const int to = walk.target.fd();
  TRY(make_room(to, name));
  if (!S_ISREG(stat->st_mode) || stat->st_nlink < 2) return copy_other(walk.source.fd(), to, name, name, *stat);
  const TreePath own = TRY(TreePath::parse(walk.path(name)));
  const auto [first, is_first] = walk.links.try_emplace({stat->st_dev, stat->st_ino}, own);
  if (!is_first) {
    const Place place = TRY(open_place(walk.target_top, first->second));
    if (::linkat(place.directory.get(), place.name.c_str(), to, name.c_str(), 0) == 0) return {};
    if (errno != EMLINK) return fail_errno(errno, "link");
    first->second = own;
  }
  return copy_other(walk.source.fd(), to, name, name, *stat);
}

Status TreeCopier::enter(Walk& walk, Level level) {
  if (level.is_taken) {
    TRY(enter_all_targets(walk));
    TRY(enter_target(walk, level));
  }
  TRY(walk.source.enter(level.name));
  level.entries = TRY(base::list_dir(walk.source.fd()));
  walk.levels.push_back(std::move(level));
  return {};
}

Status TreeCopier::enter_all_targets(Walk& walk) {
  if (walk.levels.back().is_entered) return {};
  for (Level& level : walk.levels) TRY(enter_target(walk, level));
  return {};
}

// The levels above have been entered.
Status TreeCopier::enter_target(Walk& walk, Level& level) {
  if (level.is_entered) return {};
  level.finish = TRY(make_target_dir(walk.target.fd(), level.name, level));
  TRY(walk.target.enter(level.name));
  level.is_entered = true;
  return {};
}

Status TreeCopier::leave(Walk& walk) {
  const Level& level = walk.levels.back();
  if (walk.levels.size() > 1) {
    if (level.is_entered) {
      TRY(finish(walk.source.fd(), walk.target.fd(), level.source, level.finish));
      TRY(walk.target.leave());
    }
    TRY(walk.source.leave());
  }
  walk.levels.pop_back();
  return {};
}

Result<TreeCopier::Finish> TreeCopier::make_target_dir(int directory, const std::string& name, const Level& level) {
  const auto there = TRY(find_stat_at(directory, name));
  // One that is taken is as the source's; one that is only on the way gets its permissions.
  if (there && S_ISDIR(there->st_mode)) return level.is_taken ? Finish::metadata : Finish::mode;
  if (there) {
    if (!action_.always_replace_existing || !level.is_taken) {
      return fail(ErrorCode::already_exists, "a directory cannot replace {}, which is none", name);
    }
    TRY(base::remove_all_beneath(directory, TRY(TreePath::parse(name))));
  }
  if (::mkdirat(directory, name.c_str(), 0700) != 0) return fail_errno(errno, "make directory {}", name);
  return Finish::metadata;
}

// A directory stays where it is, unless everything is to be replaced.
Status TreeCopier::make_room(int directory, const std::string& name) {
  const auto there = TRY(find_stat_at(directory, name));
  if (!there) return {};
  if (S_ISDIR(there->st_mode) && !action_.always_replace_existing) {
    return fail(ErrorCode::already_exists, "what is no directory cannot replace {}, which is one", name);
  }
  return base::remove_all_beneath(directory, TRY(TreePath::parse(name)));
}

// Anything but a directory. There is nothing at its new name.
Status TreeCopier::copy_other(int from, int to, const std::string& name, const std::string& new_name,
                              const struct ::stat& stat) {
  if (S_ISREG(stat.st_mode)) return copy_file(from, to, name, new_name);
  if (S_ISLNK(stat.st_mode)) {
    if (::symlinkat(TRY(read_link(from, name)).c_str(), to, new_name.c_str()) != 0) return fail_errno(errno, "make link");
  } else if (::mknodat(to, new_name.c_str(), node_type(stat.st_mode) | 0600, stat.st_rdev) != 0) {
    return fail_errno(errno, "make node");
  }
  const Fd made = TRY(open_node(to, new_name));
  struct ::stat type = stat;
  type.st_mode = node_type(stat.st_mode) | (stat.st_mode & 07777);
  NodeMetadata metadata{.owner = given_.owner ? given_.owner->uid : stat.st_uid,
                        .group = given_.owner ? given_.owner->gid : stat.st_gid,
                        .mode = (type.st_mode & S_IFMT) | mode_of(type),
                        .modified = given_.modified.value_or(stat.st_mtim),
                        .xattrs = TRY(base::list_xattrs_at(from, name))};
  for (const std::string& refused : TRY(set_metadata(made.get(), metadata))) refused_xattrs_.insert(refused);
  return {};
}

Status TreeCopier::copy_file(int from, int to, const std::string& name, const std::string& new_name) {
  const Fd old_file(::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!old_file) return fail_errno(errno, "open");
  const struct ::stat stat = TRY(base::stat_fd(old_file.get()));
  const Fd new_file(::openat(to, new_name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!new_file) return fail_errno(errno, "create");
  TRY(copy_data(old_file.get(), new_file.get(), static_cast<std::uint64_t>(stat.st_size), options_.stop, [](std::uint64_t) {}));
  return finish(old_file.get(), new_file.get(), stat, Finish::metadata);
}

Status TreeCopier::finish(int from, int to, const struct ::stat& stat, Finish what) {
  switch (what) {
    case Finish::nothing: return {};
    case Finish::mode:
      if (::fchmod(to, stat.st_mode & 07777) != 0) return fail_errno(errno, "set the mode");
      return {};
    case Finish::times: return give(to, {.modified = given_.modified.value_or(stat.st_mtim)});
    case Finish::metadata: break;
  }
  NodeMetadata metadata{.owner = given_.owner ? given_.owner->uid : stat.st_uid,
                        .group = given_.owner ? given_.owner->gid : stat.st_gid,
                        .mode = (stat.st_mode & S_IFMT) | mode_of(stat),
                        .modified = given_.modified.value_or(stat.st_mtim),
                        .xattrs = TRY(base::list_xattrs(from))};
  for (const std::string& refused : TRY(set_metadata(to, metadata))) refused_xattrs_.insert(refused);
  return {};
}

mode_t TreeCopier::mode_of(const struct ::stat& stat) const {
  if (mode_) return mode_->apply(stat.st_mode);
  return static_cast<mode_t>(action_.mode == -1 ? static_cast<std::int32_t>(stat.st_mode) : action_.mode) & 07777;
}

}  // namespace cairn::solver
