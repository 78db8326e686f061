// SPDX-License-Identifier: Apache-2.0
// Where each mount of a step goes, and the mount points ("stubs") made for it. Destinations are resolved once, here,
// the way the kernel will see them with the earlier mounts in place, so that a link in the root cannot lead the runtime
// somewhere else; the runtime gets paths without links whose mount points exist.
//
// spec/solver 6.2: stubs made only to mount on are removed afterwards when unchanged, and the directories that held
// them get their modification times back.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"
#include "libsolver/exec/user.h"

namespace cairn::solver {

enum class PointKind { directory, file };
enum class RemoveStubs { last_component, created_parents };

class MountPoints {
 public:
  // The descriptor stays open, and nobody else changes the tree, until restore().
  explicit MountPoints(int root);

  // Makes the mount point of the next mount and returns its path in the root, without links. The mounts are added in
  // the order in which the runtime mounts. content: the directory that will be seen there, or -1 if the runtime makes
  // it (proc, tmpfs, a file): what lies below it is then left to the runtime.
  // Errors: invalid_argument (a file in the way, a read-only mount without the mount point), no_space, io.
  base::Result<std::string> add(const base::TreePath& dest, PointKind kind, int content, snapshot::Access access);

  // Makes a directory (0755, of this user), with missing parents; one that is there stays as it is.
  base::Status make_cwd(const base::TreePath& path, const StepUser& user);

  // Removes the stubs that are still empty, and gives back modification times that the step did not change itself.
  base::Status restore(RemoveStubs which);

 private:
  // What is mounted somewhere; later ones hide earlier ones.
  struct Layer {
    std::string at;  // in the root, without links, without a leading slash
    int dir;         // -1: not ours to look into
    snapshot::Access access;
  };
  struct Place {
    std::string path;                     // without links
    std::vector<std::string> components;  // of path
    std::size_t found = 0;                // how many leading components exist
    std::size_t layer = 0;                // in which the last component lies
    unsigned type = 0;                    // S_IFMT bits, if it exists in a layer that we can look into
    bool exists() const { return found == components.size(); }
  };
  struct Stub {
    std::size_t layer;
    base::TreePath path;
    PointKind kind;
    bool is_parent;  // made on the way to a mount point
  };
  struct Directory {
    std::size_t layer;
    base::TreePath path;
    struct ::timespec before;  // our first change
    struct ::timespec after;   // our last change
  };

  base::Result<Place> resolve(const base::TreePath& path) const;
  std::size_t layer_of(const std::string& path) const;
  base::Result<base::TreePath> inside(std::size_t layer, const std::string& path) const;
  base::Status make_stub(std::size_t layer, const base::TreePath& path, PointKind kind, bool is_parent);
  base::Result<std::size_t> watch(std::size_t layer, const base::TreePath& directory);
  base::Status remove_stub(const Stub& stub) const;

  std::vector<Layer> layers_;
  std::vector<Stub> stubs_;
  std::vector<Directory> directories_;
};

}  // namespace cairn::solver
