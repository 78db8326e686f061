// SPDX-License-Identifier: Apache-2.0
#include "tests/support/oci_layout_builder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>

#include <nlohmann/json.hpp>

#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {
namespace {

using Json = nlohmann::ordered_json;

void make_dir(const base::HostPath& dir) {
  CHECK(::mkdir(dir.c_str(), 0755) == 0 || errno == EEXIST, "mkdir {}", dir.str());
}

std::string layer_type(MediaTypes types, base::Compression compression) {
  if (types == MediaTypes::docker) {
    const std::string base = "application/vnd.docker.image.rootfs.diff.tar";
    if (compression == base::Compression::none) return base;
    return base + (compression == base::Compression::gzip ? ".gzip" : ".zstd");
  }
  const std::string base = "application/vnd.oci.image.layer.v1.tar";
  if (compression == base::Compression::none) return base;
  return base + (compression == base::Compression::gzip ? "+gzip" : "+zstd");
}

Json descriptor(const BlobDigest& digest, std::size_t size, const std::string& media_type) {
  return {{"mediaType", media_type}, {"digest", digest.str()}, {"size", size}};
}

}  // namespace

void write_text(const base::HostPath& file, std::string_view bytes) {
  auto fd = base::open_host(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  CHECK(fd && base::write_full(fd->get(), bytes), "write {}", file.str());
}

void begin_layout(const base::HostPath& dir) {
  make_dir(dir);
  make_dir(dir / "blobs");
  make_dir(dir / "blobs/sha256");
  write_text(dir / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
}

BlobDigest put_blob(const base::HostPath& dir, std::string_view bytes) {
  const auto digest = base::digest_of<BlobDigest>(bytes);
  write_text(dir / ("blobs/sha256/" + digest.hex()), bytes);
  return digest;
}

Described put_image(const base::HostPath& dir, const ImageSpec& image) {
  const bool docker = image.media_types == MediaTypes::docker;
  Json layers = Json::array(), diff_ids = Json::array();
  for (const std::string& tar : image.layer_tars) {
    diff_ids.push_back(base::digest_of<DiffId>(tar).str());
    const auto bytes = base::compress(image.compression, tar);
    CHECK(bytes, "compress a layer");
    layers.push_back(
        descriptor(put_blob(dir, *bytes), bytes->size(), layer_type(image.media_types, image.compression)));
  }
  Json config = {{"architecture", image.architecture}, {"os", image.os}};
  if (!image.variant.empty()) config["variant"] = image.variant;
  config["config"] = {{"Env", image.env}};
  config["rootfs"] = {{"type", "layers"}, {"diff_ids", diff_ids}};
  if (!image.made_by.empty())
    for (std::size_t i = 0; i < image.layer_tars.size(); ++i)
      config["history"].push_back({{"created", "2023-01-01T00:00:00Z"}, {"created_by", image.made_by}});
  const std::string config_text = config.dump();

  Described out;
  out.media_type =
      docker ? "application/vnd.docker.distribution.manifest.v2+json" : "application/vnd.oci.image.manifest.v1+json";
  const Json manifest = {{"schemaVersion", 2},
                         {"mediaType", out.media_type},
                         {"config", descriptor(put_blob(dir, config_text), config_text.size(),
                                               docker ? "application/vnd.docker.container.image.v1+json"
                                                      : "application/vnd.oci.image.config.v1+json")},
                         {"layers", layers}};
  const std::string text = manifest.dump();
  out.digest = put_blob(dir, text);
  out.size = text.size();
  out.os = image.os;
  out.architecture = image.architecture;
  out.variant = image.variant;
  return out;
}

std::string index_json(const std::vector<Described>& entries, MediaTypes media_types) {
  Json manifests = Json::array();
  for (const Described& entry : entries) {
    Json json = descriptor(entry.digest, entry.size, entry.media_type);
    if (!entry.os.empty() || !entry.architecture.empty()) {
      json["platform"] = {{"architecture", entry.architecture}, {"os", entry.os}};
      if (!entry.variant.empty()) json["platform"]["variant"] = entry.variant;
    }
    if (!entry.tag.empty()) json["annotations"]["org.opencontainers.image.ref.name"] = entry.tag;
    if (entry.attestation) json["annotations"]["vnd.docker.reference.type"] = "attestation-manifest";
    manifests.push_back(std::move(json));
  }
  const Json index = {
      {"schemaVersion", 2},
      {"mediaType", media_types == MediaTypes::docker ? "application/vnd.docker.distribution.manifest.list.v2+json"
                                                      : "application/vnd.oci.image.index.v1+json"},
      {"manifests", manifests}};
  return index.dump();
}

Described put_index(const base::HostPath& dir, const std::vector<Described>& entries, MediaTypes media_types) {
  const std::string text = index_json(entries, media_types);
  Described out;
  out.digest = put_blob(dir, text);
  out.size = text.size();
  out.media_type = media_types == MediaTypes::docker ? "application/vnd.docker.distribution.manifest.list.v2+json"
                                                     : "application/vnd.oci.image.index.v1+json";
  return out;
}

void write_index_json(const base::HostPath& dir, const std::vector<Described>& entries) {
  write_text(dir / "index.json", index_json(entries));
}

BlobDigest write_layout(const base::HostPath& dir, const ImageSpec& image, std::string_view tag) {
  begin_layout(dir);
  Described manifest = put_image(dir, image);
  manifest.tag = tag;
  write_index_json(dir, {manifest});
  return manifest.digest;
}

std::string tar_of(const base::HostPath& dir) {
  const TempDir temporary;
  const base::HostPath out = temporary / "layer.tar";
  const std::string command =
      fmt::format("tar --numeric-owner --xattrs --xattrs-include='*' -C '{}' -cf '{}' .", dir.str(), out.str());
  CHECK(std::system(command.c_str()) == 0, "{}", command);
  auto bytes = base::read_file(out, 1u << 30);
  CHECK(bytes, "read {}", out.str());
  return std::move(*bytes);
}

}  // namespace cairn::test
