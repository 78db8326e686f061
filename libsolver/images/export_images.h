// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stop_token>

#include "libcache/cache.h"
#include "libsolver/images.h"
#include "libsolver/sources/blob_origins.h"

namespace cairn::solver {

struct ImageExportContext {
  cache::Cache& cache;
  BlobOrigins& origins;
};

// See Solver::export_images.
base::Result<ImagesExported> export_images(const ImageExport& order, const ImageExportContext& context,
                                           std::stop_token stop);

// type=tar and type=local.
base::Result<ImagesExported> export_trees(const ImageExport& order, const ImageExportContext& context,
                                          const std::stop_token& stop);

}  // namespace cairn::solver
