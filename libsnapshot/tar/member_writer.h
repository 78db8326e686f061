// SPDX-License-Identifier: Apache-2.0
// Turns changes into the members of a layer, as containerd's change writer does (spec/storage 4.4): missing parents first
// and once, whiteouts for removals, one full member per inode and hard links for its other names, no sockets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "libbase/fs/fd.h"
#include "libsnapshot/changes.h"
#include "libsnapshot/tar/chunk_writer.h"
#include "libsnapshot/tar/tar_entry.h"

namespace cairn::snapshot {

// Not thread-safe. Memory: the directories of the layer, and the names of inodes that have several.
class MemberWriter {
 public:
  // root: that of the new tree, open for reading. time_max: no member is younger. prefix: "" or "a/", what names begin
  // with. Borrows root and out.
  MemberWriter(int root, ChunkWriter& out, std::optional<std::int64_t> time_max, std::string prefix)
      : root_(root), out_(out), time_max_(time_max), prefix_(std::move(prefix)) {}

  // Writes the directory that the prefix names.
  base::Status begin();

  // Writes what the change puts into the layer, maybe nothing. Errors: invalid_argument (an opaque change; a name that no
  // tar holds), io (a file that cannot be read, or became shorter), and those of `out`; each names the path.
  base::Status write(const Change& change);
  // Ends the archive.
  base::Status finish();

  std::uint64_t members() const { return members_; }

 private:
  using Inode = std::pair<dev_t, ino_t>;

  base::Status write_checked(const Change& change);
  base::Status write_whiteout(const Change& change);
  // Without data; opens the file if it has some.
  base::Result<TarEntry> describe(const Change& change, bool is_link, base::Fd& file) const;
  base::Result<TarEntry> describe_directory(int directory, std::string name) const;
  base::Status write_member(const TarEntry& member, int file);
  base::Status write_parents(const base::TreePath& path, int parent);
  base::Status copy_data(int file, std::uint64_t size);
  timespec clamp(timespec time) const;

  int root_;
  ChunkWriter& out_;
  std::optional<std::int64_t> time_max_;
  const std::string prefix_;
  std::uint64_t members_ = 0;
  std::string header_;                   // kept for its memory
  std::set<std::string> directories_;    // that are in the layer
  std::map<Inode, std::string> first_;   // the full member of an inode with several names
  std::map<Inode, std::vector<base::TreePath>> unmodified_;  // names of inodes that no change has been about yet
};

}  // namespace cairn::snapshot
