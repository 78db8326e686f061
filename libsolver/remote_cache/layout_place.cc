// SPDX-License-Identifier: Apache-2.0
// Caches in OCI layouts. Whoever changes index.json holds a lock on the directory, so exporters of one machine wait for
// each other.
#include <nlohmann/json.hpp>

#include "libsolver/remote_cache/cache_place.h"
#include "libsolver/sources/oci_layout.h"
#include "libsolver/sources/oci_layout_writer.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::HostPath;
using base::Result;
using base::Status;
using Json = nlohmann::ordered_json;

class LayoutPlace final : public CachePlace {
 public:
  explicit LayoutPlace(const CacheAddress& address)
      : address_(address), dir_(must_parse(address.place)), writer_(dir_) {}

  Result<std::optional<NamedManifest>> find_manifest(std::stop_token) override {
    auto layout = OciLayout::open(dir_);
    if (!layout) return none_if_missing(std::move(layout).error());
    BlobDigest digest;
    if (address_.digest) {
      digest = *address_.digest;
    } else {
      const auto tagged = layout->find_tag(address_.tag);
      if (!tagged) return none_if_missing(tagged.error());
      digest = *tagged;
    }
    return std::optional(NamedManifest{digest, TRY(layout->read_blob(digest, RemoteCacheLimits::manifest_bytes_max))});
  }
  Result<std::string> read_blob(const BlobDigest& digest, std::size_t size_max, std::stop_token) override {
    return TRY(OciLayout::open(dir_)).read_blob(digest, size_max);
  }
  Result<bool> has_blob(const BlobDigest& digest, std::uint64_t size, std::stop_token) override {
    return writer_.has_blob(digest, size);
  }
  cache::RepositoryName origin() const override { return {"", dir_.str()}; }

  Result<bool> put_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                        std::stop_token stop) override {
    return writer_.put_blob(digest, size, open, std::move(stop));
  }

  Status update_manifest(const MakeManifest& make, std::stop_token stop) override {
    const base::Fd lock = TRY(writer_.lock());
    const auto manifest = TRY(make(TRY(find_manifest(stop))));
    if (!manifest) return {};
    const auto digest = base::digest_of<BlobDigest>(*manifest);
    TRY(writer_.put_text(digest, *manifest, stop));
    const Json entry = {{"mediaType", oci_manifest_type},
                        {"digest", digest.str()},
                        {"size", manifest->size()},
                        {"annotations", {{layout_name_annotation, address_.tag}}}};
    return writer_.name({{address_.tag, entry.dump()}});
  }

 private:
  static HostPath must_parse(const std::string& path) {
    auto parsed = HostPath::parse(path);
    CHECK(parsed.has_value(), "the address of a layout is an absolute path");
    return std::move(*parsed);
  }

  static Result<std::optional<NamedManifest>> none_if_missing(base::Error error) {
    if (error.code == ErrorCode::not_found) return std::optional<NamedManifest>();
    return tl::unexpected(std::move(error));
  }

  const CacheAddress address_;
  const HostPath dir_;
  OciLayoutWriter writer_;
};

}  // namespace

std::unique_ptr<CachePlace> open_layout_place(const CacheAddress& address) {
  return std::make_unique<LayoutPlace>(address);
}

}  // namespace cairn::solver
