// SPDX-License-Identifier: Apache-2.0
// Manifests and indexes of images, OCI's and Docker's, written as BuildKit writes them.
#pragma once

#include <string>
#include <vector>

#include "libsolver/images.h"
#include "libsolver/sources/oci_json.h"

namespace cairn::solver {

using Annotations = std::map<std::string, std::string>;

// The media types of one image's documents.
struct DocumentTypes {
  std::string_view manifest, config, index;
  static DocumentTypes of(ImageOutput::MediaTypes types);
};
std::string layer_media_type(ImageOutput::MediaTypes types, base::Compression compression);

std::string write_manifest(const DocumentTypes& types, const OciDescriptor& config,
                           const std::vector<OciDescriptor>& layers, const Annotations& annotations);
std::string write_index(std::string_view media_type, const std::vector<OciDescriptor>& manifests,
                        const Annotations& annotations);
// One line.
std::string write_descriptor(const OciDescriptor& descriptor);

// Those of a place; of manifests, those of a platform ("linux/amd64").
Annotations annotations_of(const std::vector<ImageAnnotation>& all, ImageAnnotation::Place place,
                           const std::string& platform);

// manifest.json of an archive that `docker load` reads.
std::string write_docker_manifest(const BlobDigest& config, const std::vector<std::string>& names,
                                  const std::vector<OciDescriptor>& layers);

}  // namespace cairn::solver
