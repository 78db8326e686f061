// SPDX-License-Identifier: Apache-2.0
// The compression door: gzip (isa-l, falling back to nothing) and zstd behind one streaming interface each way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::base {

enum class Compression { none, gzip, zstd };

// By magic bytes; fewer than 4 bytes or anything unknown is `none`.
Compression detect_compression(std::string_view first_bytes);

// A pull stream: read() fills as much of `out` as it can and returns the count; 0 is the end.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual Result<std::size_t> read(std::span<std::byte> out) = 0;
};

// Decompresses `source` (which it owns). Several gzip members or zstd frames in a row are one stream. Output beyond
// output_max bytes is an error (zip bombs): invalid_argument. Truncated or damaged input: corrupt. The window of zstd
// is capped at 128 MiB.
std::unique_ptr<ByteSource> make_decoder(Compression compression, std::unique_ptr<ByteSource> source,
                                         std::uint64_t output_max);

// The whole of `bytes` at once, for small things and tests. level: 0 = the default of the format.
Result<std::string> compress(Compression compression, std::string_view bytes, int level = 0);
Result<std::string> decompress(Compression compression, std::string_view bytes, std::uint64_t output_max);

// A push stream: bytes written come out compressed at `sink`; finish() writes the trailer.
class Encoder {
 public:
  using Sink = std::function<Status(std::string_view)>;
  virtual ~Encoder() = default;
  virtual Status write(std::string_view bytes) = 0;
  virtual Status finish() = 0;
};
std::unique_ptr<Encoder> make_encoder(Compression compression, Encoder::Sink sink, int level = 0);

}  // namespace cairn::base
