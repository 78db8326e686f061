// SPDX-License-Identifier: Apache-2.0
// What one action of a file step does to a tree (spec/solver 1.1, 3.4), as BuildKit does it. `tree` is open for reading
// and mounted to be written; nobody else writes to it.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>

#include "libsolver/files/places.h"

namespace cairn::solver {

// A directory that is there is left as it is. Errors: already_exists (something else is there), not_found (its parent, if
// parents are not to be made).
base::Status make_directory(int tree, const wire::FileActionMkDir& action, std::optional<Ownership> owner);
// A file that is there gets the bytes and keeps its mode. Errors: not_found (its parent), invalid_argument (a directory is
// there).
base::Status make_file(int tree, const wire::FileActionMkFile& action, std::optional<Ownership> owner);
// Errors: already_exists, not_found (its parent).
base::Status make_link(int tree, const wire::FileActionSymlink& action, std::optional<Ownership> owner);
// A link is removed, not what it leads to. Errors: not_found, unless that is allowed or a pattern matched nothing.
base::Status remove_paths(int tree, const wire::FileActionRm& action);

struct CopyOptions {
  std::optional<Ownership> owner{};
  std::stop_token stop{};
  std::function<void(std::string_view line)> warn{};  // of xattrs that the tree cannot have; may be empty
};
// From one tree into another one. Links in the source's path lead nowhere outside of `from`, those in the destination's
// nowhere outside of `to`. Errors: not_found (the source, or where to copy to), already_exists (a directory would replace
// something else, or be replaced), invalid_argument (patterns, mode), cancelled, no_space, io.
base::Status copy_paths(int from, int to, const wire::FileActionCopy& action, const CopyOptions& options);

}  // namespace cairn::solver
