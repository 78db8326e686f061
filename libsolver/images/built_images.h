// SPDX-License-Identifier: Apache-2.0
// The documents and layers of an export, complete in memory but for the bytes of layers: what every writer writes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "libsolver/images/documents.h"
#include "libsolver/images/image_layers.h"

namespace cairn::solver {

struct Document {
  OciDescriptor descriptor;
  std::string text;
};

struct BuiltImages {
  struct Image {
    Document config, manifest;
    std::vector<OciDescriptor> layers;
  };
  std::vector<Image> images;
  std::optional<Document> index;
  std::vector<std::string> warnings;

  const Document& root() const { return index ? *index : images.front().manifest; }
  // Each layer and config once, in the order of their digests.
  std::map<BlobDigest, std::uint64_t> layer_sizes() const;
  std::map<BlobDigest, const Document*> configs() const;
  std::map<BlobDigest, const Document*> manifests() const;  // the index too
};

base::Result<BuiltImages> build_images(const ImageExport& order, const ImageExportContext& context,
                                       const std::stop_token& stop);

// Each writer gives how many bytes it wrote or sent, and the names that stand for the root now.
struct WrittenImages {
  std::uint64_t bytes = 0;
  std::vector<std::string> names;
};
base::Result<WrittenImages> write_archive(const BuiltImages& built, const ImageExport& order,
                                          const ImageExportContext& context, const std::stop_token& stop);
base::Result<WrittenImages> write_layout(const BuiltImages& built, const ImageExport& order,
                                         const ImageExportContext& context, const std::stop_token& stop);
base::Result<WrittenImages> push_images(const BuiltImages& built, const ImageExport& order,
                                        const ImageExportContext& context, const std::stop_token& stop);

}  // namespace cairn::solver
