// SPDX-License-Identifier: Apache-2.0
// Makes the disk and the rows of blobs agree, as Cache::repair_blobs() says.
#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "libcache/blobs/blob_rows.h"
#include "libcache/cache.h"

namespace cairn::cache {

class Packs;

base::Result<BlobRepair> repair_blobs(Store& store, std::stop_token stop);

// Why a blob that is a file, or in a pack, cannot be what its row says; empty: it can. Only what a look tells.
base::Result<std::string> look_at_file(const base::HostPath& path, std::uint64_t size);
base::Result<std::string> look_at_entry(Packs& packs, const BlobDigest& digest, const BlobRow& row);
// The files that blobs have, whether a row names them or not. What is no blob by its name is passed over.
base::Status each_blob_file(const base::HostPath& root, const std::stop_token& stop,
                            const std::function<base::Status(const BlobDigest&, std::int64_t allocated_bytes)>& visit);

}  // namespace cairn::cache
