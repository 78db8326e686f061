// SPDX-License-Identifier: Apache-2.0
// One file of a remote server, written into a tree and hashed on its way.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "libcache/fetcher.h"
#include "libsnapshot/digests.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

struct DownloadedFile {
  std::string name;  // one component
  std::int64_t mode = 0600;
  std::int64_t uid = 0, gid = 0;
  std::int64_t mtime = 0;  // seconds
};

// Writes the whole body. Returns what it hashes to. Errors: those of the body, no_space, io.
base::Result<BlobDigest> write_download(const snapshot::MountedTree& tree, const DownloadedFile& file,
                                        cache::FetchAnswer& answer,
                                        const std::function<void(std::uint64_t done, std::uint64_t total)>& progress);

}  // namespace cairn::solver
