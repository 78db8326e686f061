// SPDX-License-Identifier: Apache-2.0
// What a stage takes of whoever builds it, noted while it is converted.
#pragma once

#include <map>
#include <set>
#include <string>

#include "libdockerfile/diagnostics.h"

namespace cairn::dockerfile {

struct DeclaredArg {
  std::string description, value;
  Lines lines;
  std::set<std::string> needs;  // other arguments that its default is made of
};
using DeclaredArgs = std::map<std::string, DeclaredArg>;

struct StageParameters {
  struct Mount {
    bool required = false;
    Lines lines;
  };
  using Mounts = std::map<std::string, Mount>;  // by id

  DeclaredArgs args;  // what is taken from before the first FROM as it is there is not among them
  std::set<std::string> used_args;
  Mounts secrets, ssh, caches;

  // Of one that several steps mount the first place counts, and whether any of them requires it.
  static void add(Mounts& mounts, const std::string& id, bool required, Lines lines) {
    Mount& mount = mounts.try_emplace(id, Mount{false, lines}).first->second;
    mount.required = mount.required || required;
  }
};

}  // namespace cairn::dockerfile
