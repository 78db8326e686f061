// SPDX-License-Identifier: Apache-2.0
// The change stream: what makes one tree out of another, path by path. It is the same stream whichever way it was found
// (the upper directory of an overlay, btrfs, or a walk of both trees), and everything that speaks of a difference is
// built on it: layers, merges, tree digests, usage.
//
// Order: that of a walk of both trees in which the names of a directory are visited bytewise and a directory comes before
// what is in it. A removed directory is one change; what was in it is not named. A file that becomes a directory (or the
// other way round) is one modify, and what is in the new directory is added. The root is reported as a modify with an
// empty path if its metadata differ. Directories that only hold changes are not reported for that.
//
// Law: applying the changes between a and b (with Replay::hard_links) to a copy of a gives b in everything a tree holds:
// owner, mode, nanosecond times of everything but atime, all xattrs, link groups, device numbers, contents.
//
// Which names are links of one inode is told by the device and inode numbers in Change::status, never by st_nlink: an
// overlay shows the count of the layer below, and a file may have names in other trees.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::snapshot {

enum class ChangeKind : std::uint8_t {
  add,         // not in the old tree
  modify,      // in both, and different in anything that an inode holds
  relink,      // in both, different only in the names that it is a link of: whoever applies makes it anew, or links it to
               // the name with the same inode that was reported before
  remove,      // not in the new tree
  opaque,      // only if asked for (Opaque::keep): the directory that was just reported hides all that was in the old
               // one; the removals that follow from it are not listed, and what is in it is added
  unmodified,  // only if asked for (Replay::hard_links): not a directory, with several names, and as it was. The inode
               // may be one that another change is about, so whoever keeps link groups together has to know it
};

// Whether BuildKit's differs would have seen the change; layers are written from these alone. Of what is in both trees
// they compare type, mode, owner, device number and security.capability, and of what is no directory the size and the
// time: different nanoseconds are a change, equal ones are none, and only if both have none (a tar was unpacked) they
// compare contents and link targets (spec/storage 4.3). They never see the root. What is `no` and has several names
// is what they call an unmodified hard link, whatever its kind here.
enum class InLayer : std::uint8_t { no, yes };

// One change. Everything in it is borrowed and good until the visitor returns.
struct Change {
  ChangeKind kind = ChangeKind::add;
  InLayer in_layer = InLayer::yes;
  const base::TreePath& path;
  struct ::stat status {};  // of the new entry; zero for remove
  // The directory of the new tree that holds the entry (of a remove: held), open for reading, and the name in it ("." for
  // the root). It may be a directory of a mount or of an overlay's upper: contents, link targets and xattrs are right in
  // both, xattrs that is_overlay_mark() knows are to be left out. The name ends with a NUL.
  int directory = -1;
  std::string_view name;
};

// An error ends the walk and is its result.
using ChangeVisitor = std::function<base::Status(const Change&)>;

enum class Replay { nothing, hard_links };
enum class Opaque { expand, keep };
// How a regular file with the same size and the same time is known to be the same: by its bytes, or (as BuildKit does) by
// that alone if the time has nanoseconds. A file whose time was set back after a change is seen by `compare` only.
enum class Contents { compare, trust_times };

// What a walk cost. Tests assert it.
struct ChangeCounts {
  std::uint64_t directories = 0;  // opened, of both trees
  std::uint64_t entries = 0;      // whose status was read, of both trees
  std::uint64_t bytes_read = 0;   // of contents, of both trees
};

struct ChangeOptions {
  Replay replay = Replay::nothing;
  Opaque opaque = Opaque::expand;
  Contents contents = Contents::compare;
  // Asked about each path that is in both trees, before it is looked at; false says that neither it nor anything below
  // it differs. For drivers that know where changes can be. Empty: everything may.
  std::function<bool(const base::TreePath&)> may_differ = {};
  std::stop_token stop = {};
  ChangeCounts* counts = nullptr;  // added to, if given
};

// Walks two trees side by side, given their root directories, open for reading; without `lower` everything is added. No
// tree changes meanwhile. Directories that are one and the same are not entered; what may be left out beyond that is said
// by options.may_differ. Trees of any depth, with four descriptors and no recursion; memory for the names of the
// directories on one path. Opaque::keep has no effect: nothing is opaque between two whole trees.
// O(entries of both trees), and O(bytes of files that look the same) with Contents::compare.
// Errors: cancelled, busy (a mount is in a tree, or a directory was moved), io, and those of the visitor.
base::Status changes_between(std::optional<int> lower, int upper, const ChangeVisitor& visitor,
                             const ChangeOptions& options);

// trusted.overlay.* and user.overlay.*: what overlayfs writes onto its layers, which is no part of the tree.
bool is_overlay_mark(std::string_view xattr);

}  // namespace cairn::snapshot
