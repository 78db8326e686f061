// SPDX-License-Identifier: Apache-2.0
// One file of a remote server, written into a tree and hashed on its way.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "libbase/hash/sha2.h"
#include "libcache/fetcher.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

struct DownloadedFile {
  std::string name;  // one component
  std::int64_t mode = 0600;
  std::int64_t uid = 0, gid = 0;
  std::int64_t mtime = 0;  // seconds
};

struct DownloadRules {
  base::Sha2 algorithm = base::Sha2::sha256;
  std::uint64_t bytes_max = ~std::uint64_t{0};
};

// Writes the whole body. Returns what it hashes to, as text. Errors: invalid_argument (more than bytes_max), those of the body,
// no_space, io.
base::Result<std::string> write_download(const snapshot::MountedTree& tree, const DownloadedFile& file,
                                         cache::FetchAnswer& answer, const DownloadRules& rules,
                                         const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

}  // namespace cairn::solver
