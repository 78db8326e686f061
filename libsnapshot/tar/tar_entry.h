// SPDX-License-Identifier: Apache-2.0
// One member of a tar archive, as written: nothing in it has been checked against a tree.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

namespace cairn::snapshot {

enum class EntryType { file, directory, symlink, hard_link, character_device, block_device, fifo };

struct TarEntry {
  EntryType type = EntryType::file;
  std::string name;
  std::string link;  // of links only
  mode_t mode = 0;   // permissions and set-uid, set-gid, sticky
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t device = 0;
  std::uint64_t size = 0;  // of a file, holes included
  timespec mtime{};
  std::vector<std::pair<std::string, std::string>> xattrs;
};

}  // namespace cairn::snapshot
