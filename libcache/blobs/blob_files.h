// SPDX-License-Identifier: Apache-2.0
// Large blobs as files: written without a name in tmp/, hashed on the way, linked to their name when complete and durable,
// and only then made to exist by a row (I1). A file without a row is nothing: the next put of that blob adopts or
// replaces it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libbase/compress/decoder.h"
#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "libbase/path.h"
#include "libcache/blob_store.h"

namespace cairn::cache {

// root/blobs/sha256/<2 hex>/<hex>.
base::HostPath blob_path(const base::HostPath& root, const BlobDigest& digest);

// A file that has no name yet. Not thread-safe.
class BlobFile {
 public:
  static base::Result<BlobFile> begin(const base::HostPath& root);  // no_space, io
  base::Status write(std::string_view bytes);
  // All that is left of the source: this thread hashes it, and if it is more than 1 MiB, another one writes it meanwhile.
  base::Status write_rest(base::ByteSource& source);
  // Once, when all is written.
  BlobDigest digest() { return BlobDigest(hash_.finish()); }
  std::uint64_t size() const { return size_; }
  // The CRC-32C of each piece, as they are stored.
  std::string checksums();
  // Makes it durable and gives it the name of the blob. Nobody else places this blob meanwhile. Returns allocated bytes.
  base::Result<std::int64_t> place(const BlobDigest& digest);

 private:
  explicit BlobFile(base::HostPath root, base::Fd data) : root_(std::move(root)), data_(std::move(data)) {}
  base::Status keep(std::string_view bytes);
  base::Status link(const BlobDigest& digest);

  base::HostPath root_;
  base::Fd data_;
  base::Sha256 hash_;
  std::uint64_t size_ = 0;
  std::uint64_t pushed_ = 0;  // the disk has been told to write up to here
  std::uint32_t piece_sum_ = 0;
  std::string sums_;
};

// Takes the file away from its name, so that a put of the same blob waits for a rename and not for the deletion of a large
// file; then delete_moved_blob(). Absence is success.
base::Status move_blob_away(const base::HostPath& root, const BlobDigest& digest);
base::Status delete_moved_blob(const base::HostPath& root, const BlobDigest& digest);

}  // namespace cairn::cache
