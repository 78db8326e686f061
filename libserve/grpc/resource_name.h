// SPDX-License-Identifier: Apache-2.0
// Names of blobs in ByteStream, parsed once at the edge.
//   read   [INSTANCE/]blobs/[sha256/]HASH/SIZE          [INSTANCE/]compressed-blobs/zstd/[sha256/]HASH/SIZE
//   write  [INSTANCE/]uploads/UUID/ + one of these, and what a client likes to say behind them
// (Remote Execution API v2, ByteStream.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libserve/reapi/closure.h"

namespace cairn::serve {

struct ResourceName {
  std::string instance{};
  std::string upload{};  // of a write: the UUID
  base::Compression compression = base::Compression::none;
  SizedDigest blob;  // size: of what is not compressed
};

// Errors: invalid_argument (another form, another digest function or compressor, a hash of capitals, a size with a
// sign).
base::Result<ResourceName> parse_read_name(std::string_view name);
base::Result<ResourceName> parse_write_name(std::string_view name);

// An instance name, or empty. Errors: invalid_argument (a segment that is empty, `.`, `..` or a word of resource names;
// too long; control characters).
base::Result<std::string> parse_instance(std::string_view name);
base::Status expect_instance(std::string_view name);  // the same, without a copy
// A hash and a size. Errors: invalid_argument.
base::Result<SizedDigest> parse_digest(std::string_view hash, std::int64_t size);

}  // namespace cairn::serve
