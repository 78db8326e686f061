// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/oci_image.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "libsolver/sources/platform_match.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

bool is_attestation(const OciDescriptor& descriptor) {
  if (descriptor.annotations.contains("vnd.docker.reference.type")) return true;
  return descriptor.platform && descriptor.platform->os == "unknown" && descriptor.platform->architecture == "unknown";
}

namespace {

constexpr int index_depth_max = 8;
constexpr std::size_t documents_max = 512;

bool is_layer_type(std::string_view media_type) {
  static constexpr std::array<std::string_view, 6> types = {"application/vnd.oci.image.layer.v1.tar",
                                                            "application/vnd.oci.image.layer.v1.tar+gzip",
                                                            "application/vnd.oci.image.layer.v1.tar+zstd",
                                                            "application/vnd.docker.image.rootfs.diff.tar",
                                                            "application/vnd.docker.image.rootfs.diff.tar.gzip",
                                                            "application/vnd.docker.image.rootfs.diff.tar.zstd"};
  return std::find(types.begin(), types.end(), media_type) != types.end();
}

bool is_not_distributed(std::string_view media_type) {
  return media_type.find(".nondistributable.") != std::string_view::npos ||
         media_type.find(".foreign.") != std::string_view::npos;
}

using Kind = OciDocuments::Kind;

// A walk through nested indexes.
class ImageSearch {
 public:
  ImageSearch(const OciDocuments& documents, const wire::Platform& wanted)
      : documents_(documents), place_(documents.place()), wanted_(wanted) {}
  Result<OciImage> resolve(const BlobDigest& root);

 private:
  Result<std::string> read(Kind kind, const BlobDigest& digest) {
    read_.push_back(digest);
    return documents_.read(kind, digest);
  }
  Result<std::string> read_document(Kind kind, const OciDescriptor& descriptor);
  Status count_document() {
    if (++count_ <= documents_max) return {};
    return fail(ErrorCode::invalid_argument, "more than {} documents in one image index", documents_max);
  }
  Status search_index(const OciIndex& index, int depth);
  Status consider(const OciDescriptor& manifest, const wire::Platform& offered);
  Result<OciImage> load_image(const BlobDigest& root, const BlobDigest& manifest, std::string bytes);
  base::Error nothing_for(const BlobDigest& root) const;

  const OciDocuments& documents_;
  const std::string place_;
  const wire::Platform& wanted_;
  std::vector<BlobDigest> read_;
  std::size_t count_ = 1;
  std::set<BlobDigest> seen_;  // indexes already searched: listing one again changes nothing
  std::size_t best_rank_ = 0;
  std::optional<OciDescriptor> best_;
  std::set<std::string> offered_;
};

Result<std::string> ImageSearch::read_document(OciDocuments::Kind kind, const OciDescriptor& descriptor) {
  std::string bytes = TRY(read(kind, descriptor.digest));
  if (bytes.size() != descriptor.size) {
    return fail(ErrorCode::corrupt, "blob {} of {} has {} bytes where {} are announced", descriptor.digest,
                place_, bytes.size(), descriptor.size);
  }
  return bytes;
}

Status ImageSearch::consider(const OciDescriptor& manifest, const wire::Platform& offered) {
  offered_.insert(platform_text(offered));
  const auto rank = platform_rank(wanted_, offered);
  if (!rank || (best_ && best_rank_ <= *rank)) return {};
  best_rank_ = *rank;
  best_ = manifest;
  return {};
}

Status ImageSearch::search_index(const OciIndex& index, int depth) {
  if (depth > index_depth_max) {
    return fail(ErrorCode::invalid_argument, "image indexes nested more than {} deep", index_depth_max);
  }
  for (const OciDescriptor& entry : index.manifests) {
    if (is_attestation(entry)) continue;
    if (is_index_type(entry.media_type)) {
      if (entry.platform && !platform_rank(wanted_, *entry.platform)) {
        offered_.insert(platform_text(*entry.platform));
        continue;
      }
      if (!seen_.insert(entry.digest).second) continue;
      TRY(count_document());
      const std::string bytes = TRY(read_document(Kind::manifest, entry));
      const auto nested = TRY(parse_oci_index(bytes), "blob {} of {}", entry.digest, place_);
      TRY(search_index(nested, depth + 1));
    } else if (is_manifest_type(entry.media_type)) {
      if (entry.platform) {
        TRY(consider(entry, *entry.platform));
        continue;
      }
      // Nothing is said of the platform here: only the config knows.
      TRY(count_document());
      std::string bytes = TRY(read_document(Kind::manifest, entry));
      const auto image = TRY(load_image(entry.digest, entry.digest, std::move(bytes)));
      TRY(consider(entry, image.platform));
    }
  }
  return {};
}

Result<OciImage> ImageSearch::load_image(const BlobDigest& root, const BlobDigest& manifest, std::string bytes) {
  const std::string name = fmt::format("manifest {} of {}", manifest, place_);
  const auto document = TRY(parse_oci_root(bytes), "{}", name);
  const auto* parsed = std::get_if<OciManifest>(&document);
  if (!parsed) return fail(ErrorCode::corrupt, "{}: an image index where a manifest is announced", name);

  OciImage image;
  image.root = root;
  image.manifest = manifest;
  image.manifest_bytes = std::move(bytes);
  image.config = parsed->config.digest;
  image.config_bytes = TRY(read_document(Kind::config, parsed->config), "config of {}", name);
  const auto config = TRY(parse_oci_config(image.config_bytes), "config {} of {}", image.config, place_);
  image.platform = config.platform;
  image.other_rootfs = config.other_rootfs;
  if (!image.other_rootfs.empty()) return image;
  if (config.diff_ids.size() != parsed->layers.size()) {
    return fail(ErrorCode::corrupt, "{}: {} layers, but its config has {} diff_ids", name, parsed->layers.size(),
                config.diff_ids.size());
  }
  ChainId chain;
  for (std::size_t i = 0; i < parsed->layers.size(); ++i) {
    const OciDescriptor& layer = parsed->layers[i];
    if (is_not_distributed(layer.media_type)) {
      return fail(ErrorCode::unavailable, "not supported: layer {} of {} is not distributed with the image (\"{}\")",
                  layer.digest, name, layer.media_type);
    }
    if (!is_layer_type(layer.media_type)) {
      return fail(ErrorCode::unavailable, "not supported: layer {} of {} has the media type \"{}\"", layer.digest, name,
                  layer.media_type.substr(0, 100));
    }
    image.layers.push_back({layer.digest, layer.size, layer.media_type, config.diff_ids[i]});
    chain = chain_id(chain, config.diff_ids[i]);
    image.chain_ids.push_back(chain);
  }
  return image;
}

base::Error ImageSearch::nothing_for(const BlobDigest& root) const {
  auto error = fail(ErrorCode::not_found, "image index {} of {} has nothing for {}", root, place_, platform_text(wanted_)).value();
  std::string list;
  for (const auto& text : offered_) list += (list.empty() ? "" : ", ") + text;
  error.hint = list.empty() ? "it holds no image" : "it has " + list;
  return error;
}

Result<OciImage> ImageSearch::resolve(const BlobDigest& root) {
  std::string bytes = TRY(read(Kind::manifest, root));
  const auto document = TRY(parse_oci_root(bytes), "blob {} of {}", root, place_);
  if (const auto* index = std::get_if<OciIndex>(&document)) {
    seen_.insert(root);
    TRY(search_index(*index, 1), "image index {} of {}", root, place_);
    if (!best_) return tl::unexpected(nothing_for(root));
    bytes = TRY(read_document(Kind::manifest, *best_));
  }
  OciImage image = TRY(load_image(root, best_ ? best_->digest : root, std::move(bytes)));
  std::sort(read_.begin(), read_.end());
  read_.erase(std::unique(read_.begin(), read_.end()), read_.end());
  image.documents = std::move(read_);
  return image;
}

}  // namespace

Result<OciImage> resolve_oci_image(const OciDocuments& documents, const BlobDigest& root, const wire::Platform& platform) {
  return ImageSearch(documents, platform).resolve(root);
}

void limit_layers(OciImage& image, std::int64_t limit) {
  if (limit <= 0 || image.layers.size() <= static_cast<std::size_t>(limit)) return;
  image.layers.resize(static_cast<std::size_t>(limit));
  image.chain_ids.resize(static_cast<std::size_t>(limit));
}

Status check_rootfs(const OciImage& image) {
  if (image.other_rootfs.empty()) return {};
  return fail(ErrorCode::unavailable, "not supported: rootfs.type \"{}\" of config {}", image.other_rootfs, image.config);
}

base::Compression layer_compression(const OciLayer& layer) {
  if (layer.media_type.ends_with("gzip")) return base::Compression::gzip;
  return layer.media_type.ends_with("zstd") ? base::Compression::zstd : base::Compression::none;
}

}  // namespace cairn::solver
