// SPDX-License-Identifier: Apache-2.0
// Blobs named by their SHA-256. Bytes are hashed when they enter; a blob with other bytes than its name says never gets
// one (I2). Small blobs lie in packs, large ones are files (docs/formats/packs.md) or chunks (options.h); a row makes a blob
// exist (I1).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/compress/decoder.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

struct BlobInfo {
  BlobDigest digest;
  std::uint64_t size = 0;             // bytes of content
  std::int64_t allocated_bytes = 0;  // on disk; 0 of one in chunks, which are blobs of their own
};

// Bytes of a blob; what is behind its end is left out.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = ~std::uint64_t{0};
};

// Thread-safe.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  // Takes all bytes of source. expected (if given) is compared: corrupt, and nothing is kept. A blob that exists already
  // is success and adds no row. Usable at once; durable with the returned sequence number (0: already durable): many
  // puts on the way at once share the syncs of their group. If several threads put one blob and say which (expected, or
  // bytes in memory), one of them works and the others wait for what comes of it.
  // A blob that no record names (Publication::add_blob) is kept while the process lives that put it, then a prune may
  // take it. Errors: corrupt, no_space, io, and those of source.
  struct Put {
    BlobInfo info;
    base::lmdb::SequenceNumber sequence = 0;
  };
  virtual base::Result<Put> put(base::ByteSource& source, std::optional<BlobDigest> expected) = 0;
  virtual base::Result<Put> put(std::string_view bytes, std::optional<BlobDigest> expected = {}) = 0;
  virtual base::Result<std::optional<BlobInfo>> find(const BlobDigest& digest) = 0;
  // Errors of open, open_range and read: not_found; corrupt (the bytes are not the blob's any more); read:
  // invalid_argument (larger than size_max); open_range: invalid_argument (it begins behind the end).
  // The bytes, verified against the name while read; a mismatch is corrupt at the end of the stream.
  virtual base::Result<std::unique_ptr<base::ByteSource>> open(const BlobDigest& digest) = 0;
  // A part, verified piece by piece of 64 KiB before any byte of it is given out. Costs what the part costs; of a blob
  // that an older version stored as a file, a read of the whole.
  virtual base::Result<std::unique_ptr<base::ByteSource>> open_range(const BlobDigest& digest, ByteRange range) = 0;
  virtual base::Result<std::string> read(const BlobDigest& digest, std::size_t size_max) = 0;
};

}  // namespace cairn::cache
