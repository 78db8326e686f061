// SPDX-License-Identifier: Apache-2.0
#include "libsolver/images/documents.h"

#include <nlohmann/json.hpp>

#include "libsolver/images/json_parts.h"
#include "libsolver/sources/oci_layout_writer.h"

namespace cairn::solver {
namespace {

using Json = nlohmann::ordered_json;
using MediaTypes = ImageOutput::MediaTypes;

// Annotations may hold anything.
std::string dump(const Json& json, int indent) {
  return escape_as_go(json.dump(indent, ' ', false, Json::error_handler_t::replace));
}

Json platform_json(const wire::Platform& platform) {
  Json json = {{"architecture", platform.architecture}, {"os", platform.os}};
  if (!platform.os_version.empty()) json["os.version"] = platform.os_version;
  if (!platform.os_features.empty()) json["os.features"] = platform.os_features;
  if (!platform.variant.empty()) json["variant"] = platform.variant;
  return json;
}

Json descriptor_json(const OciDescriptor& descriptor) {
  Json json = {{"mediaType", descriptor.media_type}, {"digest", descriptor.digest.str()}, {"size", descriptor.size}};
  if (!descriptor.annotations.empty()) json["annotations"] = descriptor.annotations;
  if (descriptor.platform) json["platform"] = platform_json(*descriptor.platform);
  return json;
}

Json list_json(const std::vector<OciDescriptor>& descriptors) {
  Json list = Json::array();
  for (const OciDescriptor& descriptor : descriptors) list.push_back(descriptor_json(descriptor));
  return list;
}

// As a Docker user writes it: "app:latest" for docker.io/library/app:latest.
std::string familiar_name(std::string_view name) {
  constexpr std::string_view host = "docker.io/", library = "library/";
  if (!name.starts_with(host)) return std::string(name);
  name.remove_prefix(host.size());
  if (name.starts_with(library) && name.find('/', library.size()) == name.npos) name.remove_prefix(library.size());
  return std::string(name);
}

std::string blob_path(const BlobDigest& digest) { return "blobs/sha256/" + digest.hex(); }

}  // namespace

DocumentTypes DocumentTypes::of(MediaTypes types) {
  if (types == MediaTypes::oci)
    return {oci_manifest_type, "application/vnd.oci.image.config.v1+json", oci_index_type};
  return {"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json",
          "application/vnd.docker.distribution.manifest.list.v2+json"};
}

std::string layer_media_type(MediaTypes types, base::Compression compression) {
  const bool is_oci = types == MediaTypes::oci;
  const std::string tar = is_oci ? "application/vnd.oci.image.layer.v1.tar" : "application/vnd.docker.image.rootfs.diff.tar";
  if (compression == base::Compression::none) return tar;
  return tar + (is_oci ? "+" : ".") + (compression == base::Compression::zstd ? "zstd" : "gzip");
}

std::string write_manifest(const DocumentTypes& types, const OciDescriptor& config,
                           const std::vector<OciDescriptor>& layers, const Annotations& annotations) {
  Json json = {{"schemaVersion", 2},
               {"mediaType", types.manifest},
               {"config", descriptor_json(config)},
               {"layers", list_json(layers)}};
  if (!annotations.empty()) json["annotations"] = annotations;
  return dump(json, 2);
}

std::string write_index(std::string_view media_type, const std::vector<OciDescriptor>& manifests,
                        const Annotations& annotations) {
  Json json = {{"schemaVersion", 2}, {"mediaType", media_type}, {"manifests", list_json(manifests)}};
  if (!annotations.empty()) json["annotations"] = annotations;
  return dump(json, 2);
}

std::string write_descriptor(const OciDescriptor& descriptor) { return dump(descriptor_json(descriptor), -1); }

Annotations annotations_of(const std::vector<ImageAnnotation>& all, ImageAnnotation::Place place,
                           const std::string& platform) {
  Annotations found;
  // What is said of the one platform takes precedence.
  for (const bool own : {false, true}) {
    for (const ImageAnnotation& each : all) {
      if (each.place == place && each.platform == (own ? platform : "")) found.insert_or_assign(each.key, each.value);
    }
  }
  return found;
}

std::string write_docker_manifest(const BlobDigest& config, const std::vector<std::string>& names,
                                  const std::vector<OciDescriptor>& layers) {
  Json entry = {{"Config", blob_path(config)}, {"RepoTags", Json::array()}, {"Layers", Json::array()}};
  for (const std::string& name : names) entry["RepoTags"].push_back(familiar_name(name));
  for (const OciDescriptor& layer : layers) entry["Layers"].push_back(blob_path(layer.digest));
  return dump(Json::array({std::move(entry)}), -1);
}

}  // namespace cairn::solver
