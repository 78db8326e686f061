// SPDX-License-Identifier: Apache-2.0
// OCI layouts, in directories and in archives. The archives of one and the same image are the same, to the byte.
#include "libsnapshot/archive.h"
#include "libsolver/images/archive_file.h"
#include "libsolver/images/built_images.h"
#include "libsolver/sources/oci_layout_writer.h"
#include "libsolver/wire/go_time.h"

namespace cairn::solver {

using base::Result;
using base::Status;

namespace {

constexpr const char* created_annotation = "org.opencontainers.image.created";

// What index.json lists: the root under each name, or once without one. When it was made is said only if it was told:
// the clock would make two exports differ.
std::vector<OciLayoutWriter::Entry> entries_of(const BuiltImages& built, const ImageExport& order) {
  const ImageOutput& output = order.output;
  OciDescriptor root = built.root().descriptor;
  if (!built.index) root.platform = order.images.front().platform;
  if (const auto epoch = output.epoch ? output.epoch : order.epoch)
    root.annotations[created_annotation] = go_time(base::WallTime(std::chrono::seconds(*epoch)));
  for (const auto& [key, value] : annotations_of(output.annotations, ImageAnnotation::Place::index_descriptor, ""))
    root.annotations[key] = value;
  if (output.names.empty()) {
    // In a directory that may hold more, BuildKit's clients call it so.
    if (output.shape == ImageOutput::Shape::archive) return {{"", write_descriptor(root)}};
    root.annotations[layout_name_annotation] = "latest";
    return {{"latest", write_descriptor(root)}};
  }
  std::vector<OciLayoutWriter::Entry> entries;
  for (const std::string& name : output.names) {
    root.annotations[image_name_annotation] = name;
    root.annotations[layout_name_annotation] = name.substr(name.rfind(':') + 1);
    entries.push_back({name, write_descriptor(root)});
  }
  return entries;
}

std::string index_json(const std::vector<OciLayoutWriter::Entry>& entries) {
  std::string text = fmt::format(R"({{"schemaVersion":2,"mediaType":"{}","manifests":[)", oci_index_type);
  for (const OciLayoutWriter::Entry& entry : entries) text += (text.back() == '[' ? "" : ",") + entry.descriptor;
  return text + "]}";
}

class ImageArchive {
 public:
  ImageArchive(ArchiveFile& file, const ImageExportContext& context, const std::stop_token& stop)
      : context_(context), stop_(stop), archive_([&file](std::string_view bytes) { return file.write(bytes); }) {}

  Status write(const BuiltImages& built, const ImageExport& order) {
    const ImageOutput& output = order.output;
    TRY(archive_.add_directory("blobs"));
    TRY(archive_.add_directory("blobs/sha256"));
    TRY(write_blobs(built));
    TRY(archive_.add_file("index.json", index_json(entries_of(built, order))));
    if (output.type == ImageOutput::Type::docker) {
      const BuiltImages::Image& image = built.images.front();
      TRY(archive_.add_file("manifest.json",
                            write_docker_manifest(image.config.descriptor.digest, output.names, image.layers)));
    }
    TRY(archive_.add_file("oci-layout", oci_layout_version));
    return archive_.finish();
  }

 private:
  static std::string path_of(const BlobDigest& digest) { return "blobs/sha256/" + digest.hex(); }

  Status write_blobs(const BuiltImages& built) {
    std::map<BlobDigest, const Document*> documents = built.configs();
    documents.merge(built.manifests());
    const auto layers = built.layer_sizes();
    std::map<BlobDigest, std::uint64_t> all = layers;
    for (const auto& [digest, document] : documents) all.emplace(digest, document->text.size());
    for (const auto& [digest, size] : all) {
      if (const auto document = documents.find(digest); document != documents.end())
        TRY(archive_.add_file(path_of(digest), document->second->text));
      else
        TRY(write_layer(digest, size));
    }
    return {};
  }
  Status write_layer(const BlobDigest& digest, std::uint64_t size) {
    TRY(archive_.begin_file(path_of(digest), size));
    const auto source = TRY(context_.origins.open_blob(digest, 0, stop_));
    const auto sink = [this](std::span<const std::byte> piece) {
      return archive_.write({reinterpret_cast<const char*>(piece.data()), piece.size()});
    };
    TRY(copy_blob(digest, *source, sink, stop_));
    return archive_.end_file();
  }

  const ImageExportContext& context_;
  const std::stop_token& stop_;
  snapshot::ArchiveWriter archive_;
};

}  // namespace

Result<WrittenImages> write_archive(const BuiltImages& built, const ImageExport& order,
                                    const ImageExportContext& context, const std::stop_token& stop) {
  ArchiveFile file = TRY(ArchiveFile::open(order));
  TRY(ImageArchive(file, context, stop).write(built, order));
  const std::uint64_t bytes = file.bytes();
  TRY(std::move(file).finish());
  return WrittenImages{bytes, order.output.names};
}

Result<WrittenImages> write_layout(const BuiltImages& built, const ImageExport& order,
                                   const ImageExportContext& context, const std::stop_token& stop) {
  OciLayoutWriter layout(TRY(base::HostPath::parse(order.output.dest), "dest={}", order.output.dest));
  WrittenImages written;
  std::uint64_t total = 0;
  const auto layers = built.layer_sizes();
  for (const auto& [digest, size] : layers) total += size;
  std::uint64_t done = 0;
  for (const auto& [digest, size] : layers) {
    const BlobDigest& blob = digest;
    const auto open = [&](std::uint64_t offset) { return context.origins.open_blob(blob, offset, stop); };
    if (TRY(layout.put_blob(digest, size, open, stop))) written.bytes += size;
    if (order.progress) order.progress(done += size, total);
  }
  std::map<BlobDigest, const Document*> documents = built.configs();
  documents.merge(built.manifests());
  for (const auto& [digest, document] : documents) {
    if (TRY(layout.put_text(digest, document->text, stop))) written.bytes += document->text.size();
  }
  const base::Fd lock = TRY(layout.lock());
  TRY(layout.name(entries_of(built, order)));
  written.names = order.output.names;
  return written;
}

}  // namespace cairn::solver
