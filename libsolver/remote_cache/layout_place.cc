// SPDX-License-Identifier: Apache-2.0
// Caches in OCI layouts. Whoever changes index.json holds a lock on the directory, so exporters of one machine wait for
// each other.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/cache_place.h"
#include "libsolver/remote_cache/manifest.h"
#include "libsolver/remote_cache/text_source.h"
#include "libsolver/sources/oci_json.h"
#include "libsolver/sources/oci_layout.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::HostPath;
using base::Result;
using base::Status;
using Json = nlohmann::ordered_json;

constexpr const char* index_type = "application/vnd.oci.image.index.v1+json";
constexpr const char* name_annotation = "org.opencontainers.image.ref.name";
constexpr std::size_t copy_bytes = 256 << 10;

// A file beside others that has no name of theirs yet; without rename_to() it goes.
class UnnamedFile {
 public:
  static Result<UnnamedFile> create(const HostPath& folder) {
    std::string path = (folder / ".cairn-XXXXXX").str();
    base::Fd fd(::mkostemp(path.data(), O_CLOEXEC));
    if (fd.get() < 0) return base::fail_errno(errno, "create a file in {}", folder.str());
    if (::fchmod(fd.get(), 0644) != 0) return base::fail_errno(errno, "set the mode of {}", path);
    return UnnamedFile(std::move(fd), std::move(path));
  }
  ~UnnamedFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  UnnamedFile(UnnamedFile&& other) noexcept : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})) {}
  UnnamedFile& operator=(UnnamedFile&&) = delete;
  int get() const { return fd_.get(); }
  Status rename_to(const HostPath& target) && {
    TRY(base::sync_data(fd_.get()), "write {}", target.str());
    if (::rename(path_.c_str(), target.c_str()) != 0) return base::fail_errno(errno, "rename to {}", target.str());
    path_.clear();
    return {};
  }

 private:
  UnnamedFile(base::Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  base::Fd fd_;
  std::string path_;
};

std::string name_of(const Json& entry) {
  const auto annotations = entry.find("annotations");
  return annotations == entry.end() ? std::string() : annotations->value(name_annotation, "");
}

class LayoutPlace final : public CachePlace {
 public:
  explicit LayoutPlace(const CacheAddress& address) : address_(address), dir_(must_parse(address.place)) {}

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
    struct ::stat status {};
    if (::stat(blob_path(digest).c_str(), &status) != 0) return false;
    return S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) == size;
  }
  cache::RepositoryName origin() const override { return {"", dir_.str()}; }

  Result<bool> put_blob(const BlobDigest& digest, std::uint64_t size, const OpenBlob& open,
                        std::stop_token stop) override {
    if (TRY(has_blob(digest, size, stop))) return false;
    TRY(make_layout());
    UnnamedFile file = TRY(UnnamedFile::create(dir_ / "blobs/sha256"));
    const auto source = TRY(open(0));
    base::Sha256 hash;
    std::vector<std::byte> buffer(copy_bytes);
    while (true) {
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "write blob {}", digest);
      const std::size_t count = TRY(source->read(buffer));
      if (count == 0) break;
      const auto piece = std::span<const std::byte>(buffer).first(count);
      hash.update(piece);
      TRY(base::write_full(file.get(), piece), "write blob {} to {}", digest, dir_.str());
    }
    if (const BlobDigest actual(hash.finish()); actual != digest)
      return fail(ErrorCode::corrupt, "blob {} holds other bytes: {}", digest, actual);
    TRY(std::move(file).rename_to(blob_path(digest)));
    return true;
  }

  Status update_manifest(const MakeManifest& make, std::stop_token stop) override {
    TRY(make_layout());
    const base::Fd lock = TRY(base::open_host_dir(dir_));
    while (::flock(lock.get(), LOCK_EX) != 0) {
      if (errno != EINTR) return base::fail_errno(errno, "lock {}", dir_.str());
    }
    const auto manifest = TRY(make(TRY(find_manifest(stop))));
    if (!manifest) return {};
    const auto digest = base::digest_of<BlobDigest>(*manifest);
    const auto bytes = [&](std::uint64_t) -> Result<std::unique_ptr<base::ByteSource>> {
      return std::make_unique<TextSource>(*manifest);
    };
    TRY(put_blob(digest, manifest->size(), bytes, stop));
    return name(digest, manifest->size());
  }

 private:
  static HostPath must_parse(const std::string& path) {
    auto parsed = HostPath::parse(path);
    CHECK(parsed.has_value(), "the address of a layout is an absolute path");
    return std::move(*parsed);
  }
  HostPath blob_path(const BlobDigest& digest) const { return dir_ / ("blobs/sha256/" + digest.hex()); }

  static Result<std::optional<NamedManifest>> none_if_missing(base::Error error) {
    if (error.code == ErrorCode::not_found) return std::optional<NamedManifest>();
    return tl::unexpected(std::move(error));
  }

  Status make_layout() const {
    TRY(base::make_host_dirs(dir_ / "blobs/sha256"), "make OCI layout {}", dir_.str());
    if (TRY(base::host_exists(dir_ / "oci-layout"))) return {};
    return base::write_file_atomic(dir_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})", base::Durable::yes);
  }

  // In index.json, beside what else it names.
  Status name(const BlobDigest& digest, std::size_t size) const {
    const HostPath path = dir_ / "index.json";
    Json index = {{"schemaVersion", 2}, {"mediaType", index_type}, {"manifests", Json::array()}};
    Json others = Json::array();
    if (auto text = base::read_file(path, OciDocumentLimits::bytes_max)) {
      TRY(parse_oci_index(*text), "{}", path.str());  // what cannot be read is not written over
      index = Json::parse(*text);
      for (const Json& entry : index.value("manifests", Json::array())) {
        if (name_of(entry) != address_.tag) others.push_back(entry);
      }
    } else if (text.error().code != ErrorCode::not_found) {
      return tl::unexpected(std::move(text).error());
    }
    others.push_back({{"mediaType", oci_manifest_type},
                      {"digest", digest.str()},
                      {"size", size},
                      {"annotations", {{name_annotation, address_.tag}}}});
    index["manifests"] = std::move(others);
    return base::write_file_atomic(path, index.dump(), base::Durable::yes);
  }

  const CacheAddress address_;
  const HostPath dir_;
};

}  // namespace

std::unique_ptr<CachePlace> open_layout_place(const CacheAddress& address) {
  return std::make_unique<LayoutPlace>(address);
}

}  // namespace cairn::solver
