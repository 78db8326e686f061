// SPDX-License-Identifier: Apache-2.0
// Large blobs as files: written without a name in tmp/, hashed on the way, linked to their name when complete and durable,
// and only then made to exist by a row (I1). A file without a row is nothing: the next put of that blob adopts or
// replaces it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "libbase/byte_pipe.h"
#include "libbase/compress/decoder.h"
#include "libbase/fs/early_writeback.h"
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
  // All that is left of the source, by a BlobFileFeed.
  base::Status write_rest(base::ByteSource& source);
  // Once, when all is written.
  BlobDigest digest() { return BlobDigest(hash_.finish()); }
  std::uint64_t size() const { return size_; }
  // The CRC-32C of each piece, as they are stored.
  std::string checksums();
  // Makes it durable and gives it the name of the blob. Nobody else places this blob meanwhile. Returns allocated bytes.
  // replaces: a file that lies there goes; else it stays if its bytes are the blob's.
  base::Result<std::int64_t> place(const BlobDigest& digest, bool replaces);

 private:
  friend class BlobFileFeed;
  explicit BlobFile(base::HostPath root, base::Fd data) : root_(std::move(root)), data_(std::move(data)) {}
  base::Status keep(std::string_view bytes);
  base::Status link(const BlobDigest& digest, bool replaces);

  base::HostPath root_;
  base::Fd data_;
  base::Sha256 hash_;
  std::uint64_t size_ = 0;
  base::EarlyWriteback writeback_;
  std::uint32_t piece_sum_ = 0;
  std::string sums_;
};

// Hashes on the caller's thread and, once there is more than 1 MiB, writes on another one. Holds up to 6 MiB. Not thread-safe;
// nobody else writes the file until finish() or the end of the feed, and the file does not move until then.
class BlobFileFeed {
 public:
  explicit BlobFileFeed(BlobFile& file);
  BlobFileFeed(const BlobFileFeed&) = delete;
  BlobFileFeed& operator=(const BlobFileFeed&) = delete;
  ~BlobFileFeed();  // unfinished: the file lacks some of what was given

  base::Status write(std::string_view bytes);  // errors, of earlier bytes too: no_space, io
  base::Status read_rest(base::ByteSource& source);
  base::Status finish();  // once: all that was given is written

 private:
  base::Status put(base::PipeChunk chunk);
  base::Status keep_all();

  BlobFile& file_;
  base::BytePipe pipe_;
  std::optional<base::PipeChunk> filling_;
  base::Status kept_;
  std::jthread keeping_;  // none for what one chunk holds
};

// Takes the file away from its name, so that a put of the same blob waits for a rename and not for the deletion of a large
// file; then delete_moved_blob(). Absence is success.
base::Status move_blob_away(const base::HostPath& root, const BlobDigest& digest);
base::Status delete_moved_blob(const base::HostPath& root, const BlobDigest& digest);

}  // namespace cairn::cache
