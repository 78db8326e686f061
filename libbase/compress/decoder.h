// SPDX-License-Identifier: Apache-2.0
// The compression door: gzip and zstd behind one streaming interface each way.
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

// Decompresses `source` (which it owns). Several gzip members or zstd frames in a row are one stream; at least one is
// wanted, so no bytes at all are `corrupt` too (`none` passes everything on). Errors: invalid_argument (output beyond
// output_max bytes, or a zstd window above 128 MiB: zip bombs), corrupt (truncated, damaged, or with something else
// behind it), and those of the source. After an error every read repeats it. Memory: about 0.3 MiB, and the window.
std::unique_ptr<ByteSource> make_decoder(Compression compression, std::unique_ptr<ByteSource> source,
                                         std::uint64_t output_max);

// The whole of `bytes` at once, for small things and tests. level: as for make_encoder.
Result<std::string> compress(Compression compression, std::string_view bytes, int level = 0);
Result<std::string> decompress(Compression compression, std::string_view bytes, std::uint64_t output_max);

// A push stream: bytes written come out compressed at `sink`; finish() writes the trailer and must be the last call.
// Without it the output is truncated. An error is one of the sink's; the encoder is of no use afterwards.
class Encoder {
 public:
  using Sink = std::function<Status(std::string_view)>;
  virtual ~Encoder() = default;
  virtual Status write(std::string_view bytes) = 0;
  virtual Status finish() = 0;
};
// level: 0 is the default of the format. gzip: 1 to 5 are fast (isa-l), 6 to 9 dense (zlib, 10 times slower); zstd: its
// own. Levels out of the range are taken as the nearest. The same input gives the same output only with the same
// versions of the libraries: never take a compressed digest for granted.
std::unique_ptr<Encoder> make_encoder(Compression compression, Encoder::Sink sink, int level = 0);
// The same, compressing on threads of its own (0: none; `none` needs none). The sink is called on the threads that call
// write() and finish(). The output is one gzip member, or one zstd frame, and the same for any number of threads from 1
// on. Memory: about 8 MiB a thread, for zstd 16 MiB (level 3) and more.
std::unique_ptr<Encoder> make_parallel_encoder(Compression compression, Encoder::Sink sink, int level,
                                               unsigned threads);

}  // namespace cairn::base
