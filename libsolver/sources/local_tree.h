// SPDX-License-Identifier: Apache-2.0
// Making the entries of a walk in an empty tree, owned by 0:0. Directories are made open for the owner only and get
// their own metadata at the end, so that neither their modes nor default ACLs nor times touch what is made inside.
#pragma once

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libsolver/sources/local_file.h"
#include "libsolver/sources/local_walk.h"

namespace cairn::solver {

class LocalTree {
 public:
  LocalTree(int tree, const LocalWalk& walk) : parents_(tree, walk), sources_(tree, walk), walk_(walk) {}

  // A directory (without its metadata), symlink, device, fifo, or an empty file.
  base::Status make(std::uint32_t index);
  // A new file for content, and its metadata once the content is there.
  base::Result<FileWriter> create_file(std::uint32_t index);
  base::Status finish_file(const FileWriter& file, const FileState& state);
  // Another name of a file that was made before.
  base::Status link(std::uint32_t existing, std::uint32_t index);
  // The metadata of a directory, once everything in it is there.
  base::Status finish_directory(std::uint32_t index);

 private:
  DirectoryCursor parents_, sources_;
  const LocalWalk& walk_;
};

}  // namespace cairn::solver
