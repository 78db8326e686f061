// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/trees/walk.h"

#include <dirent.h>
#include <fcntl.h>

#include <cerrno>
#include <string>
#include <vector>

namespace cairn::snapshot {

base::Status walk_tree(int top, const Walk& walk) {
  base::Fd current(::openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!current) return base::fail_errno(errno, "open a tree");
  std::vector<std::vector<std::string>> pending;
  const auto enter = [&]() -> base::Status {
    auto& directories = pending.emplace_back();
    for (auto& entry : TRY(base::list_dir(current.get()))) {
      if (entry.type == DT_DIR) {
        directories.push_back(std::move(entry.name));
      } else {
        TRY(walk.entry(current.get(), entry));
      }
    }
    return {};
  };
  const auto move_to = [&](const char* name) -> base::Status {
    base::Fd next(::openat(current.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return base::fail_errno(errno, "open \"{}\" in a tree", name);
    current = std::move(next);
    return {};
  };
  TRY(enter());
  while (true) {
    if (!pending.back().empty()) {
      const std::string name = std::move(pending.back().back());
      pending.back().pop_back();
      TRY(move_to(name.c_str()));
      TRY(enter());
      continue;
    }
    if (walk.leave) TRY(walk.leave(current.get()));
    pending.pop_back();
    if (pending.empty()) return {};
    TRY(move_to(".."));
  }
}

}  // namespace cairn::snapshot
