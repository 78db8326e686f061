// SPDX-License-Identifier: Apache-2.0
// The change stream: what makes one tree out of another, path by path. It is the same stream whichever way it was found
// (the upper directory of an overlay, btrfs, or a walk of both trees), and everything that speaks of a difference is
// built on it: layers, merges, tree digests, usage.
//
// Order: that of a walk of both trees in which the names of a directory are visited bytewise and a directory comes before
// what is in it. A removed directory is one change; what was in it is not named. A file that becomes a directory (or the
// other way round) is one modify. The root itself is reported as a modify with an empty path if its metadata differ.
// Law: apply(changes(a, b), a) equals b in everything a tree holds (owner, mode, nanosecond times of everything but
// atime, all xattrs, link groups, device numbers, contents).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string_view>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::snapshot {

enum class ChangeKind : std::uint8_t {
  add,         // not in the old tree
  modify,      // in both, and different in anything a tree holds
  remove,      // not in the new tree
  opaque,      // only if asked for (Opaque::keep): the directory that was just reported hides all that was in the old
               // one; the removals that follow from it are not listed
  unmodified,  // only if asked for (Replay::hard_links): another name of an inode that a change is about, itself
               // untouched, so that a writer can keep link groups together
};

// Whether BuildKit's differs would have seen a modification: they compare whole seconds unless both have nanoseconds, and
// of the xattrs only security.capability (spec/storage 4.3). Layers are written from these alone.
enum class InLayer : std::uint8_t { no, yes };

// One change. Everything in it is borrowed and good until the visitor returns.
struct Change {
  ChangeKind kind = ChangeKind::add;
  InLayer in_layer = InLayer::yes;
  const base::TreePath& path;
  struct ::stat status {};  // of the new entry; zero for remove
  // The directory that holds the new entry, open for reading, and the entry's name in it ("." for the root); -1 and "" for
  // remove. It may be a directory of a mount or of an overlay's upper: contents, link targets and xattrs are right in
  // both, xattrs named trusted.overlay.* or user.overlay.* are to be left out.
  int directory = -1;
  std::string_view name;
};

using ChangeVisitor = std::function<base::Status(const Change&)>;

}  // namespace cairn::snapshot
