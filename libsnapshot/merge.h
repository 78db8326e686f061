// SPDX-License-Identifier: Apache-2.0
// Merges of trees: the changes of several pairs of snapshots, applied one after the other onto nothing. This is BuildKit's
// MergeOp (each input is its chain of pairs), and with one pair its DiffOp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>

#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// What makes `upper` out of `lower`; none: the empty tree.
struct Delta {
  std::optional<SnapshotId> lower;
  std::optional<SnapshotId> upper;
};

// How a merge was made. Tests assert it.
struct MergeCounts {
  bool stacked = false;            // no file was made: the layers of the deltas lie on one another
  std::uint64_t linked = 0;        // files that are hard links to those of the deltas
  std::uint64_t bytes_copied = 0;  // of contents; none of clones and holes
};

enum class Copying { avoid, always };

struct MergeOptions {
  Copying copying = Copying::avoid;  // always: nothing is stacked, linked or cloned by name; the model for tests
  std::stop_token stop = {};
  MergeCounts* counts = nullptr;
};

// A new frozen snapshot that shows what applying the deltas in their order makes of nothing. What a delta adds or modifies
// replaces what is there, but a directory on a directory keeps what is in it; what it removes goes, if it is there; the
// directories above a change are then as they are in its upper tree, times included, as a layer of it would say. A name
// that only left or met its links is no change here. The root is that of the base, which is the upper tree of the last
// delta of the longest beginning in which each starts from what the one before led to; without one 0755 root:root.
//
// The base is forked, not applied, unless a fork is a copy (native). Then, in this order of preference: the layers of the
// deltas are stacked (prepare_stack), which needs a driver that stacks, no opaque directory in them, and nothing in them
// that is not a change of their delta; or files are hard-linked from where they lie, whiteouts and special files never;
// or they are cloned; or copied. It is frozen already because a write to a linked file would be one to its source: fork it
// to change it. Everything named is frozen or committed and stays so meanwhile; what is stacked is kept until the merge
// goes (prepare_stack), linked files are kept by their links. The usage of a merge counts the files that it links, as that
// of their sources does.
// O(changes of the deltas), and of the trees where no driver knows them.
// Errors: not_found, invalid_argument (no delta; one is active), no_space, cancelled, io.
base::Result<SnapshotId> merge(Snapshotter& snapshots, std::span<const Delta> deltas, const MergeOptions& options);

}  // namespace cairn::snapshot
