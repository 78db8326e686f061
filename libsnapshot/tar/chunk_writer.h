// SPDX-License-Identifier: Apache-2.0
// The end of a pipe that bytes are written into, small or large.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "libbase/byte_pipe.h"

namespace cairn::snapshot {

// Not thread-safe. Errors of all calls: that of the pipe.
class ChunkWriter {
 public:
  // progress: called with the bytes written so far whenever a chunk is full; may be empty. Borrows the pipe.
  ChunkWriter(base::BytePipe& pipe, std::function<void(std::uint64_t)> progress)
      : pipe_(pipe), progress_(std::move(progress)), chunk_(pipe.fresh()) {}

  base::Status append(std::string_view bytes);
  base::Status append_zeros(std::size_t count);
  // Space to write into, never empty; and that so much of it has been written.
  std::span<std::byte> room() { return chunk_.room(); }
  base::Status advance(std::size_t count);
  // Passes on what is left.
  base::Status flush();

  std::uint64_t bytes() const { return bytes_; }

 private:
  base::BytePipe& pipe_;
  std::function<void(std::uint64_t)> progress_;
  base::PipeChunk chunk_;
  std::uint64_t bytes_ = 0;
};

}  // namespace cairn::snapshot
