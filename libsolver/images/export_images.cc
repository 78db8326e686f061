// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/export_images.h"

#include "libsolver/images/built_images.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using Type = ImageOutput::Type;

namespace {

Result<WrittenImages> write(const BuiltImages& built, const ImageExport& order, const ImageExportContext& context,
                            const std::stop_token& stop) {
  if (order.output.type == Type::image)
    return order.output.push == ImageOutput::Push::no ? WrittenImages() : push_images(built, order, context, stop);
  if (order.output.shape == ImageOutput::Shape::directory) return write_layout(built, order, context, stop);
  return write_archive(built, order, context, stop);
}

}  // namespace

Result<ImagesExported> export_images(const ImageExport& order, const ImageExportContext& context,
                                     std::stop_token stop) {
  const ImageOutput& output = order.output;
  if (order.images.empty()) return fail(ErrorCode::invalid_argument, "there is no image to export");
  if (output.type == Type::tar || output.type == Type::local) return export_trees(order, context, stop);
  if (output.type == Type::docker && (order.images.size() > 1 || order.form == ImageExport::Form::index)) {
    auto error = fail(ErrorCode::invalid_argument, "type=docker: such an archive holds an image for one platform");
    error.value().hint = "type=oci holds several";
    return error;
  }
  const BuiltImages built = TRY(build_images(order, context, stop));
  WrittenImages written = TRY(write(built, order, context, stop));

  ImagesExported exported;
  const OciDescriptor& root = built.root().descriptor;
  exported.root = ImagesExported::Root{root.digest, root.media_type, root.size};
  for (std::size_t i = 0; i < built.images.size(); ++i) {
    const BuiltImages::Image& image = built.images[i];
    exported.images.push_back({order.images[i].platform, image.manifest.descriptor.digest,
                               image.config.descriptor.digest, image.layers.size()});
  }
  exported.names = std::move(written.names);
  exported.bytes = written.bytes;
  exported.warnings = built.warnings;
  if (output.type == Type::image && output.push == ImageOutput::Push::no)
    exported.warnings.push_back(
        "the image was made and is kept nowhere: push=true sends it to a registry, type=oci writes it into a file");
  return exported;
}

}  // namespace cairn::solver
