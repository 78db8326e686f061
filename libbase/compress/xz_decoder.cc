// SPDX-License-Identifier: Apache-2.0
// xz out of liblzma, which itself reads streams in a row and the padding behind them.
#include <lzma.h>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

// What a file of unknown origin may make us allocate: a dictionary of 128 MiB and what liblzma needs beside it.
constexpr std::uint64_t memory_max = (128 << 20) + (1 << 20);

class XzDecoder final : public ByteSource {
 public:
  explicit XzDecoder(std::unique_ptr<ByteSource> source) : input_(std::move(source)) {
    const lzma_ret begun = lzma_stream_decoder(&state_, memory_max, LZMA_CONCATENATED | LZMA_TELL_UNSUPPORTED_CHECK);
    CHECK(begun == LZMA_OK, "liblzma does not begin: {}", static_cast<int>(begun));
  }
  ~XzDecoder() override { lzma_end(&state_); }
  XzDecoder(const XzDecoder&) = delete;
  XzDecoder& operator=(const XzDecoder&) = delete;

  Result<std::size_t> read(std::span<std::byte> out) override {
    state_.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    state_.avail_out = out.size();
    while (state_.avail_out > 0 && !ended_) {
      if (state_.avail_in == 0 && !input_.ended()) {
        const std::span<std::byte> piece = TRY(input_.next());
        state_.next_in = reinterpret_cast<const std::uint8_t*>(piece.data());
        state_.avail_in = piece.size();
      }
      // Told that there is no more, it says whether the last stream was whole.
      const lzma_ret outcome = lzma_code(&state_, input_.ended() ? LZMA_FINISH : LZMA_RUN);
      if (outcome == LZMA_STREAM_END) ended_ = true;
      else if (outcome != LZMA_OK) return error_of(outcome);
    }
    return out.size() - state_.avail_out;
  }

 private:
  static tl::unexpected<Error> error_of(lzma_ret outcome) {
    switch (outcome) {
      case LZMA_MEMLIMIT_ERROR: return fail(ErrorCode::invalid_argument, "xz: a dictionary above {} MiB", (memory_max >> 20) - 1);
      case LZMA_UNSUPPORTED_CHECK: return fail(ErrorCode::invalid_argument, "xz: a kind of check that is not known");
      case LZMA_OPTIONS_ERROR: return fail(ErrorCode::invalid_argument, "xz: filters that are not known");
      case LZMA_MEM_ERROR: return fail(ErrorCode::io, "xz: out of memory");
      case LZMA_FORMAT_ERROR: return fail(ErrorCode::corrupt, "xz: something else than xz");
      case LZMA_BUF_ERROR: return fail(ErrorCode::corrupt, "xz: truncated");
      default: return fail(ErrorCode::corrupt, "xz: invalid data");
    }
  }

  CodecInput input_;
  lzma_stream state_ = LZMA_STREAM_INIT;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> make_xz_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<XzDecoder>(std::move(source));
}

}  // namespace cairn::base
