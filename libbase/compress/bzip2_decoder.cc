// SPDX-License-Identifier: Apache-2.0
// bzip2 out of libbz2, which knows one stream: those in a row are begun here.
#include <bzlib.h>

#include <algorithm>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

class Bzip2Decoder final : public ByteSource {
 public:
  explicit Bzip2Decoder(std::unique_ptr<ByteSource> source) : input_(std::move(source)) {}
  ~Bzip2Decoder() override { end_stream(); }
  Bzip2Decoder(const Bzip2Decoder&) = delete;
  Bzip2Decoder& operator=(const Bzip2Decoder&) = delete;

  Result<std::size_t> read(std::span<std::byte> out) override {
    std::size_t filled = 0;
    while (filled < out.size()) {
      if (state_.avail_in == 0 && !input_.ended()) {
        const std::span<std::byte> piece = TRY(input_.next());
        state_.next_in = reinterpret_cast<char*>(piece.data());
        state_.avail_in = static_cast<unsigned>(piece.size());
      }
      const bool at_end = state_.avail_in == 0 && input_.ended();
      if (!in_stream_) {
        if (at_end && had_stream_) break;
        TRY(begin_stream());
      }
      const std::size_t count = TRY(decompress(out.subspan(filled)));
      filled += count;
      if (at_end && count == 0 && in_stream_) return fail(ErrorCode::corrupt, "bzip2: truncated");
    }
    return filled;
  }

 private:
  Status begin_stream() {
    char* const next = state_.next_in;
    const unsigned left = state_.avail_in;
    state_ = {};
    if (BZ2_bzDecompressInit(&state_, 0, 0) != BZ_OK) return fail(ErrorCode::io, "bzip2: out of memory");
    state_.next_in = next;
    state_.avail_in = left;
    in_stream_ = true;
    return {};
  }
  void end_stream() {
    if (in_stream_) BZ2_bzDecompressEnd(&state_);
    in_stream_ = false;
  }

  Result<std::size_t> decompress(std::span<std::byte> out) {
    const auto room = static_cast<unsigned>(std::min<std::size_t>(out.size(), 1u << 30));
    state_.next_out = reinterpret_cast<char*>(out.data());
    state_.avail_out = room;
    const int outcome = BZ2_bzDecompress(&state_);
    const std::size_t count = room - state_.avail_out;
    switch (outcome) {
      case BZ_OK: return count;
      case BZ_STREAM_END: {
        end_stream();
        had_stream_ = true;
        return count;
      }
      case BZ_MEM_ERROR: return fail(ErrorCode::io, "bzip2: out of memory");
      case BZ_DATA_ERROR_MAGIC: return fail(ErrorCode::corrupt, "bzip2: something else than bzip2");
      default: return fail(ErrorCode::corrupt, "bzip2: invalid data");
    }
  }

  CodecInput input_;
  bz_stream state_ = {};
  bool in_stream_ = false, had_stream_ = false;
};

}  // namespace

std::unique_ptr<ByteSource> make_bzip2_decoder(std::unique_ptr<ByteSource> source) {
  return std::make_unique<Bzip2Decoder>(std::move(source));
}

}  // namespace cairn::base
