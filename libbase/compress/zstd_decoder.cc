// SPDX-License-Identifier: Apache-2.0
// zstd out of libzstd. Frames in a row are one stream; the library itself passes over skippable ones.
#include <zstd.h>
#include <zstd_errors.h>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

constexpr int window_log_max = 27;  // 128 MiB: what an untrusted frame may make us allocate

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
      if (piece_.pos == piece_.size && !input_.ended()) {
        const std::span<std::byte> piece = TRY(input_.next());
        piece_ = {piece.data(), piece.size(), 0};
      }
      // Between frames, and only there, a call without input would begin a frame that never comes.
      if (between_frames_ && piece_.pos == piece_.size) break;
      const std::size_t filled_before = target.pos;
      const std::size_t outcome = ZSTD_decompressStream(context_.get(), &target, &piece_);
      if (ZSTD_isError(outcome)) return error_of(outcome);
      between_frames_ = outcome == 0;
      const bool stuck = target.pos == filled_before && piece_.pos == piece_.size && input_.ended();
      if (stuck && !between_frames_) return fail(ErrorCode::corrupt, "zstd: truncated");
    }
    return target.pos;
  }

 private:
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
  bool between_frames_ = false;  // not before the first frame: no frame at all is not a stream
};

}  // namespace

std::unique_ptr<ByteSource> make_zstd_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<ZstdDecoder>(std::move(source));
}

}  // namespace cairn::base
