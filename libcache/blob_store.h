// SPDX-License-Identifier: Apache-2.0
// Blobs named by their SHA-256. Bytes are hashed when they enter; a blob with other bytes than its name says never gets
// one (I2). A blob lives as a file under blobs/sha256/<2 hex>/<hex>; its row makes it exist (I1).
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
  std::int64_t allocated_bytes = 0;  // on disk
};

// Thread-safe.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  // Takes all bytes of source. expected (if given) is compared: corrupt, and nothing is kept. A blob that exists already
  // is success and adds no row. Usable at once; durable with the returned sequence number (0: already durable).
  // A blob that no record names (Publication::add_blob) is kept while the process lives that put it, then a prune may
  // take it. Errors: corrupt, no_space, io, and those of source.
  struct Put {
    BlobInfo info;
    base::lmdb::SequenceNumber sequence = 0;
  };
  virtual base::Result<Put> put(base::ByteSource& source, std::optional<BlobDigest> expected) = 0;
  virtual base::Result<Put> put(std::string_view bytes, std::optional<BlobDigest> expected = {}) = 0;
  virtual base::Result<std::optional<BlobInfo>> find(const BlobDigest& digest) = 0;
  // Errors of open and read: not_found; read: invalid_argument (larger than size_max).
  // The bytes, verified against the name while read; a mismatch is corrupt at the end of the stream.
  virtual base::Result<std::unique_ptr<base::ByteSource>> open(const BlobDigest& digest) = 0;
  virtual base::Result<std::string> read(const BlobDigest& digest, std::size_t size_max) = 0;
};

}  // namespace cairn::cache
