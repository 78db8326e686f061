// SPDX-License-Identifier: Apache-2.0
// The difference of two snapshots as a change stream, and its way back into a tree.
#pragma once

#include <functional>
#include <optional>

#include "libsnapshot/changes.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// cheapest: where the driver knows where changes can be, nothing else is looked at. walk: both trees are walked whole.
// Both find the same, except that hard links which nothing changed are replayed by a walk only, and that a name that
// left its links may be a relink of cheapest alone.
enum class Way { cheapest, walk };

// Visits what makes `upper` out of `lower` (none: out of nothing). Both are frozen or committed and stay so. If lower is
// what upper was made on, at any distance of up to 64 layers, an overlay costs O(what its layers hold) and two mounts;
// otherwise O(entries of both trees), less what the driver knows (Snapshotter::candidates).
// Errors: not_found, invalid_argument (one is active), cancelled, io, and those of the visitor.
base::Status diff(Snapshotter& snapshots, std::optional<SnapshotId> lower, SnapshotId upper,
                  const ChangeVisitor& visitor, const ChangeOptions& options, Way way = Way::cheapest);

// What hands changes to a visitor: diff(), changes_between(), or a function around one of them.
using ChangeSource = std::function<base::Status(const ChangeVisitor&)>;

// Makes `target` (mounted read_write, or any directory that shows what the changes start from) what the changes lead to,
// in everything a tree holds: files are copied (cloned where the file system can, with their holes), links are links of
// one another if the stream has Replay::hard_links, and directories get their times after what is in them. atime is not
// carried over. On an error the tree holds part of it, and the caller abandons it. Nothing is durable.
// O(changes and the bytes of new and modified files). Errors: not_found (the tree is another one), no_space, io, and
// those of the source.
base::Status apply_changes(const MountedTree& target, const ChangeSource& changes);

}  // namespace cairn::snapshot
