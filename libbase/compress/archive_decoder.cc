// SPDX-License-Identifier: Apache-2.0
#include "libbase/compress/archive_decoder.h"

#include "libbase/compress/codecs.h"

namespace cairn::base {

ArchiveCompression detect_archive_compression(std::string_view first_bytes) {
  if (first_bytes.starts_with(std::string_view("\xfd" "7zXZ\0", 6))) return ArchiveCompression::xz;
  if (first_bytes.starts_with("BZh")) return ArchiveCompression::bzip2;
  switch (detect_compression(first_bytes)) {
    case Compression::none: break;
    case Compression::gzip: return ArchiveCompression::gzip;
    case Compression::zstd: return ArchiveCompression::zstd;
  }
  return ArchiveCompression::none;
}

std::unique_ptr<ByteSource> make_archive_decoder(ArchiveCompression compression, std::unique_ptr<ByteSource> source,
                                                 std::uint64_t output_max) {
  switch (compression) {
    case ArchiveCompression::none: return make_decoder(Compression::none, std::move(source), output_max);
    case ArchiveCompression::gzip: return make_decoder(Compression::gzip, std::move(source), output_max);
    case ArchiveCompression::zstd: return make_decoder(Compression::zstd, std::move(source), output_max);
    case ArchiveCompression::xz: source = make_xz_decoder(std::move(source)); break;
    case ArchiveCompression::bzip2: source = make_bzip2_decoder(std::move(source)); break;
  }
  return make_bounded(std::move(source), output_max);
}

}  // namespace cairn::base
