// SPDX-License-Identifier: Apache-2.0
// Removal of whole trees: depth first, one descriptor open, no recursion.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libbase/fs/deep_cursor.h"

namespace cairn::base {

namespace {

constexpr int visits_max = 8;  // of a directory that somebody fills while it is emptied

// Removes what is not a directory from the current one and notes the directories.
Status remove_files(DeepCursor& cursor) {
  for (DirEntry& entry : TRY(read_entries(cursor.fd()), "remove \"{}\"", cursor.path())) {
    // EISDIR tells of directories whose type the listing did not.
    if (entry.type != DT_DIR) {
      if (::unlinkat(cursor.fd(), entry.name.c_str(), 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR) return fail_errno(errno, "remove \"{}/{}\"", cursor.path(), entry.name);
    }
    cursor.top().pending.push_back(std::move(entry.name));
  }
  return {};
}

// Enters a directory and empties it of files; not_found if it is gone.
Status enter_and_remove_files(DeepCursor& cursor, std::string name, int visits) {
  TRY(cursor.enter(std::move(name)));
  cursor.top().visits = visits;
  return remove_files(cursor);
}

// Removes a directory of the current one that has been emptied; enters it again if it is not empty any more.
Status remove_empty(DeepCursor& cursor, const std::string& name, int visits) {
  if (::unlinkat(cursor.fd(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return fail_errno(errno, "remove \"{}/{}\"", cursor.path(), name);
  if (visits == visits_max) return fail(ErrorCode::busy, "remove \"{}/{}\": it fills again", cursor.path(), name);
  return enter_and_remove_files(cursor, name, visits + 1);
}

// Success if the error says only that somebody else removed the directory first.
Status unless_gone(Status status) {
  if (!status && status.error().code == ErrorCode::not_found) return {};
  return status;
}

Status remove_dir(int parent, std::string name) {
  DeepCursor cursor(parent);
  TRY(unless_gone(enter_and_remove_files(cursor, std::move(name), 1)));
  while (cursor.depth() > 0) {
    auto& pending = cursor.top().pending;
    if (pending.empty()) {
      const DeepCursor::Frame done = cursor.top();
      TRY(cursor.leave());
      TRY(unless_gone(remove_empty(cursor, done.name, done.visits)));
      continue;
    }
    std::string next = std::move(pending.back());
    pending.pop_back();
    TRY(unless_gone(enter_and_remove_files(cursor, std::move(next), 1)));
  }
  return {};
}

}  // namespace

Status remove_all_beneath(int dir, const TreePath& path) {
  CHECK(!path.is_root(), "the root of a tree is not removed beneath itself");
  const Result<Fd> parent = open_beneath(dir, path.parent(), O_PATH | O_DIRECTORY);
  if (!parent && parent.error().code == ErrorCode::not_found) return {};
  if (!parent) return tl::unexpected(parent.error());
  std::string name(path.name());
  if (::unlinkat(parent->get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return fail_errno(errno, "remove \"{}\" in a tree", path.str());
  return remove_dir(parent->get(), std::move(name));
}

}  // namespace cairn::base
