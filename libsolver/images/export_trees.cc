// SPDX-License-Identifier: Apache-2.0
// The trees of results, without documents: as one archive, or in a directory. Several platforms are a directory each.
#include <algorithm>

#include "libbase/fs/host_tree.h"
#include "libsnapshot/layer.h"
#include "libsolver/export_local.h"
#include "libsolver/images/archive_file.h"
#include "libsolver/images/export_images.h"
#include "libsolver/sources/platform_match.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::HostPath;
using base::Result;
using base::Status;

namespace {

using Split = ImageOutput::Split;

// "linux_amd64"; "": it has no directory of its own.
std::string directory_of(const ImageExport& order, const ImageToExport& image) {
  const bool splits =
      order.output.split == Split::yes || (order.output.split == Split::by_count && order.images.size() > 1);
  std::string name = splits ? platform_text(image.platform) : "";
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

Result<snapshot::MountedTree> mount(const ImageToExport& image, const ImageExportContext& context,
                                    const std::stop_token& stop) {
  if (!image.result) {
    const auto empty = TRY(base::TemporaryDir::create(TRY(HostPath::parse("/tmp"))));
    return snapshot::MountedTree(TRY(base::open_host_dir(empty.path())));
  }
  TRY(context.cache.unlazy(*image.result, context.origins.provider(), stop));
  return image.result->mount();
}

class TarExport {
 public:
  TarExport(const ImageExport& order, const ImageExportContext& context, const std::stop_token& stop)
      : order_(order), context_(context), stop_(stop), epoch_(order.output.epoch ? order.output.epoch : order.epoch) {}

  Result<ImagesExported> run() {
    if (order_.output.split == Split::no && order_.images.size() > 1)
      return fail(ErrorCode::invalid_argument, "platform-split=false: one archive cannot hold {} trees at one place",
                  order_.images.size());
    ArchiveFile file = TRY(ArchiveFile::open(order_));
    for (std::size_t i = 0; i < order_.images.size(); ++i) {
      const ImageToExport& image = order_.images[i];
      const snapshot::MountedTree tree = TRY(mount(image, context_, stop_));
      TRY(write(tree, directory_of(order_, image), i + 1 == order_.images.size(), file));
    }
    exported_.bytes = file.bytes();
    TRY(std::move(file).finish());
    return std::move(exported_);
  }

 private:
  Status write(const snapshot::MountedTree& tree, const std::string& directory, bool is_last, ArchiveFile& file) {
    snapshot::WriteOptions options;
    options.compression = base::Compression::none;
    options.time_max = epoch_;
    options.prefix = directory.empty() ? "" : directory + "/";
    options.end = is_last ? snapshot::WriteOptions::End::written : snapshot::WriteOptions::End::left_out;
    options.stop = stop_;
    const auto changes = [&](const snapshot::ChangeVisitor& visitor) {
      return snapshot::changes_between(std::nullopt, tree.fd(), visitor, snapshot::changes_for_layer(stop_));
    };
    const auto written =
        TRY(snapshot::write_layer(tree, changes, [&](std::string_view bytes) { return file.write(bytes); }, options));
    exported_.files += written.members;
    return {};
  }

  const ImageExport& order_;
  const ImageExportContext& context_;
  const std::stop_token& stop_;
  const std::optional<std::int64_t> epoch_;
  ImagesExported exported_;
};

Result<ImagesExported> export_directories(const ImageExport& order, const ImageExportContext& context,
                                          const std::stop_token& stop) {
  ImagesExported exported;
  for (const ImageToExport& image : order.images) {
    HostPath dest = TRY(HostPath::parse(order.output.dest), "dest={}", order.output.dest);
    if (const std::string directory = directory_of(order, image); !directory.empty()) dest = dest / directory;
    if (!image.result) {
      TRY(base::make_host_dirs(dest));
      continue;
    }
    const snapshot::MountedTree tree = TRY(mount(image, context, stop));
    const std::uint64_t before = exported.bytes;
    const auto progress = [&](std::uint64_t done, std::uint64_t) {
      if (order.progress) order.progress(before + done, 0);
    };
    const ExportReport report = TRY(export_local(tree, dest, stop, progress));
    exported.files += report.files;
    exported.bytes += report.bytes;
    exported.warnings.insert(exported.warnings.end(), report.warnings.begin(), report.warnings.end());
  }
  return exported;
}

}  // namespace

Result<ImagesExported> export_trees(const ImageExport& order, const ImageExportContext& context,
                                    const std::stop_token& stop) {
  if (order.output.type == ImageOutput::Type::local) return export_directories(order, context, stop);
  return TarExport(order, context, stop).run();
}

}  // namespace cairn::solver
