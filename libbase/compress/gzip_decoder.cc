// SPDX-License-Identifier: Apache-2.0
// gzip out of isa-l, which checks each member's CRC and length itself.
#include <isa-l/igzip_lib.h>

#include <algorithm>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

std::string_view reason_of(int outcome) {
  switch (outcome) {
    case ISAL_INVALID_BLOCK: return "invalid block";
    case ISAL_INVALID_SYMBOL: return "invalid symbol";
    case ISAL_INVALID_LOOKBACK: return "reference before the start";
    case ISAL_INVALID_WRAPPER: return "invalid header";
    case ISAL_UNSUPPORTED_METHOD: return "unknown method";
    case ISAL_INCORRECT_CHECKSUM: return "wrong checksum";
    default: return "invalid data";
  }
}

class GzipDecoder final : public ByteSource {
 public:
  explicit GzipDecoder(std::unique_ptr<ByteSource> source)
      : input_(std::move(source)), state_(std::make_unique<inflate_state>()) {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  Result<std::size_t> read(std::span<std::byte> out) override {
    std::size_t filled = 0;
    while (filled < out.size()) {
      if (state_->avail_in == 0 && !input_.ended()) {
        const std::span<std::byte> piece = TRY(input_.next());
        state_->next_in = reinterpret_cast<std::uint8_t*>(piece.data());
        state_->avail_in = static_cast<std::uint32_t>(piece.size());
      }
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        if (state_->avail_in == 0) break;
        isal_inflate_reset(state_.get());  // another member follows
      }
      const std::size_t count = TRY(inflate(out.subspan(filled)));
      filled += count;
      const bool stuck = count == 0 && state_->avail_in == 0 && input_.ended();
      if (stuck && state_->block_state != ISAL_BLOCK_FINISH) return fail(ErrorCode::corrupt, "gzip: truncated");
    }
    return filled;
  }

 private:
  Result<std::size_t> inflate(std::span<std::byte> out) {
    const auto room = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), 1u << 30));
    state_->next_out = reinterpret_cast<std::uint8_t*>(out.data());
    state_->avail_out = room;
    const int outcome = isal_inflate(state_.get());
    if (outcome != ISAL_DECOMP_OK) return fail(ErrorCode::corrupt, "gzip: {}", reason_of(outcome));
    return room - state_->avail_out;
  }

  CodecInput input_;
  std::unique_ptr<inflate_state> state_;
};

}  // namespace

std::unique_ptr<ByteSource> make_gzip_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<GzipDecoder>(std::move(source));
}

}  // namespace cairn::base
