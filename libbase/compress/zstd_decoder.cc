// SPDX-License-Identifier: Apache-2.0
// zstd out of libzstd. Frames in a row are one stream; the library itself passes over skippable ones.
#include <zstd.h>
#include <zstd_errors.h>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

constexpr std::size_t header_size_max = 18;  // RFC 8878, 3.1.1: the magic number and the frame header
constexpr int window_log_max = 27;           // 128 MiB: what an untrusted frame may make us allocate

struct FreeContext {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

class ZstdDecoder final : public ByteSource {
 public:
  explicit ZstdDecoder(std::unique_ptr<ByteSource> source) : input_(std::move(source)), context_(ZSTD_createDCtx()) {
    CHECK(context_ != nullptr, "out of memory");
    CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_max)));
  }

  Result<std::size_t> read(std::span<std::byte> out) override {
    ZSTD_outBuffer target = {out.data(), out.size(), 0};
    while (target.pos < target.size) {
      if (!in_frame_) TRY(begin_frame());
      if (!in_frame_) break;
      if (piece_.pos == piece_.size && !input_.ended()) set_piece(TRY(input_.next()));
      const std::size_t filled_before = target.pos;
      const std::size_t outcome = ZSTD_decompressStream(context_.get(), &target, &piece_);
      if (ZSTD_isError(outcome)) return error_of(outcome);
      frame_size_ += target.pos - filled_before;
      if (outcome == 0) {
        TRY(end_frame());
      } else if (target.pos == filled_before && piece_.pos == piece_.size && input_.ended()) {
        return fail(ErrorCode::corrupt, "zstd: truncated");
      }
    }
    return target.pos;
  }

 private:
  void set_piece(std::span<const std::byte> piece) { piece_ = {piece.data(), piece.size(), 0}; }

  // Enters the frame that follows, if any does. No frame at all is not a stream.
  Status begin_frame() {
    const std::span<const std::byte> rest(static_cast<const std::byte*>(piece_.src) + piece_.pos,
                                          piece_.size - piece_.pos);
    if (rest.size() < header_size_max) set_piece(TRY(input_.extend(rest, header_size_max)));
    if (piece_.pos == piece_.size && had_frame_) return {};
    in_frame_ = true;
    frame_size_ = 0;
    frame_size_said_ =
        ZSTD_getFrameContentSize(static_cast<const std::byte*>(piece_.src) + piece_.pos, piece_.size - piece_.pos);
    return {};
  }

  // libzstd 1.5.4 overlooks a wrong content size when the last block is empty, depending on how the input is cut.
  Status end_frame() {
    const bool is_known = frame_size_said_ != ZSTD_CONTENTSIZE_UNKNOWN && frame_size_said_ != ZSTD_CONTENTSIZE_ERROR;
    if (is_known && frame_size_said_ != frame_size_) {
      return fail(ErrorCode::corrupt, "zstd: a frame of {} bytes says {}", frame_size_, frame_size_said_);
    }
    in_frame_ = false;
    had_frame_ = true;
    return {};
  }

  static tl::unexpected<Error> error_of(std::size_t outcome) {
    switch (ZSTD_getErrorCode(outcome)) {
      case ZSTD_error_frameParameter_windowTooLarge:
        return fail(ErrorCode::invalid_argument, "zstd: a window above {} MiB", 1 << (window_log_max - 20));
      case ZSTD_error_memory_allocation: return fail(ErrorCode::io, "zstd: out of memory");
      default: return fail(ErrorCode::corrupt, "zstd: {}", ZSTD_getErrorName(outcome));
    }
  }

  CodecInput input_;
  std::unique_ptr<ZSTD_DCtx, FreeContext> context_;
  ZSTD_inBuffer piece_ = {nullptr, 0, 0};
  bool in_frame_ = false, had_frame_ = false;
  std::uint64_t frame_size_ = 0;  // of the current frame, until now
  std::uint64_t frame_size_said_ = 0;
};

}  // namespace

std::unique_ptr<ByteSource> make_zstd_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<ZstdDecoder>(std::move(source));
}

}  // namespace cairn::base
