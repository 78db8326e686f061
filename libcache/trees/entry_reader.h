// SPDX-License-Identifier: Apache-2.0
// What is at one name of an open directory, and its digest: the only place where the bytes of files are read for
// digests. Names are touched with one component at a time, so nothing leads out of the directory; no link is followed.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <tuple>

#include "libbase/fs/fd.h"
#include "libcache/directory_stats.h"
#include "libcache/normalisation.h"
#include "libcache/tree_digest.h"
#include "libcache/tree_entry.h"
#include "libcache/trees/entry_digester.h"

namespace cairn::cache {

struct Place {  // a name in an open directory; path is for messages
  int dir;
  const std::string& name;
  const std::string& path;
};

// Which inode something is, and what must not move while it is read.
std::tuple<std::uint64_t, std::uint64_t> identity(const StatX& seen);
EntryType type_of(std::uint16_t mode);
// All but attributes and the target of a link.
TreeEntry entry_of(const StatX& seen);

// A number for the inode if it has several names, else 0. salt tells inodes of one tree from those of another.
std::uint64_t link_group_of(const StatX& seen, std::uint64_t salt);

// The same for an inode whose first name is known. onto: what tells it from the inodes that earlier trees had there, where
// only some names are made anew; empty: all of the tree is.
std::uint64_t link_group_of_path(std::string_view first, std::string_view onto = {});

// The errors of a tree that is not left alone. All are io.
tl::unexpected<base::Error> changed_while_read(std::string_view path);
// A name that was listed but cannot be reached is no answer to a question of the caller, so it is not not_found.
tl::unexpected<base::Error> unreadable(base::Error error, std::string_view path);

// Not thread-safe: one per thread. Reuses its hash and its buffer.
class EntryReader {
 public:
  EntryReader(const Normalisation& normalisation, std::stop_token stop);
  // Told of the bytes of a file after each piece that was read; it may wait.
  void on_read(std::function<void(std::uint64_t bytes)> told) { told_ = std::move(told); }

  base::Status check_stop() const;
  // lstat, once per name. Errors: io (it vanished).
  base::Result<StatX> look(const Place& place) const;
  // Reads what look() has seen, which is no directory. entry becomes all that the tree holds about the name, normalised.
  // A file is opened only if it has bytes. Errors: io (it vanished or is not what look() has seen any more), cancelled.
  base::Result<EntryDigests> read(const Place& place, const StatX& seen, TreeEntry& entry);
  // The header of an open directory.
  base::Result<StatX> look_at_directory(int dir, std::string_view path) const;
  base::Result<EntryDigests> read_header(int dir, const StatX& seen, std::string_view path, TreeEntry& entry);

  // The digests that the stat cache has, else by reading, which it is told of. stats may be null.
  base::Result<EntryDigests> read_or_recall(const Place& place, const StatX& seen, DirectoryStats* stats);
  base::Result<EntryDigests> read_or_recall_header(int dir, const StatX& seen, std::string_view path,
                                                   DirectoryStats* stats);

  void count_listing() { ++counts_.directories_listed; }
  void count_names(std::size_t names) { counts_.names_hashed += names; }
  const DigestCounts& counts() const { return counts_; }

 private:
  base::Result<EntryDigests> read_file(const Place& place, const StatX& seen, TreeEntry& entry);
  base::Status hash_bytes(int fd, std::uint64_t size, std::string_view path);
  void begin(TreeEntry& entry);

  const Normalisation normalisation_;
  std::stop_token stop_;
  std::function<void(std::uint64_t)> told_;
  DigestCounts counts_;
  EntryDigester digester_;
  std::unique_ptr<std::byte[]> buffer_;  // made with the first file
};

}  // namespace cairn::cache
