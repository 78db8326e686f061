// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/export_images.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<ImagesExported> export_images(const ImageExport& order, const ImageExportContext& context,
                                     std::stop_token stop) {
  if (order.images.empty()) return fail(ErrorCode::invalid_argument, "there is no image to export");
  if (order.output.type == ImageOutput::Type::tar || order.output.type == ImageOutput::Type::local)
    return export_trees(order, context, stop);
  return fail(ErrorCode::unavailable, "images are not written yet");
}

}  // namespace cairn::solver
