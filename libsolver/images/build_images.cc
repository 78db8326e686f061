// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/built_images.h"
#include "libsolver/images/config.h"
#include "libsolver/sources/platform_match.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using Place = ImageAnnotation::Place;

namespace {

Document document(std::string_view media_type, std::string text) {
  Document made;
  made.descriptor.media_type = media_type;
  made.descriptor.digest = base::digest_of<BlobDigest>(text);
  made.descriptor.size = text.size();
  made.text = std::move(text);
  return made;
}

class Builder {
 public:
  Builder(const ImageExport& order, const ImageExportContext& context, const std::stop_token& stop)
      : output_(order.output),
        order_(order),
        epoch_(output_.epoch ? output_.epoch : order.epoch),
        types_(DocumentTypes::of(output_.media_types)),
        layers_(output_, epoch_, context, stop) {}

  Result<BuiltImages> build() {
    if (output_.timestamps == ImageOutput::Timestamps::rewrite && !epoch_)
      built_.warnings.push_back("rewrite-timestamp changes nothing: SOURCE_DATE_EPOCH is not set");
    const bool has_index = order_.form == ImageExport::Form::index || order_.images.size() > 1;
    for (const ImageToExport& image : order_.images)
      built_.images.push_back(TRY(build_image(image), "image for {}", platform_text(image.platform)));
    if (has_index) add_index();
    return std::move(built_);
  }

 private:
  Result<BuiltImages::Image> build_image(const ImageToExport& image) {
    const std::vector<ImageLayer> layers = TRY(layers_.of(image));
    ConfigFacts facts{.platform = image.platform, .layers = {}, .epoch = epoch_, .inline_cache = {}};
    std::vector<CacheLayer> blobs;
    BuiltImages::Image built;
    for (const ImageLayer& layer : layers) {
      facts.layers.push_back({layer.blob.diff, layer.description, layer.created});
      blobs.push_back(layer.blob);
      built.layers.push_back(descriptor_of(layer));
    }
    if (image.inline_cache) facts.inline_cache = TRY(image.inline_cache(blobs), "inline cache");
    built.config = document(types_.config, TRY(write_image_config(image.config, image.base_config, facts)));
    const std::string platform = platform_text(image.platform);
    built.manifest =
        document(types_.manifest, write_manifest(types_, built.config.descriptor, built.layers,
                                                 annotations_of(output_.annotations, Place::manifest, platform)));
    built.manifest.descriptor.annotations = annotations_of(output_.annotations, Place::manifest_descriptor, platform);
    return built;
  }

  OciDescriptor descriptor_of(const ImageLayer& layer) const {
    OciDescriptor descriptor;
    descriptor.media_type = layer_media_type(output_.media_types, layer.blob.compression);
    descriptor.digest = layer.blob.blob;
    descriptor.size = layer.blob.size;
    if (layer.is_rewritten && output_.media_types == ImageOutput::MediaTypes::oci)
      descriptor.annotations["buildkit/rewritten-timestamp"] = std::to_string(*epoch_);
    return descriptor;
  }

  void add_index() {
    std::vector<OciDescriptor> manifests;
    for (std::size_t i = 0; i < built_.images.size(); ++i) {
      OciDescriptor manifest = built_.images[i].manifest.descriptor;
      manifest.platform = order_.images[i].platform;
      manifests.push_back(std::move(manifest));
    }
    built_.index = document(types_.index, write_index(types_.index, manifests,
                                                      annotations_of(output_.annotations, Place::index, "")));
  }

  const ImageOutput& output_;
  const ImageExport& order_;
  const std::optional<std::int64_t> epoch_;
  const DocumentTypes types_;
  ImageLayers layers_;
  BuiltImages built_;
};

}  // namespace

std::map<BlobDigest, std::uint64_t> BuiltImages::layer_sizes() const {
  std::map<BlobDigest, std::uint64_t> sizes;
  for (const Image& image : images) {
    for (const OciDescriptor& layer : image.layers) sizes.emplace(layer.digest, layer.size);
  }
  return sizes;
}

std::map<BlobDigest, const Document*> BuiltImages::configs() const {
  std::map<BlobDigest, const Document*> found;
  for (const Image& image : images) found.emplace(image.config.descriptor.digest, &image.config);
  return found;
}

std::map<BlobDigest, const Document*> BuiltImages::manifests() const {
  std::map<BlobDigest, const Document*> found;
  for (const Image& image : images) found.emplace(image.manifest.descriptor.digest, &image.manifest);
  if (index) found.emplace(index->descriptor.digest, &*index);
  return found;
}

Result<BuiltImages> build_images(const ImageExport& order, const ImageExportContext& context,
                                 const std::stop_token& stop) {
  return Builder(order, context, stop).build();
}

}  // namespace cairn::solver
