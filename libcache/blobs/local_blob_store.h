// SPDX-License-Identifier: Apache-2.0
// The blobs of a store: which are small and go into packs, which become files, how each is found again, and what a
// collector may take.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "libcache/blob_store.h"
#include "libcache/blob_writer.h"
#include "libcache/blobs/blob_claims.h"
#include "libcache/blobs/namespace_rows.h"
#include "libcache/chunk_rule.h"
#include "libcache/blobs/packs.h"

namespace cairn::cache {

struct Store;
class BlobFile;
class ChunkedBlob;

// Blobs up to this size are packed: a file costs three syncs and a block (bench/budgets.md).
inline constexpr std::size_t packed_blob_max = 64 * 1024;

class LocalBlobStore final : public BlobStore {
 public:
  explicit LocalBlobStore(Store& store) : store_(store) {}
  // From now on blobs that are larger than a chunk may be are stored in chunks. Before anything is put.
  void use_chunks(const ChunkRule& rule) { chunk_rule_ = rule; }

  base::Result<Put> put(base::ByteSource& source, std::optional<BlobDigest> expected) override;
  base::Result<Put> put(std::string_view bytes, std::optional<BlobDigest> expected) override { return put_for({}, bytes, expected); }
  // For a namespace that does not have it, a blob that exists is put like a new one.
  base::Result<Put> put_for(std::optional<NamespaceId> space, std::string_view bytes, std::optional<BlobDigest> expected);
  base::Result<std::optional<BlobInfo>> find(const BlobDigest& digest) override;
  base::Result<std::unique_ptr<base::ByteSource>> open(const BlobDigest& digest) override;
  base::Result<std::unique_ptr<base::ByteSource>> open_range(const BlobDigest& digest, ByteRange range) override;
  base::Result<std::string> read(const BlobDigest& digest, std::size_t size_max) override;

  base::Result<bool> is_in(NamespaceId space, const BlobDigest& digest);
  // At once, and durable with the number. The blob exists.
  base::Result<base::lmdb::SequenceNumber> give(NamespaceId space, const BlobDigest& digest);

  // A blob that no record names is kept while whoever put it may still name it. A publication that names it takes the
  // claim over; it comes back if the publication fails.
  void named(const BlobDigest& digest, bool durable);

  Store& store() { return store_; }
  // A claim of whoever is about to name a blob: for as long as it is in `claims`.
  void add_claim(const BlobDigest& digest, std::deque<BlobClaims::Claim>& claims) { claims.emplace_back(claims_, digest); }

  void promise(const BlobDigest& digest) { claims_.promise(digest); }
  void promise_instead(const BlobDigest& digest) { claims_.promise_instead(digest); }
  void set_promise_time(std::chrono::milliseconds time) { claims_.set_promise_time(time); }

  // For the collector: a claimed, promised or queued blob stays. try_mark_dying is false for such a one. A dying blob is not found
  // any more; a put of it makes a new row, which the collector respects.
  bool is_claimed(const BlobDigest& digest) { return claims_.is_claimed(digest); }
  bool try_mark_dying(const BlobDigest& digest) { return claims_.try_mark_dying(digest); }
  void unmark_dying(const BlobDigest& digest) { claims_.unmark_dying(digest); }
  // After its row is durably gone (erase_blob): deletes the file, if it was one, unless the blob has been put again. Ends
  // dying.
  base::Status remove_bytes(const BlobDigest& digest);

  // Reads all of it and compares it with its name; gives its size. Errors: not_found, corrupt (it has been quarantined), io.
  base::Result<std::uint64_t> verify(const BlobDigest& digest);

  // Deletes the file of a blob that has no row and that nobody is putting. Never waits. Returns whether there was one.
  base::Result<bool> remove_stray(const BlobDigest& digest);
  // The blob's bytes are not what its row says: it becomes a miss.
  void found_damaged(const BlobDigest& digest, const BlobRow& row, const std::string& reason);

  // The whole of a chunk. Errors: corrupt (it is damaged or missing, and has been quarantined), io.
  base::Result<std::string> read_chunk(const Chunk& chunk);

  std::uint64_t puts_waited() const { return claims_.turns_waited(); }  // for another thread's put of the same blob

 private:
  friend class ChunkedBlob;
  friend struct BlobWriter::State;
  using Found = BlobClaims::Queued;

  base::Result<std::optional<Found>> find_any(const BlobDigest& digest);
  base::Result<std::optional<Found>> find_for_put(const BlobDigest& digest, std::optional<NamespaceId> space = {});
  base::Result<Put> given(Put put, std::optional<NamespaceId> space);
  base::Status delete_file(const BlobDigest& digest);
  base::Result<Put> put_packed(std::string_view bytes, const BlobDigest& digest);
  base::Result<Put> put_file(BlobFile& file, const BlobDigest& digest, bool replaces = false);
  base::Result<Put> put_stream(std::string first, base::ByteSource& source, std::optional<BlobDigest> expected,
                               const BlobClaims::Turn* turn);
  base::Result<Put> put_large(std::string_view first, base::ByteSource& source, std::optional<BlobDigest> expected,
                              const BlobClaims::Turn* turn, std::optional<NamespaceId> space = {});
  base::Result<Put> put_as_file(BlobFile file, base::ByteSource& source, std::optional<BlobDigest> expected,
                                const BlobClaims::Turn* turn, std::optional<NamespaceId> space);
  base::Result<Put> put_in_chunks(std::string_view first, base::ByteSource& source, std::optional<BlobDigest> expected,
                                  const BlobClaims::Turn* turn, std::optional<NamespaceId> space);
  // What has been written in full gets its row.
  base::Result<Put> place_file(BlobFile& file, std::optional<BlobDigest> expected, const BlobClaims::Turn* turn,
                               std::optional<NamespaceId> space = {});
  base::Result<Put> place_chunks(ChunkedBlob& blob, std::optional<BlobDigest> expected, const BlobClaims::Turn* turn,
                                 std::optional<NamespaceId> space = {});
  // The chunks that hold these bytes, which are one unless they came as a blob in chunks. Their digest is claimed.
  base::Result<ChunkList> put_chunk(std::string_view bytes, const BlobDigest& digest);
  template <class Place>
  base::Result<Put> place_once(const BlobDigest& digest, std::optional<BlobDigest> expected, const BlobClaims::Turn* turn,
                               std::optional<NamespaceId> space, Place&& place);
  std::size_t whole_max() const;  // larger blobs are stored in chunks, if any are
  base::Result<Put> enqueue_row(const BlobDigest& digest, const BlobRow& row);
  base::Result<Put> enqueue_list(const BlobDigest& digest, const ChunkedBlob& blob);
  base::Result<std::unique_ptr<base::ByteSource>> open_place(const BlobDigest& digest, const BlobRow& row);
  base::Result<std::unique_ptr<base::ByteSource>> open_part(const BlobDigest& digest, const BlobRow& row,
                                                            ByteRange range);
  enum class Compare : std::uint8_t { whole, pieces };
  base::Result<std::unique_ptr<base::ByteSource>> open_chunks(const BlobDigest& digest, const BlobRow& row,
                                                              ByteRange range, Compare compare);
  base::Result<std::shared_ptr<const ChunkList>> load_list(const BlobDigest& digest, const BlobRow& row);
  base::Result<std::uint64_t> verify_list(const BlobDigest& digest, const BlobRow& row);
  template <class Open>
  auto at_its_place(const BlobDigest& digest, Open&& open)
      -> std::invoke_result_t<Open, const BlobRow&>;

  Store& store_;
  BlobClaims claims_;
  FreshNamespaces fresh_namespaces_;
  std::optional<ChunkRule> chunk_rule_;
};

}  // namespace cairn::cache
