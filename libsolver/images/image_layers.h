// SPDX-License-Identifier: Apache-2.0
// The layers of an image as it is exported: those of its records, or, where the order wants other bytes (another
// compression, no time beyond an epoch), views of them that are written for this export. The store's own stay.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libsnapshot/layer.h"
#include "libsolver/images/export_images.h"
#include "libsolver/remote_cache/result_layers.h"

namespace cairn::solver {

struct ImageLayer {
  CacheLayer blob;  // in the store, or where BlobOrigins says
  std::string description;
  base::WallTime created;
  bool is_rewritten = false;  // no time in it is beyond the epoch
};

// Not thread-safe.
class ImageLayers {
 public:
  ImageLayers(const ImageOutput& output, std::optional<std::int64_t> epoch, const ImageExportContext& context,
              std::stop_token stop)
      : output_(output),
        epoch_(epoch),
        context_(context),
        stop_(std::move(stop)),
        known_(context.cache, output.compression, stop_) {}

  // Lowest first. Layers of the base image are never rewritten for their times.
  base::Result<std::vector<ImageLayer>> of(const ImageToExport& image);

 private:
  base::Result<CacheLayer> blob_of(const cache::ImmutableRef& record, const std::optional<cache::LayerBlob>& known);
  base::Result<CacheLayer> write(const cache::ImmutableRef& record, bool whole_tree);
  base::Result<CacheLayer> rewrite(const cache::LayerBlob& from);
  base::Result<CacheLayer> convert(const cache::LayerBlob& from);
  snapshot::WriteOptions options() const;

  const ImageOutput& output_;
  const std::optional<std::int64_t> epoch_;
  const ImageExportContext& context_;
  const std::stop_token stop_;
  ResultLayers known_;
};

}  // namespace cairn::solver
