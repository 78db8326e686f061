// SPDX-License-Identifier: Apache-2.0
// Layers in memory: written of two directories, applied to one.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "libsnapshot/layer.h"
#include "tests/libsnapshot_changes/trees.h"
#include "tests/support/string_source.h"

namespace cairn::snapshot {

inline MountedTree tree_of(int directory) { return MountedTree(base::Fd(::fcntl(directory, F_DUPFD_CLOEXEC, 0))); }

struct LayerBytes {
  Written written;
  std::string bytes;
};

inline base::Result<LayerBytes> write_bytes(int tree, const ChangeSource& changes, const WriteOptions& options) {
  LayerBytes layer;
  const auto sink = [&](std::string_view bytes) -> base::Status {
    layer.bytes += bytes;
    return {};
  };
  layer.written = TRY(write_layer(tree_of(tree), changes, sink, options));
  return layer;
}

inline ChangeSource between(std::optional<int> lower, int upper) {
  return [lower, upper](const ChangeVisitor& visitor) {
    return changes_between(lower, upper, visitor, changes_for_layer());
  };
}

inline WriteOptions plain() {
  WriteOptions options;
  options.compression = base::Compression::none;
  return options;
}

}  // namespace cairn::snapshot
