// SPDX-License-Identifier: Apache-2.0
// One gzip member out of blocks that are compressed apart: on threads, or on the caller's. Where blocks begin depends on
// nothing but the input, so the output is the same for any number of threads. A block that knows nothing of the one before
// costs less than 1 % of the density.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <utility>

#include "libbase/compress/codecs.h"
#include "libbase/compress/gzip_block.h"
#include "libbase/sync.h"
#include "libbase/thread_pool.h"

namespace cairn::base {

namespace {

constexpr std::size_t block_bytes = 1 << 20;
// No name, no time, and 255 for an unknown system, as Go's compress/gzip writes (spec/storage 4.5).
constexpr std::string_view header("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
constexpr std::string_view last_block("\x03\0", 2);  // of deflate: empty, and the last one

struct Block {
  std::string input, output;
  std::uint32_t crc = 0;
  bool done = false;  // belongs to Progress once the block is on its way

  void deflate(BlockDeflater& deflater) {
    deflater.deflate(input, output);
    crc = crc32_of(input);
  }
};

// The deflaters that no thread uses. Making one costs as much as half a block.
struct Progress {
  std::vector<std::unique_ptr<BlockDeflater>> idle;
};

class GzipEncoder final : public Encoder {
 public:
  // threads: 0 compresses on the thread that writes.
  GzipEncoder(Sink sink, int level, unsigned threads) : sink_(std::move(sink)), level_(level) {
    if (threads > 0) pool_ = std::make_unique<ThreadPool>(ThreadPool::Options{.threads = threads});
    under_way_max_ = 4 * std::size_t{threads};
    current_ = fresh_block();
  }

  Status write(std::string_view bytes) override {
    CHECK(!finished_, "write after finish");
    while (!bytes.empty()) {
      const auto piece = bytes.substr(0, block_bytes - current_->input.size());
      current_->input += piece;
      bytes.remove_prefix(piece.size());
      if (current_->input.size() == block_bytes) TRY(send_off());
    }
    return {};
  }

  Status finish() override {
    CHECK(!finished_, "finish twice");
    finished_ = true;
    if (!current_->input.empty()) TRY(send_off());
    while (!under_way_.empty()) TRY(emit_oldest());
    TRY(begin());
    std::string end(last_block);
    for (const std::uint32_t number : {crc_, static_cast<std::uint32_t>(size_)}) {
      for (int shift = 0; shift < 32; shift += 8) end += static_cast<char>(number >> shift);
    }
    return sink_(end);
  }

 private:
  std::shared_ptr<Block> fresh_block() {
    auto block = spare_ ? std::exchange(spare_, nullptr) : std::make_shared<Block>();
    block->input.clear();
    block->input.reserve(block_bytes);
    block->done = false;
    return block;
  }

  Status send_off() {
    under_way_.push_back(std::exchange(current_, nullptr));
    if (pool_) {
      TRY(pool_->submit([this, block = under_way_.back()](std::stop_token) { deflate(*block); }));
    } else {
      deflate(*under_way_.back());
    }
    current_ = fresh_block();
    while (under_way_.size() > under_way_max_) TRY(emit_oldest());
    return {};
  }

  void deflate(Block& block) {
    std::unique_ptr<BlockDeflater> deflater;
    {
      auto progress = progress_.lock();
      if (!progress->idle.empty()) {
        deflater = std::move(progress->idle.back());
        progress->idle.pop_back();
      }
    }
    if (!deflater) deflater = make_block_deflater(level_);
    block.deflate(*deflater);
    auto progress = progress_.lock();
    progress->idle.push_back(std::move(deflater));
    block.done = true;
    done_.notify_all();
  }

  Status emit_oldest() {
    auto block = std::move(under_way_.front());
    under_way_.pop_front();
    {
      auto progress = progress_.lock();
      done_.wait(progress.lock(), [&] { return block->done; });
    }
    TRY(begin());
    TRY(sink_(block->output));
    crc_ = crc32_joined(crc_, block->crc, block->input.size());
    size_ += block->input.size();
    spare_ = std::move(block);
    return {};
  }

  Status begin() { return std::exchange(begun_, true) ? Status() : sink_(header); }

  Sink sink_;
  const int level_;
  std::size_t under_way_max_ = 0;
  std::shared_ptr<Block> current_, spare_;
  std::deque<std::shared_ptr<Block>> under_way_;  // oldest first
  bool begun_ = false, finished_ = false;
  std::uint32_t crc_ = 0;
  std::uint64_t size_ = 0;
  Guarded<Progress> progress_;
  std::condition_variable done_;
  std::unique_ptr<ThreadPool> pool_;  // the last member: its threads use the others
};

}  // namespace

std::unique_ptr<Encoder> make_gzip_encoder(Encoder::Sink sink, int level, unsigned threads) {
  return std::make_unique<GzipEncoder>(std::move(sink), level, threads);
}

}  // namespace cairn::base
