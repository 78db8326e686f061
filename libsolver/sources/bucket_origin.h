// SPDX-License-Identifier: Apache-2.0
// Where a blob is in a bucket, as the cache remembers origins: a repository whose host says the bucket, and whose path
// what the names of blobs there begin with.
#pragma once

#include <optional>
#include <string>

#include "libcache/bucket.h"
#include "libcache/registry.h"

namespace cairn::solver {

cache::RepositoryName bucket_origin(const cache::BucketAddress& bucket, const std::string& blobs);
// nullopt: it is none; no registry is called so.
std::optional<cache::BucketAddress> bucket_of_origin(const cache::RepositoryName& origin);

}  // namespace cairn::solver
