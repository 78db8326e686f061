// SPDX-License-Identifier: Apache-2.0
// An entry of a local directory as a client of BuildKit would send it: owned by 0:0, with the attributes that are sent
// (spec/storage 3.1). Its digests are those of the tree that is made of it.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <string_view>

#include "libcache/directory_stats.h"
#include "libcache/tree_entry.h"

namespace cairn::solver {

using Xattrs = std::map<std::string, std::string>;

// mode: st_mode; size counts for regular files only, device for devices only, link for symlinks only.
cache::TreeEntry sent_entry(mode_t mode, std::uint64_t size, std::string_view link, dev_t device, const Xattrs& xattrs);

// Of what has no bytes, and of the header of a directory.
cache::NameContent header_content(const cache::TreeEntry& entry);
// Of a file: digest is that of the entry with its bytes, the same by both sets of rules, for nothing is sent that only one
// of them counts.
cache::NameContent file_content(const TreeDigest& digest, const Xattrs& xattrs);

}  // namespace cairn::solver
