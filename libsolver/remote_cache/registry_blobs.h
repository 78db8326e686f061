// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "libcache/registry.h"
#include "libsolver/sources/blob_origins.h"

namespace cairn::solver {

struct OpenedRepository {
  cache::RepositoryName name;
  std::shared_ptr<cache::Repository> repository;
};

// Puts a blob there, if it is not; whether it was sent. One that another repository of the registry is known to have is
// taken over from there.
base::Result<bool> put_blob(const OpenedRepository& into, BlobOrigins& origins, const BlobDigest& digest,
                            std::uint64_t size, const cache::Repository::OpenBlob& open, std::stop_token stop);

}  // namespace cairn::solver
