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

class Removal {
 public:
  Removal(int parent, const RemoveSubvolume& remove_subvolume) : cursor_(parent), remove_subvolume_(remove_subvolume) {}

  Status run(std::string name) {
    TRY(unless_gone(enter(std::move(name), 1)));
    while (cursor_.depth() > 0) {
      auto& pending = cursor_.top().pending;
      if (pending.empty()) {
        const DeepCursor::Frame done = cursor_.top();
        TRY(cursor_.leave());
        TRY(unless_gone(remove_empty(done.name, done.visits)));
        continue;
      }
      std::string next = std::move(pending.back());
      pending.pop_back();
      TRY(unless_gone(enter(std::move(next), 1)));
    }
    return {};
  }

 private:
  // Enters a directory and empties it of files; not_found if it is gone. A subvolume is removed instead.
  Status enter(const std::string& name, int visits) {
    auto entered = cursor_.enter(name);
    if (!entered && entered.error().code == ErrorCode::unavailable) {
      if (remove_subvolume_) return remove_subvolume_(cursor_.fd(), name);
      entered.error().code = ErrorCode::busy;
    }
    TRY(std::move(entered));
    cursor_.top().visits = visits;
    return remove_files(cursor_);
  }

  // Removes a directory of the current one that has been emptied; enters it again if it is not empty any more.
  Status remove_empty(const std::string& name, int visits) {
    if (::unlinkat(cursor_.fd(), name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return fail_errno(errno, "remove \"{}/{}\"", cursor_.path(), name);
    if (visits == visits_max) return fail(ErrorCode::busy, "remove \"{}/{}\": it fills again", cursor_.path(), name);
    return enter(name, visits + 1);
  }

  // Success if the error says only that somebody else removed the directory first.
  static Status unless_gone(Status status) {
    if (!status && status.error().code == ErrorCode::not_found) return {};
    return status;
  }

  DeepCursor cursor_;
  const RemoveSubvolume& remove_subvolume_;
};

}  // namespace

Status remove_all_beneath(int dir, const TreePath& path, const RemoveSubvolume& remove_subvolume) {
  CHECK(!path.is_root(), "the root of a tree is not removed beneath itself");
  const Result<Fd> parent = open_beneath(dir, path.parent(), O_PATH | O_DIRECTORY);
  if (!parent && parent.error().code == ErrorCode::not_found) return {};
  if (!parent) return tl::unexpected(parent.error());
  std::string name(path.name());
  if (::unlinkat(parent->get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return fail_errno(errno, "remove \"{}\" in a tree", path.str());
  return Removal(parent->get(), remove_subvolume).run(std::move(name));
}

}  // namespace cairn::base
