// SPDX-License-Identifier: Apache-2.0
// Bytes on their way from one thread to another in large pieces: so that reading and hashing, or unpacking and
// decompressing, run beside each other. Memory is bounded: whoever is faster waits.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "libbase/result.h"
#include "libbase/sync.h"

namespace cairn::snapshot {

struct Chunk {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t capacity = 0;
  std::size_t size = 0;  // filled

  std::span<std::byte> room() { return {bytes.get() + size, capacity - size}; }
  std::span<const std::byte> filled() const { return {bytes.get(), size}; }
};

// Thread-safe for one thread that puts and one that takes. Either side may end it with an error, which the other side
// gets from its next call.
class ChunkPipe {
 public:
  ChunkPipe(std::size_t chunk_bytes, std::size_t chunks_max) : chunk_bytes_(chunk_bytes), chunks_max_(chunks_max) {}
  ChunkPipe(const ChunkPipe&) = delete;
  ChunkPipe& operator=(const ChunkPipe&) = delete;

  // An empty chunk, one that was given back if there is one.
  Chunk fresh();
  // Waits while chunks_max are waiting. Errors: that of close().
  base::Status put(Chunk chunk);
  // Nothing follows: because all is there, or because of an error.
  void end(base::Status status);

  // The next chunk, or nullopt after the last. Errors: that of end().
  base::Result<std::optional<Chunk>> take();
  void give_back(Chunk chunk);
  // Takes nothing more: put() fails with this error.
  void close(base::Error why);

 private:
  struct State {
    std::deque<Chunk> waiting;
    std::vector<Chunk> spare;
    std::optional<base::Status> ended;
    std::optional<base::Error> closed;
  };

  const std::size_t chunk_bytes_, chunks_max_;
  base::Guarded<State> state_;
  std::condition_variable changed_;
};

}  // namespace cairn::snapshot
