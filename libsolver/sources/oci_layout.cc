// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/oci_layout.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libsolver/sources/platform_match.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

constexpr int index_depth_max = 8;
constexpr std::size_t documents_max = 512;

// A file that must hold exactly so many bytes.
class LayerFile final : public base::ByteSource {
 public:
  LayerFile(base::Fd fd, std::uint64_t size, std::string name)
      : fd_(std::move(fd)), left_(size), name_(std::move(name)) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    if (out.empty()) return 0;
    if (left_ == 0) return expect_end();
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left_, out.size()));
    const std::size_t count = TRY(base::read_full(fd_.get(), out.first(wanted)), "read {}", name_);
    if (count == 0) return fail(ErrorCode::corrupt, "{}: ends {} bytes too early", name_, left_);
    left_ -= count;
    return count;
  }

 private:
  Result<std::size_t> expect_end() {
    std::array<std::byte, 1> extra;
    if (TRY(base::read_full(fd_.get(), extra), "read {}", name_) != 0) {
      return fail(ErrorCode::corrupt, "{}: has more bytes than the manifest says", name_);
    }
    return 0;
  }

  base::Fd fd_;
  std::uint64_t left_;
  std::string name_;
};

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

bool is_attestation(const OciDescriptor& descriptor) {
  if (descriptor.annotations.contains("vnd.docker.reference.type")) return true;
  return descriptor.platform && descriptor.platform->os == "unknown" && descriptor.platform->architecture == "unknown";
}

// The name that index.json gives an entry; "" if it has none.
std::string tag_of(const OciDescriptor& descriptor) {
  const auto found = descriptor.annotations.find("org.opencontainers.image.ref.name");
  return found == descriptor.annotations.end() ? std::string() : found->second;
}

base::TreePath blob_path(const BlobDigest& digest) {
  static const base::TreePath folder = base::TreePath().child("blobs").child("sha256");
  return folder.child(digest.hex());
}

Result<std::string> read_text(int dir, std::string_view name) {
  return base::read_beneath(dir, base::TreePath().child(name), OciDocumentLimits::bytes_max, base::Follow::in_root);
}

}  // namespace

// What a walk through nested indexes has found so far.
struct OciLayout::Search {
  const wire::Platform& wanted;
  std::size_t documents = 0;
  std::set<BlobDigest> seen;  // indexes already searched: listing one again changes nothing
  std::size_t best_rank = 0;
  std::optional<OciDescriptor> best;
  std::set<std::string> offered;

  Status count_document() {
    if (++documents <= documents_max) return {};
    return fail(ErrorCode::invalid_argument, "more than {} documents in one image index", documents_max);
  }
};

Result<OciLayout> OciLayout::open(const base::HostPath& dir) {
  OciLayout layout(dir, TRY(base::open_host_dir(dir), "open OCI layout {}", dir.str()));
  auto version = read_text(layout.fd_.get(), "oci-layout");
  if (!version && version.error().code == ErrorCode::not_found) {
    auto error = fail(ErrorCode::not_found, "{} is not an OCI layout: it has no file \"oci-layout\"", dir.str());
    error.value().hint = "unpack the image there first, for example with `tar -x` or `skopeo copy … oci:DIR`";
    return error;
  }
  const std::string text = TRY(std::move(version), "read {}/oci-layout", dir.str());
  TRY(check_oci_layout_version(text), "{}/oci-layout", dir.str());
  return layout;
}

Result<base::Fd> OciLayout::open_blob(const BlobDigest& digest) const {
  const base::TreePath path = blob_path(digest);
  // Without O_NONBLOCK a fifo in the place of a blob would wait for ever.
  auto opened = base::open_beneath(fd_.get(), path, O_RDONLY | O_NONBLOCK, 0, base::Follow::in_root);
  if (!opened && opened.error().code == ErrorCode::not_found) {
    const auto there = base::find_stat_beneath(fd_.get(), path, base::Follow::in_root);
    const bool is_link = there && *there && S_ISLNK((*there)->st_mode);
    return fail(ErrorCode::not_found, "blob {} of OCI layout {} {}", digest, dir_.str(),
                is_link ? "is a link that leads nowhere or out of the layout" : "is missing");
  }
  base::Fd fd = TRY(std::move(opened), "open blob {} of OCI layout {}", digest, dir_.str());
  if (!S_ISREG(TRY(base::stat_fd(fd.get())).st_mode)) {
    return fail(ErrorCode::corrupt, "blob {} of OCI layout {} is not a regular file", digest, dir_.str());
  }
  return fd;
}

Result<std::string> OciLayout::read_blob(const BlobDigest& digest) const {
  const base::Fd fd = TRY(open_blob(digest));
  std::string bytes =
      TRY(base::read_all(fd.get(), OciDocumentLimits::bytes_max), "read blob {} of OCI layout {}", digest, dir_.str());
  const auto actual = base::digest_of<BlobDigest>(bytes);
  if (actual != digest) {
    return fail(ErrorCode::corrupt, "blob {} of OCI layout {} holds other bytes: {}", digest, dir_.str(), actual);
  }
  return bytes;
}

Result<std::string> OciLayout::read_document(const OciDescriptor& descriptor) const {
  std::string bytes = TRY(read_blob(descriptor.digest));
  if (bytes.size() != descriptor.size) {
    return fail(ErrorCode::corrupt, "blob {} of OCI layout {} has {} bytes where {} are announced", descriptor.digest,
                dir_.str(), bytes.size(), descriptor.size);
  }
  return bytes;
}

Status OciLayout::consider(const OciDescriptor& manifest, const wire::Platform& offered, Search& search) const {
  search.offered.insert(platform_text(offered));
  const auto rank = platform_rank(search.wanted, offered);
  if (!rank || (search.best && search.best_rank <= *rank)) return {};
  search.best_rank = *rank;
  search.best = manifest;
  return {};
}

Status OciLayout::search_index(const OciIndex& index, int depth, Search& search) const {
  if (depth > index_depth_max) {
    return fail(ErrorCode::invalid_argument, "image indexes nested more than {} deep", index_depth_max);
  }
  for (const OciDescriptor& entry : index.manifests) {
    if (is_attestation(entry)) continue;
    if (is_index_type(entry.media_type)) {
      if (entry.platform && !platform_rank(search.wanted, *entry.platform)) {
        search.offered.insert(platform_text(*entry.platform));
        continue;
      }
      if (!search.seen.insert(entry.digest).second) continue;
      TRY(search.count_document());
      const std::string bytes = TRY(read_document(entry));
      const auto nested = TRY(parse_oci_index(bytes), "blob {} of OCI layout {}", entry.digest, dir_.str());
      TRY(search_index(nested, depth + 1, search));
    } else if (is_manifest_type(entry.media_type)) {
      if (entry.platform) {
        TRY(consider(entry, *entry.platform, search));
        continue;
      }
      // Nothing is said of the platform here: only the config knows.
      TRY(search.count_document());
      std::string bytes = TRY(read_document(entry));
      const auto image = TRY(load_image(entry.digest, entry.digest, std::move(bytes)));
      TRY(consider(entry, image.platform, search));
    }
  }
  return {};
}

Result<OciImage> OciLayout::load_image(const BlobDigest& root, const BlobDigest& manifest, std::string bytes) const {
  const std::string name = fmt::format("manifest {} of OCI layout {}", manifest, dir_.str());
  const auto document = TRY(parse_oci_root(bytes), "{}", name);
  const auto* parsed = std::get_if<OciManifest>(&document);
  if (!parsed) return fail(ErrorCode::corrupt, "{}: an image index where a manifest is announced", name);

  OciImage image;
  image.root = root;
  image.manifest = manifest;
  image.manifest_bytes = std::move(bytes);
  image.config = parsed->config.digest;
  image.config_bytes = TRY(read_document(parsed->config), "config of {}", name);
  const auto config = TRY(parse_oci_config(image.config_bytes), "config {} of OCI layout {}", image.config, dir_.str());
  image.platform = config.platform;
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

Result<OciImage> OciLayout::resolve(const BlobDigest& root, const wire::Platform& platform) const {
  std::string bytes = TRY(read_blob(root));
  const auto document = TRY(parse_oci_root(bytes), "blob {} of OCI layout {}", root, dir_.str());
  const auto* index = std::get_if<OciIndex>(&document);
  if (!index) return load_image(root, root, std::move(bytes));

  Search search{.wanted = platform, .documents = 1, .seen = {root}, .best_rank = 0, .best = {}, .offered = {}};
  TRY(search_index(*index, 1, search), "image index {} of OCI layout {}", root, dir_.str());
  if (!search.best) {
    auto error = fail(ErrorCode::not_found, "image index {} of OCI layout {} has nothing for {}", root, dir_.str(),
                      platform_text(platform));
    std::string list;
    for (const auto& text : search.offered) list += (list.empty() ? "" : ", ") + text;
    error.value().hint = list.empty() ? "it holds no image" : "it has " + list;
    return error;
  }
  bytes = TRY(read_document(*search.best));
  return load_image(root, search.best->digest, std::move(bytes));
}

Result<std::unique_ptr<base::ByteSource>> OciLayout::open_layer(const OciLayer& layer) const {
  std::string name = fmt::format("layer {} of OCI layout {}", layer.digest, dir_.str());
  base::Fd fd = TRY(open_blob(layer.digest));
  const auto size = static_cast<std::uint64_t>(TRY(base::stat_fd(fd.get())).st_size);
  if (size != layer.size) {
    return fail(ErrorCode::corrupt, "{}: {} bytes where the manifest says {}", name, size, layer.size);
  }
  return std::make_unique<LayerFile>(std::move(fd), layer.size, std::move(name));
}

Result<BlobDigest> OciLayout::find_tag(std::string_view name) const {
  const std::string place = dir_.str() + "/index.json";
  const std::string bytes = TRY(read_text(fd_.get(), "index.json"), "read {}", place);
  const auto index = TRY(parse_oci_index(bytes), "{}", place);
  std::set<BlobDigest> found;
  std::string tags;
  for (const OciDescriptor& entry : index.manifests) {
    const std::string tag = tag_of(entry);
    if (!tag.empty() && tags.size() < 1000) tags += (tags.empty() ? "" : ", ") + tag;
    if (name.empty() ? !is_attestation(entry) : tag == name) found.insert(entry.digest);
  }
  if (found.size() == 1) return *found.begin();
  const std::string wanted = name.empty() ? "an image" : fmt::format("\"{}\"", name);
  auto error = found.empty() ? fail(ErrorCode::not_found, "{} does not name {}", place, wanted)
                             : fail(ErrorCode::invalid_argument, "{} names {} images as {}", place, found.size(),
                                    name.empty() ? "its content" : wanted);
  if (!tags.empty()) error.value().hint = "the names there are: " + tags;
  return error;
}

}  // namespace cairn::solver
