// SPDX-License-Identifier: Apache-2.0
// The other compression door: formats that archives of users come in, which are only read. Layers are never in them, so
// they are not among those of decoder.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "libbase/compress/decoder.h"

namespace cairn::base {

enum class ArchiveCompression { none, gzip, zstd, xz, bzip2 };

// By magic bytes, of which 6 are enough; anything unknown is `none`.
ArchiveCompression detect_archive_compression(std::string_view first_bytes);

// As make_decoder, of several xz or bzip2 streams in a row, too; xz may have its padding behind each. Errors:
// invalid_argument for an xz dictionary above 128 MiB, and for a kind of check that liblzma does not know. Memory: xz takes
// its dictionary, bzip2 4 MiB.
std::unique_ptr<ByteSource> make_archive_decoder(ArchiveCompression compression, std::unique_ptr<ByteSource> source,
                                                 std::uint64_t output_max);

}  // namespace cairn::base
