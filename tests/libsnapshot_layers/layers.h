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

namespace cairn::snapshot {

class BytesSource final : public base::ByteSource {
 public:
  explicit BytesSource(std::string bytes) : bytes_(std::move(bytes)) {}
  base::Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min(out.size(), bytes_.size() - used_);
    std::memcpy(out.data(), bytes_.data() + used_, count);
    used_ += count;
    return count;
  }

 private:
  std::string bytes_;
  std::size_t used_ = 0;
};

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
