// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/oci_layout.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libsolver/identifier.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

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

Result<std::string> OciLayout::read_blob(const BlobDigest& digest, std::size_t size_max) const {
  const base::Fd fd = TRY(open_blob(digest));
  std::string bytes = TRY(base::read_all(fd.get(), size_max), "read blob {} of OCI layout {}", digest, dir_.str());
  const auto actual = base::digest_of<BlobDigest>(bytes);
  if (actual != digest) {
    return fail(ErrorCode::corrupt, "blob {} of OCI layout {} holds other bytes: {}", digest, dir_.str(), actual);
  }
  return bytes;
}

Result<OciImage> OciLayout::resolve(const BlobDigest& root, const wire::Platform& platform) const {
  class Here final : public OciDocuments {
   public:
    explicit Here(const OciLayout& layout) : layout_(layout) {}
    Result<std::string> read(Kind, const BlobDigest& digest) const override { return layout_.read_blob(digest); }
    std::string place() const override { return "OCI layout " + layout_.dir().str(); }

   private:
    const OciLayout& layout_;
  };
  OciImage image = TRY(resolve_oci_image(Here(*this), root, platform));
  TRY(check_rootfs(image), "OCI layout {}", dir_.str());
  return image;
}

Result<std::unique_ptr<base::ByteSource>> OciLayout::open_blob_of(const BlobDigest& digest) const {
  base::Fd fd = TRY(open_blob(digest));
  const auto size = static_cast<std::uint64_t>(TRY(base::stat_fd(fd.get())).st_size);
  return std::make_unique<LayerFile>(std::move(fd), size, fmt::format("blob {} of OCI layout {}", digest, dir_.str()));
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

Result<BlobDigest> find_in_layout(const base::HostPath& dir, std::string_view tag) {
  return TRY(OciLayout::open(dir)).find_tag(tag);
}

}  // namespace cairn::solver
