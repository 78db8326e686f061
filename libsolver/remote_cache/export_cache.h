// SPDX-License-Identifier: Apache-2.0
// From what a solve has found to a cache that lies somewhere: records and links, then the layers of results, then what
// of it is missing there.
#pragma once

#include "libcache/cache.h"
#include "libsolver/remote_cache/cache_place.h"
#include "libsolver/result_store.h"

namespace cairn::solver {

struct CacheExportContext {
  ResultStore& results;  // of the solver
  cache::Cache& cache;
  BlobOrigins& origins;
};

// See Solver::export_cache.
base::Result<CacheExported> export_cache(const KeyGraph& keys, const CacheExport& order, CachePlace& place,
                                         const CacheExportContext& context, std::stop_token stop);

// See Solver::inline_cache.
base::Result<std::string> inline_cache(const KeyGraph& keys, const std::vector<CacheLayer>& image,
                                       const CacheExportContext& context, std::stop_token stop);

}  // namespace cairn::solver
