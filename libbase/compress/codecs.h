// SPDX-License-Identifier: Apache-2.0
// What each format offers to the doors (decoder.h, archive_decoder.h). For the files of this room only.
#pragma once

#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "libbase/compress/decoder.h"

namespace cairn::base {

// Without the bound on the output; after an error they must not be read again.
std::unique_ptr<ByteSource> make_gzip_decoder(std::unique_ptr<ByteSource> source);
std::unique_ptr<ByteSource> make_zstd_decoder(std::unique_ptr<ByteSource> source);
std::unique_ptr<ByteSource> make_xz_decoder(std::unique_ptr<ByteSource> source);
std::unique_ptr<ByteSource> make_bzip2_decoder(std::unique_ptr<ByteSource> source);
// Adds it (invalid_argument beyond output_max bytes), and repeats the first error for ever.
std::unique_ptr<ByteSource> make_bounded(std::unique_ptr<ByteSource> decoder, std::uint64_t output_max);

// Level as in decoder.h, within the range of the format.
// threads: that compress; 0 for the one that writes.
std::unique_ptr<Encoder> make_gzip_encoder(Encoder::Sink sink, int level, unsigned threads);
std::unique_ptr<Encoder> make_zstd_encoder(Encoder::Sink sink, int level, unsigned threads);

inline constexpr std::size_t codec_buffer_size = 128 * 1024;

// Compressed bytes of a source, a piece at a time.
class CodecInput {
 public:
  explicit CodecInput(std::unique_ptr<ByteSource> source) : source_(std::move(source)), buffer_(codec_buffer_size) {}

  // The next piece; empty once the source has ended. The last piece is overwritten.
  Result<std::span<std::byte>> next() { return extend({}, 1); }
  // What is left of the last piece and more behind it: at least `count` bytes, unless the source ends before.
  Result<std::span<std::byte>> extend(std::span<const std::byte> rest, std::size_t count) {
    if (!rest.empty()) std::memmove(buffer_.data(), rest.data(), rest.size());
    std::size_t size = rest.size();
    while (size < count && !ended_) {
      const std::size_t more = TRY(source_->read(std::span(buffer_).subspan(size)));
      ended_ = more == 0;
      size += more;
    }
    return std::span(buffer_).first(size);
  }
  bool ended() const { return ended_; }

 private:
  std::unique_ptr<ByteSource> source_;
  std::vector<std::byte> buffer_;
  bool ended_ = false;
};

// Where an encoder writes, so that the sink sees large pieces.
class CodecOutput {
 public:
  explicit CodecOutput(Encoder::Sink sink) : sink_(std::move(sink)), buffer_(codec_buffer_size) {}

  std::span<char> room() { return std::span(buffer_).subspan(used_); }
  // `count` bytes of the room have been written. There is room again afterwards.
  Status advance(std::size_t count) {
    used_ += count;
    return used_ == buffer_.size() ? flush() : Status();
  }
  Status flush() {
    if (used_ == 0) return {};
    const std::string_view bytes(buffer_.data(), used_);
    used_ = 0;
    return sink_(bytes);
  }

 private:
  Encoder::Sink sink_;
  std::vector<char> buffer_;
  std::size_t used_ = 0;
};

}  // namespace cairn::base
