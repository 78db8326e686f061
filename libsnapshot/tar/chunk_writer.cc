// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/tar/chunk_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cairn::snapshot {

base::Status ChunkWriter::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto space = room();
    const std::size_t count = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    TRY(advance(count));
  }
  return {};
}

base::Status ChunkWriter::append_zeros(std::size_t count) {
  while (count > 0) {
    const auto space = room();
    const std::size_t some = std::min(space.size(), count);
    std::memset(space.data(), 0, some);
    count -= some;
    TRY(advance(some));
  }
  return {};
}

base::Status ChunkWriter::advance(std::size_t count) {
  chunk_.size += count;
  bytes_ += count;
  return chunk_.size == chunk_.capacity ? flush() : base::Status();
}

base::Status ChunkWriter::flush() {
  if (chunk_.size == 0) return {};
  TRY(pipe_.put(std::exchange(chunk_, pipe_.fresh())));
  if (progress_) progress_(bytes_);
  return {};
}

}  // namespace cairn::snapshot
