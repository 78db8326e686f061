// SPDX-License-Identifier: Apache-2.0
// What an entry of a tree has besides its contents, taken from one place and given to another.
#pragma once

#include <sys/stat.h>

#include <ctime>
#include <map>
#include <string>

#include "libbase/result.h"

namespace cairn::snapshot {

struct Metadata {
  struct ::stat status {};
  std::map<std::string, std::string> xattrs;  // without the marks of overlayfs
};

// Of a name in an open directory ("." for itself), not followed. Errors: not_found, io.
base::Result<Metadata> metadata_of(int directory, const char* name);

// Owner, mode, xattrs and mtime; atime and the marks of overlayfs are left alone, other xattrs are gone afterwards. The
// type of what is there has to be the same. Errors: no_space, io.
base::Status set_metadata(int directory, const std::string& name, const Metadata& wanted);
base::Status set_mtime(int directory, const char* name, const timespec& time);

}  // namespace cairn::snapshot
