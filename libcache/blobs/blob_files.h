// SPDX-License-Identifier: Apache-2.0
// Blobs as files: written without a name in tmp/, hashed on the way, linked to their name when complete and durable, and
// only then made to exist by a row (I1). A file without a row is nothing: the next put of that blob adopts or replaces
// it.
#pragma once

#include <condition_variable>
#include <map>
#include <set>
#include <string>

#include "libbase/fs/fd.h"
#include "libbase/sync.h"
#include "libcache/blob_store.h"

namespace cairn::cache {

struct Store;

// root/blobs/sha256/<2 hex>/<hex>.
base::HostPath blob_path(const base::HostPath& root, const BlobDigest& digest);

class BlobFiles final : public BlobStore {
 public:
  explicit BlobFiles(Store& store) : store_(store) {}

  base::Result<Put> put(base::ByteSource& source, std::optional<BlobDigest> expected) override;
  base::Result<Put> put(std::string_view bytes, std::optional<BlobDigest> expected) override;
  base::Result<std::optional<BlobInfo>> find(const BlobDigest& digest) override;
  base::Result<std::unique_ptr<base::ByteSource>> open(const BlobDigest& digest) override;
  base::Result<std::string> read(const BlobDigest& digest, std::size_t size_max) override;

  // A blob that no record names is kept while whoever put it may still name it. A publication that names it takes the
  // claim over; it comes back if the publication fails.
  void named(const BlobDigest& digest, bool durable);

  bool is_claimed(const BlobDigest& digest);  // or queued

  // For the collector. False while the blob is claimed or queued. A dying blob is not found any more; a put of it makes
  // a new row, which the collector respects.
  bool try_mark_dying(const BlobDigest& digest);
  void unmark_dying(const BlobDigest& digest);
  // After its row is durably gone: deletes the file, unless the blob has been put again. Ends dying.
  base::Status remove_file(const BlobDigest& digest);

 private:
  struct Found {
    BlobInfo info;
    base::lmdb::SequenceNumber sequence = 0;
  };
  struct State {
    std::map<BlobDigest, Found> queued;         // rows that are not durable yet
    std::map<BlobDigest, std::uint64_t> claims;  // puts that no record names yet
    std::set<BlobDigest> dying;
    std::set<BlobDigest> busy;  // its file is being linked or deleted by some thread

    void drop_claim(const BlobDigest& digest);
  };
  class Turn;
  class Claim;

  base::Result<std::optional<Found>> find_any(const BlobDigest& digest);
  // Names the complete file `data` (without a name yet) and queues its row.
  base::Result<Put> place(base::Fd data, const BlobDigest& digest, std::uint64_t size);
  base::Status link(const base::Fd& data, const BlobDigest& digest, std::uint64_t size);
  base::Result<Put> enqueue_row(const BlobInfo& info);
  base::Result<base::Fd> open_unnamed();

  Store& store_;
  base::Guarded<State> state_;
  std::condition_variable_any turn_ends_;
};

}  // namespace cairn::cache
