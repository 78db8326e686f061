// SPDX-License-Identifier: Apache-2.0
// Whether two entries are the same, by the two rules there are: everything a tree holds, and what BuildKit's differs look
// at (spec/storage 4.3). The rules differ in both directions of care: BuildKit does not see a user xattr, and it does
// not see other bytes behind an equal time.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

#include "libsnapshot/changes.h"

namespace cairn::snapshot {

// An entry of a tree: a name in an open directory, and its status.
struct Entry {
  int directory = -1;
  const char* name = "";
  struct ::stat status {};
};

struct Comparison {
  bool same = true;                  // as inodes; what names it has is not compared here
  InLayer in_layer = InLayer::no;    // yes implies not same
};

// Reads what it has to, contents last. Errors: cancelled, io.
base::Result<Comparison> compare_entries(const Entry& lower, const Entry& upper, const ChangeOptions& options);

// The xattrs of an entry, without the marks of overlayfs and without what is another form of one that is there.
base::Result<std::map<std::string, std::string>> tree_xattrs(int directory, const char* name);

base::Result<std::string> read_link(int directory, const char* name);

}  // namespace cairn::snapshot
