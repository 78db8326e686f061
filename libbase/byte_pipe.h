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
#include <string_view>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libbase/sync.h"

namespace cairn::base {

struct PipeChunk {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t capacity = 0;
  std::size_t size = 0;  // filled

  std::span<std::byte> room() { return {bytes.get() + size, capacity - size}; }
  std::span<const std::byte> filled() const { return {bytes.get(), size}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.get()), size}; }
};

// Thread-safe for one thread that puts and one that takes. Either side may end it with an error, which the other side
// gets from its next call.
class BytePipe {
 public:
  BytePipe(std::size_t chunk_bytes, std::size_t chunks_max) : chunk_bytes_(chunk_bytes), chunks_max_(chunks_max) {}
  BytePipe(const BytePipe&) = delete;
  BytePipe& operator=(const BytePipe&) = delete;

  // An empty chunk, one that was given back if there is one.
  PipeChunk fresh();
  // One with the next bytes of the source; less than full, it is the last. Errors: those of the source.
  Result<PipeChunk> read(ByteSource& source);
  // Waits while chunks_max are waiting. Errors: that of close().
  Status put(PipeChunk chunk);
  // Nothing follows: because all is there, or because of an error.
  void end(Status status);

  // The next chunk, or nullopt after the last. Errors: that of end().
  Result<std::optional<PipeChunk>> take();
  void give_back(PipeChunk chunk);
  // Takes nothing more: put() fails with this error.
  void close(Error why);

 private:
  struct State {
    std::deque<PipeChunk> waiting;
    std::vector<PipeChunk> spare;
    std::optional<Status> ended;
    std::optional<Error> closed;
  };

  const std::size_t chunk_bytes_, chunks_max_;
  Guarded<State> state_;
  std::condition_variable changed_;
};

}  // namespace cairn::base
