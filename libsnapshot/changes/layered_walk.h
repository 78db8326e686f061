// SPDX-License-Identifier: Apache-2.0
// The walk of two trees of which it is known what lies between them: the upper directories of overlays. It finds the
// same changes as a walk of everything, in time that depends on what is in the uppers. The one fact to know: the uppers
// only say *where* to look. What is there is read from the two mounted trees, so whiteouts, opaque directories, renamed
// directories and metadata-only copies mean what the kernel says they mean.
#pragma once

#include <span>

#include "libsnapshot/changes.h"

namespace cairn::snapshot {

// upper is a mount of what lower shows with `layers` stacked on it (their order does not matter), all given by their
// root directories, open for reading. A directory that an upper made opaque, replaced or renamed is compared wholly (or
// reported as opaque, Opaque::keep); any other costs what its uppers hold. A file that was copied up out of a group of
// hard links and is otherwise the same is a relink, whether or not the rest of the group is still there.
// Descriptors: two for each layer, and four. Errors: as changes_between.
base::Status changes_in_layers(int lower, int upper, std::span<const int> layers, const ChangeVisitor& visitor,
                               const ChangeOptions& options);

}  // namespace cairn::snapshot
