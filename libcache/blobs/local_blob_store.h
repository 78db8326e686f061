// SPDX-License-Identifier: Apache-2.0
// The blobs of a store: which are small and go into packs, which become files, how each is found again, and what a
// collector may take.
#pragma once

#include <memory>
#include <string>

#include "libcache/blob_store.h"
#include "libcache/blobs/blob_claims.h"
#include "libcache/blobs/packs.h"

namespace cairn::cache {

struct Store;

// Blobs up to this size are packed: a file costs three syncs and a block (bench/budgets.md).
inline constexpr std::size_t packed_blob_max = 64 * 1024;

class LocalBlobStore final : public BlobStore {
 public:
  explicit LocalBlobStore(Store& store) : store_(store) {}

  base::Result<Put> put(base::ByteSource& source, std::optional<BlobDigest> expected) override;
  base::Result<Put> put(std::string_view bytes, std::optional<BlobDigest> expected) override;
  base::Result<std::optional<BlobInfo>> find(const BlobDigest& digest) override;
  base::Result<std::unique_ptr<base::ByteSource>> open(const BlobDigest& digest) override;
  base::Result<std::unique_ptr<base::ByteSource>> open_range(const BlobDigest& digest, ByteRange range) override;
  base::Result<std::string> read(const BlobDigest& digest, std::size_t size_max) override;

  // A blob that no record names is kept while whoever put it may still name it. A publication that names it takes the
  // claim over; it comes back if the publication fails.
  void named(const BlobDigest& digest, bool durable);

  // For the collector: a claimed or queued blob stays. try_mark_dying is false for such a one. A dying blob is not found
  // any more; a put of it makes a new row, which the collector respects.
  bool is_claimed(const BlobDigest& digest) { return claims_.is_claimed(digest); }
  bool try_mark_dying(const BlobDigest& digest) { return claims_.try_mark_dying(digest); }
  void unmark_dying(const BlobDigest& digest) { claims_.unmark_dying(digest); }
  // After its row is durably gone (erase_blob): deletes the file, if it was one, unless the blob has been put again. Ends
  // dying.
  base::Status remove_bytes(const BlobDigest& digest);

  // Reads all of it and compares it with its name; gives its size. Errors: not_found, corrupt (it has been quarantined), io.
  base::Result<std::uint64_t> verify(const BlobDigest& digest);

  std::uint64_t puts_waited() const { return claims_.turns_waited(); }  // for another thread's put of the same blob

 private:
  void found_damaged(const BlobDigest& digest, const BlobRow& row, const std::string& reason);
  using Found = BlobClaims::Queued;

  base::Result<std::optional<Found>> find_any(const BlobDigest& digest);
  base::Result<Put> put_packed(std::string_view bytes, const BlobDigest& digest);
  base::Result<Put> put_file(class BlobFile& file, const BlobDigest& digest);
  base::Result<Put> put_stream(std::string first, base::ByteSource& source, std::optional<BlobDigest> expected,
                               const BlobClaims::Turn* turn);
  base::Result<Put> enqueue_row(const BlobDigest& digest, const BlobRow& row);
  base::Result<std::unique_ptr<base::ByteSource>> open_place(const BlobDigest& digest, const BlobRow& row);
  base::Result<std::unique_ptr<base::ByteSource>> open_part(const BlobDigest& digest, const BlobRow& row,
                                                            ByteRange range);
  template <class Open>
  auto at_its_place(const BlobDigest& digest, Open&& open)
      -> std::invoke_result_t<Open, const BlobRow&>;

  Store& store_;
  BlobClaims claims_;
};

}  // namespace cairn::cache
