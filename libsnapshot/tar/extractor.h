// SPDX-License-Identifier: Apache-2.0
// Puts the members of a layer into a tree. The members are hostile: a name with ".." is refused, symlinks that are on
// the way are followed as if the tree's root were /, and nothing outside the tree is ever opened. What a member is made
// of, it is made of by a descriptor or a single name in an open directory, so that nobody who exchanges names meanwhile
// leads it elsewhere.
#pragma once

#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/result.h"
#include "libsnapshot/layer.h"
#include "libsnapshot/tar/metadata.h"
#include "libsnapshot/tar/tar_reader.h"

namespace cairn::snapshot {

// Not thread-safe. After an error the tree holds part of the layer. Memory: a row for each path of the layer.
class Extractor {
 public:
  struct Skipped {
    std::uint64_t devices = 0, xattrs = 0;
  };

  // root: the root directory of the tree; borrowed. observer: may be null.
  Extractor(int root, Devices devices, LayerObserver* observer);

  // Applies one member, reading its data. Errors: invalid_argument (hostile or impossible), no_space, io, and those of
  // the reader; each names the member.
  base::Status apply(const TarEntry& entry, TarReader& reader, const std::stop_token& stop);
  // Gives the directories what had to wait for their contents: times and default ACLs.
  base::Status finish();

  const Skipped& skipped() const { return skipped_; }

 private:
  // A directory that members go into, found with all symlinks on the way followed.
  struct Parent {
    base::TreePath asked, path;
    base::Fd directory;
    Inheritance inheritance;
  };
  enum class Made { yes, exists, skipped };

  base::Status apply_checked(const TarEntry& entry, TarReader& reader, const std::stop_token& stop);
  base::Status apply_root(const TarEntry& entry);
  base::Status apply_whiteout(const base::TreePath& path);
  base::Status clear_lower(const base::TreePath& directory);

  // Good until the next call that makes or removes something.
  base::Result<const Parent*> parent_of(const base::TreePath& path);
  base::Status enter(base::TreePath asked, base::TreePath path, base::Fd directory);
  base::Result<base::TreePath> resolve(const base::TreePath& path) const;
  base::Result<base::TreePath> link_target(const TarEntry& entry) const;
  base::Status make_way(const base::TreePath& target, const TarEntry& entry);
  base::Status remove(const base::TreePath& target);

  base::Result<Made> make(const TarEntry& entry, TarReader& reader, const std::stop_token& stop, const Parent& parent,
                          const std::string& name);
  base::Result<Made> make_file(const TarEntry& entry, TarReader& reader, const std::stop_token& stop,
                               const Parent& parent, const std::string& name);
  base::Result<Made> make_directory(const TarEntry& entry, const Parent& parent, const std::string& name);
  base::Result<Made> make_node(const TarEntry& entry, mode_t type, const Parent& parent, const std::string& name);
  base::Result<Made> make_link(const TarEntry& entry, const Parent& parent, const std::string& name);

  void record(const base::TreePath& path, const TarEntry& entry);
  void forget(const base::TreePath& path);

  int root_;
  Devices devices_;
  LayerObserver* observer_;
  Skipped skipped_;
  const Owner process_;
  // Directories that the last members went into, each in the one before it as a rule: archives go down and up.
  std::vector<Parent> parents_;
  // What this layer has put here (or gone through): for opaque directories, which hide only what lies below the layer.
  // Directories have the time that finish() gives them.
  std::map<std::string, std::optional<timespec>> added_;
  std::map<std::string, std::string> default_acls_;  // of directories
};

}  // namespace cairn::snapshot
