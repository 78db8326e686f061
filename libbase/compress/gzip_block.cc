// SPDX-License-Identifier: Apache-2.0
// isa-l is fast, zlib is dense.
#include "libbase/compress/gzip_block.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <algorithm>
#include <vector>

#include "libbase/result.h"

namespace cairn::base {

namespace {

constexpr std::size_t room_min = 4096;

// Text halves; what does not gets more room as it is needed.
void start_output(std::size_t block_size, std::string& out) { out.resize(block_size / 2 + room_min); }
void grow_output(std::size_t used, std::string& out) { out.resize(used + std::max(used / 2, room_min)); }

class FastDeflater final : public BlockDeflater {
 public:
  explicit FastDeflater(int level) : stream_(std::make_unique<isal_zstream>()) {
    // Level 0 of isa-l is hardly faster than 1 and less dense; 3 is as slow as zlib.
    const bool fastest = level == 1;
    tables_.resize(fastest ? ISAL_DEF_LVL1_DEFAULT : ISAL_DEF_LVL2_DEFAULT);
    isal_deflate_init(stream_.get());
    stream_->level = fastest ? 1 : 2;
    stream_->level_buf = tables_.data();
    stream_->level_buf_size = static_cast<std::uint32_t>(tables_.size());
    stream_->gzip_flag = IGZIP_DEFLATE;
  }

  void deflate(std::string_view block, std::string& out) override {
    isal_deflate_reset(stream_.get());
    stream_->flush = SYNC_FLUSH;
    stream_->end_of_stream = 0;
    // isa-l does not write to its input, it only lacks the const.
    stream_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(block.data()));
    stream_->avail_in = static_cast<std::uint32_t>(block.size());
    start_output(block.size(), out);
    std::size_t used = 0;
    do {
      if (used == out.size()) grow_output(used, out);
      stream_->next_out = reinterpret_cast<std::uint8_t*>(out.data() + used);
      stream_->avail_out = static_cast<std::uint32_t>(out.size() - used);
      const int outcome = isal_deflate(stream_.get());
      CHECK(outcome == COMP_OK, "isal_deflate: {}", outcome);  // its errors are all of the caller's making
      used = out.size() - stream_->avail_out;
    } while (stream_->avail_out == 0 || stream_->avail_in > 0);
    out.resize(used);
  }

 private:
  std::vector<std::uint8_t> tables_;
  std::unique_ptr<isal_zstream> stream_;
};

class DenseDeflater final : public BlockDeflater {
 public:
  explicit DenseDeflater(int level) {
    constexpr int window_bits_raw = -15;
    const int outcome = ::deflateInit2(&stream_, level, Z_DEFLATED, window_bits_raw, 8, Z_DEFAULT_STRATEGY);
    CHECK(outcome == Z_OK, "deflateInit2: {}", outcome);
  }
  ~DenseDeflater() override { ::deflateEnd(&stream_); }
  DenseDeflater(const DenseDeflater&) = delete;
  DenseDeflater& operator=(const DenseDeflater&) = delete;

  void deflate(std::string_view block, std::string& out) override {
    CHECK(::deflateReset(&stream_) == Z_OK);
    // zlib does not write to its input, it only lacks the const.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
    stream_.avail_in = static_cast<uInt>(block.size());
    start_output(block.size(), out);
    std::size_t used = 0;
    do {
      if (used == out.size()) grow_output(used, out);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + used);
      stream_.avail_out = static_cast<uInt>(out.size() - used);
      const int outcome = ::deflate(&stream_, Z_SYNC_FLUSH);
      CHECK(outcome == Z_OK || outcome == Z_BUF_ERROR, "deflate: {}", outcome);  // the latter: nothing was left to do
      used = out.size() - stream_.avail_out;
    } while (stream_.avail_out == 0);
    out.resize(used);
  }

 private:
  z_stream stream_ = {};
};

}  // namespace

std::unique_ptr<BlockDeflater> make_block_deflater(int level) {
  if (level >= 6) return std::make_unique<DenseDeflater>(level);
  return std::make_unique<FastDeflater>(level);
}

std::uint32_t crc32_of(std::string_view block) {
  return crc32_gzip_refl(0, reinterpret_cast<const unsigned char*>(block.data()), block.size());
}

std::uint32_t crc32_joined(std::uint32_t first, std::uint32_t second, std::uint64_t size) {
  return static_cast<std::uint32_t>(::crc32_combine(first, second, static_cast<z_off_t>(size)));
}

}  // namespace cairn::base
