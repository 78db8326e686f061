// SPDX-License-Identifier: Apache-2.0
// gzip into isa-l (fast) or zlib (dense). Both write a header without a name and a time, so that equal input gives
// equal output with one version of the library.
#include <isa-l/igzip_lib.h>
#include <zlib.h>

#include <algorithm>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

constexpr std::size_t piece_max = 1u << 30;  // both libraries count with 32 bits

class FastGzipEncoder final : public Encoder {
 public:
  FastGzipEncoder(Sink sink, int level) : output_(std::move(sink)), stream_(std::make_unique<isal_zstream>()) {
    // Level 0 of isa-l is hardly faster than 1 and less dense; 3 is as slow as zlib.
    const bool fastest = level == 1;
    level_buffer_.resize(fastest ? ISAL_DEF_LVL1_DEFAULT : ISAL_DEF_LVL2_DEFAULT);
    isal_deflate_init(stream_.get());
    stream_->level = fastest ? 1 : 2;
    stream_->level_buf = level_buffer_.data();
    stream_->level_buf_size = static_cast<std::uint32_t>(level_buffer_.size());
    stream_->gzip_flag = IGZIP_GZIP;
    stream_->flush = NO_FLUSH;
  }

  Status write(std::string_view bytes) override {
    CHECK(stream_->end_of_stream == 0, "write after finish");
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, piece_max);
      bytes.remove_prefix(piece.size());
      // isa-l does not write to its input, it only lacks the const.
      stream_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(piece.data()));
      stream_->avail_in = static_cast<std::uint32_t>(piece.size());
      while (stream_->avail_in > 0) TRY(deflate_some());
    }
    return {};
  }

  Status finish() override {
    CHECK(stream_->end_of_stream == 0, "finish twice");
    stream_->end_of_stream = 1;
    stream_->avail_in = 0;
    while (stream_->internal_state.state != ZSTATE_END) TRY(deflate_some());
    return output_.flush();
  }

 private:
  Status deflate_some() {
    const std::span<char> room = output_.room();
    stream_->next_out = reinterpret_cast<std::uint8_t*>(room.data());
    stream_->avail_out = static_cast<std::uint32_t>(room.size());
    const int outcome = isal_deflate(stream_.get());
    CHECK(outcome == COMP_OK, "isal_deflate: {}", outcome);  // its errors are all of the caller's making
    return output_.advance(room.size() - stream_->avail_out);
  }

  CodecOutput output_;
  std::vector<std::uint8_t> level_buffer_;
  std::unique_ptr<isal_zstream> stream_;
};

class DenseGzipEncoder final : public Encoder {
 public:
  DenseGzipEncoder(Sink sink, int level) : output_(std::move(sink)) {
    constexpr int window_bits_gzip = 15 + 16;
    const int outcome = ::deflateInit2(&stream_, level, Z_DEFLATED, window_bits_gzip, 8, Z_DEFAULT_STRATEGY);
    CHECK(outcome == Z_OK, "deflateInit2: {}", outcome);
  }
  ~DenseGzipEncoder() override { ::deflateEnd(&stream_); }
  DenseGzipEncoder(const DenseGzipEncoder&) = delete;
  DenseGzipEncoder& operator=(const DenseGzipEncoder&) = delete;

  Status write(std::string_view bytes) override {
    CHECK(!finished_, "write after finish");
    while (!bytes.empty()) {
      const std::string_view piece = bytes.substr(0, piece_max);
      bytes.remove_prefix(piece.size());
      // zlib does not write to its input, it only lacks the const.
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
      stream_.avail_in = static_cast<uInt>(piece.size());
      while (stream_.avail_in > 0) TRY(deflate_some(Z_NO_FLUSH));
    }
    return {};
  }

  Status finish() override {
    CHECK(!finished_, "finish twice");
    finished_ = true;
    while (TRY(deflate_some(Z_FINISH)) != Z_STREAM_END) {}
    return output_.flush();
  }

 private:
  Result<int> deflate_some(int flush) {
    const std::span<char> room = output_.room();
    stream_.next_out = reinterpret_cast<Bytef*>(room.data());
    stream_.avail_out = static_cast<uInt>(room.size());
    const int outcome = ::deflate(&stream_, flush);
    CHECK(outcome == Z_OK || outcome == Z_STREAM_END, "deflate: {}", outcome);
    TRY(output_.advance(room.size() - stream_.avail_out));
    return outcome;
  }

  CodecOutput output_;
  z_stream stream_ = {};
  bool finished_ = false;
};

}  // namespace

std::unique_ptr<Encoder> make_fast_gzip_encoder(Encoder::Sink sink, int level) {
  return std::make_unique<FastGzipEncoder>(std::move(sink), level);
}

std::unique_ptr<Encoder> make_dense_gzip_encoder(Encoder::Sink sink, int level) {
  return std::make_unique<DenseGzipEncoder>(std::move(sink), level);
}

}  // namespace cairn::base
