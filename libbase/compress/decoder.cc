// SPDX-License-Identifier: Apache-2.0
// The choice of a format, what all formats share (the bound on the output, errors that stay), and the one-shot forms.
#include "libbase/compress/decoder.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "libbase/compress/codecs.h"

namespace cairn::base {

namespace {

// Counts what comes out, and repeats its first error for ever: a reader that goes on must not take it for the end.
class BoundedSource final : public ByteSource {
 public:
  BoundedSource(std::unique_ptr<ByteSource> inner, std::uint64_t size_max)
      : inner_(std::move(inner)), left_(size_max) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    if (error_) return tl::unexpected(*error_);
    // With one byte of room beyond the bound, too much is told from just enough.
    if (out.size() > left_) out = out.first(static_cast<std::size_t>(left_) + 1);
    Result<std::size_t> count = inner_->read(out);
    if (count && *count > left_) count = fail(ErrorCode::invalid_argument, "decompress: more bytes than allowed");
    if (!count) {
      error_ = count.error();
      return count;
    }
    left_ -= *count;
    return count;
  }

 private:
  std::unique_ptr<ByteSource> inner_;
  std::uint64_t left_;
  std::optional<Error> error_;
};

class StringSource final : public ByteSource {
 public:
  explicit StringSource(std::string_view bytes) : rest_(bytes) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min(out.size(), rest_.size());
    if (count > 0) std::memcpy(out.data(), rest_.data(), count);
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
};

class PlainEncoder final : public Encoder {
 public:
  explicit PlainEncoder(Sink sink) : sink_(std::move(sink)) {}
  Status write(std::string_view bytes) override { return bytes.empty() ? Status() : sink_(bytes); }
  Status finish() override { return {}; }

 private:
  Sink sink_;
};

}  // namespace

Compression detect_compression(std::string_view first_bytes) {
  if (first_bytes.size() < 4) return Compression::none;
  if (first_bytes.starts_with("\x1f\x8b\x08")) return Compression::gzip;
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return Compression::zstd;
  // A skippable frame: a zstd stream may begin with one.
  if ((first_bytes[0] & 0xf0) == 0x50 && first_bytes.substr(1).starts_with("\x2a\x4d\x18")) return Compression::zstd;
  return Compression::none;
}

std::unique_ptr<ByteSource> make_bounded(std::unique_ptr<ByteSource> decoder, std::uint64_t output_max) {
  return std::make_unique<BoundedSource>(std::move(decoder), output_max);
}

std::unique_ptr<ByteSource> make_decoder(Compression compression, std::unique_ptr<ByteSource> source,
                                         std::uint64_t output_max) {
  switch (compression) {
    case Compression::none: break;
    case Compression::gzip: source = make_gzip_decoder(std::move(source)); break;
    case Compression::zstd: source = make_zstd_decoder(std::move(source)); break;
  }
  return make_bounded(std::move(source), output_max);
}

std::unique_ptr<Encoder> make_encoder(Compression compression, Encoder::Sink sink, int level) {
  return make_parallel_encoder(compression, std::move(sink), level, 0);
}

std::unique_ptr<Encoder> make_parallel_encoder(Compression compression, Encoder::Sink sink, int level,
                                               unsigned threads) {
  switch (compression) {
    case Compression::none: break;
    case Compression::gzip: return make_gzip_encoder(std::move(sink), std::clamp(level, 0, 9), threads);
    case Compression::zstd: return make_zstd_encoder(std::move(sink), level, threads);
  }
  return std::make_unique<PlainEncoder>(std::move(sink));
}

Result<std::string> compress(Compression compression, std::string_view bytes, int level) {
  std::string out;
  const auto sink = [&out](std::string_view piece) -> Status {
    out += piece;
    return {};
  };
  const std::unique_ptr<Encoder> encoder = make_encoder(compression, sink, level);
  TRY(encoder->write(bytes));
  TRY(encoder->finish());
  return out;
}

Result<std::string> decompress(Compression compression, std::string_view bytes, std::uint64_t output_max) {
  const auto decoder = make_decoder(compression, std::make_unique<StringSource>(bytes), output_max);
  std::string out;
  std::size_t used = 0;
  while (true) {
    if (used == out.size()) out.resize(std::max<std::size_t>(4096, 2 * used));
    const std::size_t count = TRY(decoder->read(std::as_writable_bytes(std::span(out)).subspan(used)));
    if (count == 0) break;
    used += count;
  }
  out.resize(used);
  return out;
}

}  // namespace cairn::base
