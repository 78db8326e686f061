// SPDX-License-Identifier: Apache-2.0
// gzip out of isa-l, which checks each member's CRC and length itself. Headers are read apart from the contents: asked
// to do both (ISAL_GZIP), isa-l 2.30 forgets the flags of a header that two pieces of input share.
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
    state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
    begin_member();
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
        begin_member();
      }
      if (in_header_) TRY(read_header());
      const std::size_t count = in_header_ ? 0 : TRY(inflate(out.subspan(filled)));
      filled += count;
      const bool stuck = count == 0 && state_->avail_in == 0 && input_.ended();
      if (stuck && state_->block_state != ISAL_BLOCK_FINISH) return fail(ErrorCode::corrupt, "gzip: truncated");
    }
    return filled;
  }

 private:
  void begin_member() {
    isal_inflate_reset(state_.get());
    header_ = {};
    isal_gzip_header_init(&header_);
    in_header_ = true;
  }

  // Reads on until the header or the input ends.
  Status read_header() {
    const int outcome = isal_read_gzip_header(state_.get(), &header_);
    if (outcome < 0) return fail(ErrorCode::corrupt, "gzip: {}", reason_of(outcome));
    CHECK(outcome == ISAL_DECOMP_OK || (outcome == ISAL_END_INPUT && state_->avail_in == 0), "isa-l: {}", outcome);
    in_header_ = outcome == ISAL_END_INPUT;
    return {};
  }

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
  isal_gzip_header header_;  // its texts are not wanted, its flags are while it is read
  bool in_header_ = true;
};

}  // namespace

std::unique_ptr<ByteSource> make_gzip_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<GzipDecoder>(std::move(source));
}

}  // namespace cairn::base
