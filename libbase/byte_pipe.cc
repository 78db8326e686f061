// SPDX-License-Identifier: Apache-2.0
#include "libbase/byte_pipe.h"

#include <utility>

#include "libbase/read_full.h"

namespace cairn::base {

PipeChunk BytePipe::fresh() {
  {
    auto state = state_.lock();
    if (!state->spare.empty()) {
      PipeChunk chunk = std::move(state->spare.back());
      state->spare.pop_back();
      chunk.size = 0;
      return chunk;
    }
  }
  return PipeChunk{std::make_unique_for_overwrite<std::byte[]>(chunk_bytes_), chunk_bytes_, 0};
}

Result<PipeChunk> BytePipe::read(ByteSource& source) {
  PipeChunk chunk = fresh();
  chunk.size += TRY(read_full(source, chunk.room()));
  return chunk;
}

Status BytePipe::put(PipeChunk chunk) {
  auto state = state_.lock();
  changed_.wait(state.lock(), [&] { return state->closed || state->waiting.size() < chunks_max_; });
  if (state->closed) return tl::unexpected(*state->closed);
  state->waiting.push_back(std::move(chunk));
  changed_.notify_all();
  return {};
}

void BytePipe::end(Status status) {
  auto state = state_.lock();
  state->ended = std::move(status);
  changed_.notify_all();
}

Result<std::optional<PipeChunk>> BytePipe::take() {
  auto state = state_.lock();
  changed_.wait(state.lock(), [&] { return state->ended || !state->waiting.empty(); });
  if (state->ended && !*state->ended) return tl::unexpected(state->ended->error());
  if (state->waiting.empty()) return std::optional<PipeChunk>();
  PipeChunk chunk = std::move(state->waiting.front());
  state->waiting.pop_front();
  changed_.notify_all();
  return std::optional<PipeChunk>(std::move(chunk));
}

void BytePipe::give_back(PipeChunk chunk) {
  auto state = state_.lock();
  if (state->spare.size() < chunks_max_) state->spare.push_back(std::move(chunk));
}

void BytePipe::close(Error why) {
  auto state = state_.lock();
  state->closed = std::move(why);
  changed_.notify_all();
}

}  // namespace cairn::base
