// SPDX-License-Identifier: Apache-2.0
// The pack files of a store (docs/formats/packs.md): appends by any number of threads, one data sync for all of a group,
// reads that compare. Which entries live is for rows to say; this class knows files only.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/path.h"
#include "libbase/sync.h"
#include "libcache/blobs/pack_format.h"

namespace cairn::cache {

struct PackLocation {
  std::uint64_t pack = 0;  // 0: nowhere
  std::uint64_t offset = 0;
  bool operator==(const PackLocation&) const = default;
};

// A pack that is open. Alive as long as somebody reads.
struct PackFile {
  PackIdentity identity;
  base::Fd file;
  // Appends whose row is not queued yet. Until it is, the pack must not be taken for one in which nothing lives.
  mutable std::atomic<std::uint32_t> appending{0};
};

// An entry that is in a pack, and keeps the pack until the entry's row is queued.
class Appended {
 public:
  Appended(std::shared_ptr<const PackFile> pack, std::uint64_t offset) : pack_(std::move(pack)), offset_(offset) {}
  ~Appended() {
    if (pack_ && --pack_->appending == 0) pack_->appending.notify_all();
  }
  Appended(Appended&&) noexcept = default;
  Appended& operator=(Appended&&) = delete;
  PackLocation at() const { return {pack_->identity.id, offset_}; }
  const PackFile& pack() const { return *pack_; }

 private:
  std::shared_ptr<const PackFile> pack_;
  std::uint64_t offset_;
};

// Thread-safe.
class Packs {
 public:
  struct Options {
    std::uint64_t pack_bytes_max = 256u << 20;
    std::size_t open_max = 128;  // packs kept open for reading
  };
  // Makes the directory if it is missing. Goes on at the end of the last pack. O(packs) names. Errors: io, no_space.
  static base::Result<std::shared_ptr<Packs>> open(const base::HostPath& root, Options options);
  static base::Result<std::shared_ptr<Packs>> open(const base::HostPath& root) { return open(root, Options()); }

  // Readable at once; durable when sync() was called with token(pack) after it. header's size and checksum are filled in
  // here. Errors: invalid_argument (too large), no_space, io; then the place is lost, and nothing else.
  base::Result<Appended> append(EntryHeader header, std::string_view payload);
  // The data sync of the group writer: packs among the tokens; the rest are somebody else's. Not by two threads at once. A
  // sync of the whole file system of the trees, which is that of the packs, has done it.
  using WholeFilesystem = base::lmdb::GroupWriter::WholeFilesystem;
  base::Status sync(std::span<const base::lmdb::DataToken> tokens, WholeFilesystem whole = WholeFilesystem::not_synced);
  // Of pack 0: nothing is to be synced.
  static base::lmdb::DataToken token(std::uint64_t pack) { return pack | (std::uint64_t{1} << 63); }

  // The payload of the entry that is expected there. Errors: not_found (no such pack), corrupt (another entry, or
  // damage), io.
  base::Result<std::string> read(const PackLocation& at, EntryKind kind, const BlobDigest& digest, std::uint64_t size);

  // The next append goes to another pack than all before it. Returns the first pack that it can go to, when the rows of
  // all entries in earlier packs are queued.
  std::uint64_t seal();
  base::Result<std::shared_ptr<const PackFile>> open_pack(std::uint64_t id);  // not_found, corrupt, io
  // Deletes the file; readers that have it open keep it. No row names anything in it. Absence is success.
  base::Status remove(std::uint64_t id);
  base::HostPath path_of(std::uint64_t id) const { return dir_ / pack_name(id); }
  const base::HostPath& dir() const { return dir_; }

 private:
  struct Active {
    std::shared_ptr<const PackFile> pack;  // none: the next append makes one
    std::uint64_t end = 0;
    std::uint64_t next_id = 1;
  };
  using OpenPacks = std::unordered_map<std::uint64_t, std::shared_ptr<const PackFile>>;

  Packs(base::HostPath dir, Options options) : dir_(std::move(dir)), options_(options) {}
  base::Status adopt_last();
  base::Result<Appended> take_place(std::uint64_t bytes);
  base::Result<std::shared_ptr<const PackFile>> create(std::uint64_t id);

  const base::HostPath dir_;
  const Options options_;
  std::mutex append_turn_;  // guards active_; held while a new pack is made (docs/locks.md)
  Active active_;
  bool beside_trees_ = false;  // on the same file system
  std::atomic<bool> name_is_new_{false};  // the directory is to be synced
  base::Guarded<OpenPacks> open_;     // for reading
  base::Guarded<OpenPacks> written_;  // the active one, and the last before it
};

// The ids of the packs in the directory, ascending. A missing directory is empty.
base::Result<std::vector<std::uint64_t>> list_packs(const base::HostPath& root);
base::Result<std::vector<std::uint64_t>> list_packs_in(const base::HostPath& packs);
base::Result<std::shared_ptr<const PackFile>> open_pack_file(const base::HostPath& path, std::uint64_t id, int flags);

}  // namespace cairn::cache
