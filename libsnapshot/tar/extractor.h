// SPDX-License-Identifier: Apache-2.0
// Puts the members of a layer into a tree. The members are hostile: a name with ".." is refused, symlinks that are on
// the way are followed as if the tree's root were /, and nothing outside the tree is ever opened.
#pragma once

#include <ctime>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "libbase/fs/beneath.h"
#include "libbase/result.h"
#include "libsnapshot/tar/tar_reader.h"

namespace cairn::snapshot {

// Not thread-safe. After an error the tree holds part of the layer.
class Extractor {
 public:
  // root: the root directory of the tree; borrowed.
  explicit Extractor(int root) : root_(root) {}

  // Applies one member, reading its data. Errors: invalid_argument (hostile or impossible), no_space, io, and those of
  // the reader; each names the member.
  base::Status apply(const TarEntry& entry, TarReader& reader, const std::stop_token& stop);
  // Sets the times of the directories, which had to wait for their contents.
  base::Status finish();

 private:
  // A directory that members go into, found with all symlinks on the way followed.
  struct Parent {
    base::TreePath asked, path;
    base::Fd directory;
  };

  base::Status apply_checked(const TarEntry& entry, TarReader& reader, const std::stop_token& stop);
  base::Status apply_root(const TarEntry& entry);
  base::Status apply_whiteout(const base::TreePath& path);
  base::Status clear_lower(const base::TreePath& directory);

  base::Result<const Parent*> parent_of(const base::TreePath& path);
  base::Result<base::TreePath> resolve(const base::TreePath& path) const;
  base::Result<bool> make_way(const base::TreePath& target, int directory, const TarEntry& entry);
  base::Status remove(const base::TreePath& target);

  base::Status make(const TarEntry& entry, TarReader& reader, const std::stop_token& stop, int directory,
                    const std::string& name);
  base::Status make_link(const TarEntry& entry, const base::TreePath& target);

  void record(const base::TreePath& path, std::optional<timespec> directory_time);
  void forget(const base::TreePath& path);

  int root_;
  std::optional<Parent> parent_;  // of the member before: most members share it
  // What this layer has put here (or gone through): for opaque directories, which hide only what lies below the layer.
  // Directories have the time that finish() gives them.
  std::map<std::string, std::optional<timespec>> added_;
};

}  // namespace cairn::snapshot
