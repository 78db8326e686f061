// SPDX-License-Identifier: Apache-2.0
// Name by name, as the kernel does it. `done` never holds a link, therefore ".." after it is its lexical parent.
#include "libbase/fs/long_path.h"

#include <limits.h>

#include <algorithm>

#include "libbase/fs/beneath.h"
#include "libbase/fs/openat2.h"

namespace cairn::base {

namespace {

constexpr int links_max = 40;  // as in the kernel

// Where the link points to; nullopt if the name is not a link or does not exist.
Result<std::optional<std::string>> find_link(int dir, const std::string& name) {
  const Fd fd(open_at(dir, name.c_str(), O_PATH | O_NOFOLLOW, 0, resolve_no_links));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return fail_errno(errno, "resolve \"{}\" in a tree", name);
  const struct ::stat stat = TRY(stat_fd(fd.get()));
  if (!S_ISLNK(stat.st_mode)) return std::nullopt;
  char target[PATH_MAX];
  const ssize_t size = ::readlinkat(fd.get(), "", target, sizeof target);
  if (size < 0) return fail_errno(errno, "read link \"{}\" in a tree", name);
  return std::string(target, static_cast<std::size_t>(size));
}

}  // namespace

Result<TreePath> resolve_long(int dir, const TreePath& path, LastLink last) {
  TreePath done;
  std::string rest = path.str();
  Fd at = TRY(open_beneath(dir, done, O_PATH | O_DIRECTORY));
  int links = 0;
  while (!rest.empty()) {
    const std::string name = rest.substr(0, rest.find('/'));
    rest.erase(0, std::min(rest.size(), name.size() + 1));
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      done = done.parent();
      at = TRY(open_beneath(dir, done, O_PATH | O_DIRECTORY));
      continue;
    }
    const auto target = rest.empty() && last == LastLink::keep ? std::nullopt : TRY(find_link(at.get(), name));
    if (!target) {
      done = done.child(name);
      if (rest.empty()) break;
      Result<Fd> next = open_beneath(at.get(), TRY(TreePath::parse(name)), O_PATH | O_DIRECTORY);
      // Nothing to resolve below what is not there; the caller's own open says so, or says what else is wrong.
      if (!next) return TreePath::parse(done.str() + "/" + rest);
      at = std::move(*next);
      continue;
    }
    if (++links > links_max) return fail(ErrorCode::invalid_argument, "more than {} links in a path", links_max);
    rest = rest.empty() ? *target : *target + "/" + rest;
    if (target->starts_with('/')) {
      done = TreePath();
      at = TRY(open_beneath(dir, done, O_PATH | O_DIRECTORY));
    }
  }
  return done;
}

}  // namespace cairn::base
