// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/tee.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "libbase/read_full.h"
#include "libbase/sync.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr std::size_t piece_bytes = 256 << 10;
constexpr std::size_t pieces_max = 4;  // that one reader is ahead of another
constexpr std::chrono::milliseconds looked_at_every{2};

using Piece = std::shared_ptr<const std::string>;

class Branch final : public base::ByteSource {
 public:
  // What comes next; false: nobody takes it any more. Waits for room; false, too, if there is none for so long.
  bool give(const Piece& piece, std::chrono::nanoseconds at_most, bool& has_stalled) {
    auto state = state_.lock();
    const auto has_room = [&] { return state->is_left || state->pieces.size() < pieces_max; };
    has_stalled = !changed_.wait_for(state.lock(), at_most, has_room);
    if (has_stalled) state->failed = base::fail(ErrorCode::cancelled, "it takes nothing any more").value();
    if (has_stalled || state->is_left) return false;
    state->pieces.push_back(piece);
    changed_.notify_all();
    return true;
  }
  void end(const Status& how) {
    auto state = state_.lock();
    state->has_ended = true;
    if (!how && !state->failed) state->failed = how.error();
    changed_.notify_all();
  }
  bool is_left_within(std::chrono::nanoseconds at_most) {
    auto state = state_.lock();
    return changed_.wait_for(state.lock(), at_most, [&] { return state->is_left; });
  }
  void leave() {
    auto state = state_.lock();
    state->is_left = true;
    state->pieces.clear();
    changed_.notify_all();
  }

  Result<std::size_t> read(std::span<std::byte> out) override {
    while (!current_ || at_ == current_->size()) {
      auto state = state_.lock();
      changed_.wait(state.lock(), [&] { return !state->pieces.empty() || state->has_ended || state->failed; });
      if (state->failed) return tl::unexpected(*state->failed);
      if (state->pieces.empty()) return std::size_t{0};
      current_ = std::move(state->pieces.front());
      state->pieces.pop_front();
      at_ = 0;
      changed_.notify_all();
    }
    const std::size_t count = current_->copy(reinterpret_cast<char*>(out.data()), out.size(), at_);
    at_ += count;
    return count;
  }

 private:
  struct State {
    std::deque<Piece> pieces;
    std::optional<base::Error> failed;
    bool has_ended = false, is_left = false;
  };
  base::Guarded<State> state_;
  std::condition_variable_any changed_;
  Piece current_;
  std::size_t at_ = 0;
};

Result<Piece> next_piece(base::ByteSource& source) {
  std::string bytes(piece_bytes, '\0');
  bytes.resize(TRY(base::read_full(source, std::span<char>(bytes))));
  return std::make_shared<const std::string>(std::move(bytes));
}

}  // namespace

Status tee(base::ByteSource& source, std::span<const TeeReader> readers, std::chrono::nanoseconds stall_time) {
  std::vector<std::unique_ptr<Branch>> branches;
  std::vector<std::jthread> threads;
  for (const TeeReader& reader : readers) {
    branches.push_back(std::make_unique<Branch>());
    threads.emplace_back([&reader, &branch = *branches.back()] {
      reader.read(branch);
      branch.leave();
    });
  }
  std::vector<std::size_t> open(readers.size());
  for (std::size_t i = 0; i < open.size(); ++i) open[i] = i;
  Status ended;
  while (!open.empty()) {
    auto piece = next_piece(source);
    if (!piece) ended = tl::unexpected(piece.error());
    if (!piece || (*piece)->empty()) break;
    std::erase_if(open, [&](std::size_t i) {
      bool has_stalled = false;
      const bool taken = branches[i]->give(*piece, stall_time, has_stalled);
      if (has_stalled) readers[i].stalled();
      return !taken;
    });
  }
  for (const auto& branch : branches) branch->end(ended);
  std::size_t left = 0;
  while (left == 0)
    for (const auto& branch : branches) left += branch->is_left_within(looked_at_every) ? 1 : 0;
  const auto until = std::chrono::steady_clock::now() + stall_time;
  for (std::size_t i = 0; i < branches.size(); ++i)
    if (!branches[i]->is_left_within(until - std::chrono::steady_clock::now())) readers[i].stalled();
  threads.clear();
  return ended;
}

}  // namespace cairn::cache
