// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/tar/chunk_pipe.h"

#include <utility>

namespace cairn::snapshot {

Chunk ChunkPipe::fresh() {
  {
    auto state = state_.lock();
    if (!state->spare.empty()) {
      Chunk chunk = std::move(state->spare.back());
      state->spare.pop_back();
      chunk.size = 0;
      return chunk;
    }
  }
  return Chunk{std::make_unique_for_overwrite<std::byte[]>(chunk_bytes_), chunk_bytes_, 0};
}

base::Status ChunkPipe::put(Chunk chunk) {
  auto state = state_.lock();
  changed_.wait(state.lock(), [&] { return state->closed || state->waiting.size() < chunks_max_; });
  if (state->closed) return tl::unexpected(*state->closed);
  state->waiting.push_back(std::move(chunk));
  changed_.notify_all();
  return {};
}

void ChunkPipe::end(base::Status status) {
  auto state = state_.lock();
  state->ended = std::move(status);
  changed_.notify_all();
}

base::Result<std::optional<Chunk>> ChunkPipe::take() {
  auto state = state_.lock();
  changed_.wait(state.lock(), [&] { return state->ended || !state->waiting.empty(); });
  if (state->ended && !*state->ended) return tl::unexpected(state->ended->error());
  if (state->waiting.empty()) return std::optional<Chunk>();
  Chunk chunk = std::move(state->waiting.front());
  state->waiting.pop_front();
  changed_.notify_all();
  return std::optional<Chunk>(std::move(chunk));
}

void ChunkPipe::give_back(Chunk chunk) {
  auto state = state_.lock();
  if (state->spare.size() < chunks_max_) state->spare.push_back(std::move(chunk));
}

void ChunkPipe::close(base::Error why) {
  auto state = state_.lock();
  state->closed = std::move(why);
  changed_.notify_all();
}

}  // namespace cairn::snapshot
