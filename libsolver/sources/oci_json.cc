// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/oci_json.h"

#include <nlohmann/json.hpp>

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using Json = nlohmann::json;

Result<Json> parse_object(std::string_view bytes, const OciBounds& bounds = {}) {
  if (bytes.size() > bounds.bytes_max) {
    return fail(ErrorCode::invalid_argument, "{} bytes of JSON; at most {} are read", bytes.size(), bounds.bytes_max);
  }
  bool too_deep = false;
  auto limit_depth = [&too_deep](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > OciDocumentLimits::depth_max;
    return !too_deep;
  };
  Json json = Json::parse(bytes.begin(), bytes.end(), limit_depth, /*allow_exceptions=*/false);
  if (too_deep) {
    return fail(ErrorCode::invalid_argument, "JSON nested more than {} deep", OciDocumentLimits::depth_max);
  }
  if (json.is_discarded()) return fail(ErrorCode::corrupt, "not JSON");
  if (!json.is_object()) return fail(ErrorCode::corrupt, "not a JSON object");
  return json;
}

const Json* find_member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// A member that may be absent ("") but, if there, is a string.
Result<std::string> string_member(const Json& object, const char* key) {
  const Json* member = find_member(object, key);
  if (!member) return std::string();
  const auto* text = member->get_ptr<const std::string*>();
  if (!text) return fail(ErrorCode::corrupt, "\"{}\" is not a string", key);
  return *text;
}

// A member that may be absent (null) but, if there, is an array within the limit.
Result<const Json*> array_member(const Json& object, const char* key, const OciBounds& bounds = {}) {
  const Json* member = find_member(object, key);
  if (!member) return nullptr;
  if (!member->is_array()) return fail(ErrorCode::corrupt, "\"{}\" is not an array", key);
  if (member->size() > bounds.entries_max) {
    return fail(ErrorCode::invalid_argument, "{} entries in \"{}\"; at most {} are read", member->size(), key,
                bounds.entries_max);
  }
  return member;
}

template <class D>
Result<D> parse_digest(const std::string& text) {
  const auto colon = text.find(':');
  if (colon != std::string::npos && text.compare(0, colon, "sha256") != 0) {
    return fail(ErrorCode::unavailable, "not supported: digest algorithm \"{}\"",
                text.substr(0, std::min<std::size_t>(colon, 32)));
  }
  auto digest = D::parse(text);
  if (!digest) return fail(ErrorCode::corrupt, "bad digest \"{}\"", text.substr(0, 100));
  return *digest;
}

Result<wire::Platform> parse_platform(const Json& object) {
  if (!object.is_object()) return fail(ErrorCode::corrupt, "\"platform\" is not an object");
  wire::Platform platform;
  platform.architecture = TRY(string_member(object, "architecture"));
  platform.os = TRY(string_member(object, "os"));
  platform.variant = TRY(string_member(object, "variant"));
  platform.os_version = TRY(string_member(object, "os.version"));
  if (const Json* features = TRY(array_member(object, "os.features"))) {
    for (const Json& feature : *features) {
      const auto* text = feature.get_ptr<const std::string*>();
      if (!text) return fail(ErrorCode::corrupt, "\"os.features\" holds something that is not a string");
      platform.os_features.push_back(*text);
    }
  }
  return platform;
}

Result<OciDescriptor> parse_descriptor(const Json& object) {
  if (!object.is_object()) return fail(ErrorCode::corrupt, "a descriptor is not an object");
  OciDescriptor descriptor;
  descriptor.media_type = TRY(string_member(object, "mediaType"));
  const std::string digest = TRY(string_member(object, "digest"));
  descriptor.digest = TRY(parse_digest<BlobDigest>(digest));
  const Json* size = find_member(object, "size");
  const auto* value = size ? size->get_ptr<const Json::number_unsigned_t*>() : nullptr;
  if (!value) return fail(ErrorCode::corrupt, "the size of {} is not a count of bytes", descriptor.digest);
  descriptor.size = *value;
  if (const Json* platform = find_member(object, "platform")) descriptor.platform = TRY(parse_platform(*platform));
  if (const Json* annotations = find_member(object, "annotations")) {
    if (!annotations->is_object()) return fail(ErrorCode::corrupt, "\"annotations\" is not an object");
    for (const auto& [key, annotation] : annotations->items()) {
      const auto* text = annotation.get_ptr<const std::string*>();
      if (!text) return fail(ErrorCode::corrupt, "annotation \"{}\" is not a string", key);
      descriptor.annotations.emplace(key, *text);
    }
  }
  return descriptor;
}

Status check_schema(const Json& json) {
  const Json* version = find_member(json, "schemaVersion");
  const auto* value = version ? version->get_ptr<const Json::number_unsigned_t*>() : nullptr;
  if (!value) return fail(ErrorCode::corrupt, "neither an image index nor a manifest");
  if (*value != 2) return fail(ErrorCode::unavailable, "not supported: schemaVersion {} (2 is)", *value);
  return {};
}

Result<OciIndex> index_of(const Json& json, const OciBounds& bounds) {
  OciIndex index;
  const Json* manifests = TRY(array_member(json, "manifests", bounds));
  if (!manifests) return index;
  for (const Json& entry : *manifests) index.manifests.push_back(TRY(parse_descriptor(entry)));
  return index;
}

Result<OciManifest> manifest_of(const Json& json, const OciBounds& bounds) {
  OciManifest manifest;
  const Json* config = find_member(json, "config");
  if (!config) return fail(ErrorCode::corrupt, "a manifest without a config");
  manifest.config = TRY(parse_descriptor(*config), "config");
  const Json* layers = TRY(array_member(json, "layers", bounds));
  if (!layers) return manifest;
  for (const Json& entry : *layers) manifest.layers.push_back(TRY(parse_descriptor(entry), "layers"));
  return manifest;
}

}  // namespace

bool is_index_type(std::string_view media_type) {
  return media_type == "application/vnd.oci.image.index.v1+json" ||
         media_type == "application/vnd.docker.distribution.manifest.list.v2+json";
}

bool is_manifest_type(std::string_view media_type) {
  return media_type == "application/vnd.oci.image.manifest.v1+json" ||
         media_type == "application/vnd.docker.distribution.manifest.v2+json";
}

Result<std::variant<OciIndex, OciManifest>> parse_oci_root(std::string_view bytes, const OciBounds& bounds) {
  const Json json = TRY(parse_object(bytes, bounds));
  TRY(check_schema(json));
  const std::string type = TRY(string_member(json, "mediaType"));
  const bool has_manifests = find_member(json, "manifests") != nullptr;
  const bool has_image = find_member(json, "config") != nullptr || find_member(json, "layers") != nullptr;
  // Two programs that read such a document differently would disagree on what its digest stands for.
  if (has_manifests && has_image) return fail(ErrorCode::corrupt, "both an image index and a manifest");
  if (!has_manifests && !has_image) return fail(ErrorCode::corrupt, "neither an image index nor a manifest");
  if (!type.empty() && !is_index_type(type) && !is_manifest_type(type)) {
    return fail(ErrorCode::unavailable, "not supported: media type \"{}\"", type.substr(0, 100));
  }
  if (!type.empty() && is_index_type(type) != has_manifests) {
    return fail(ErrorCode::corrupt, "the media type \"{}\" is not what the document is", type);
  }
  if (has_manifests) return TRY(index_of(json, bounds));
  return TRY(manifest_of(json, bounds));
}

Result<OciIndex> parse_oci_index(std::string_view bytes) {
  auto root = TRY(parse_oci_root(bytes));
  auto* index = std::get_if<OciIndex>(&root);
  if (!index) return fail(ErrorCode::corrupt, "not an image index");
  return std::move(*index);
}

Result<OciConfig> parse_oci_config(std::string_view bytes) {
  const Json json = TRY(parse_object(bytes));
  OciConfig config;
  config.platform = TRY(parse_platform(json));
  const Json* rootfs = find_member(json, "rootfs");
  if (!rootfs) return config;
  if (!rootfs->is_object()) return fail(ErrorCode::corrupt, "\"rootfs\" is not an object");
  const std::string type = TRY(string_member(*rootfs, "type"));
  const Json* diffs = TRY(array_member(*rootfs, "diff_ids"));
  if (!diffs || diffs->empty()) return config;
  if (type != "layers") {
    config.other_rootfs = type.empty() ? "none" : type.substr(0, 100);
    return config;
  }
  for (const Json& diff : *diffs) {
    const auto* text = diff.get_ptr<const std::string*>();
    if (!text) return fail(ErrorCode::corrupt, "rootfs.diff_ids holds something that is not a string");
    config.diff_ids.push_back(TRY(parse_digest<DiffId>(*text), "rootfs.diff_ids"));
  }
  return config;
}

Status check_oci_layout_version(std::string_view bytes) {
  const Json json = TRY(parse_object(bytes));
  const std::string version = TRY(string_member(json, "imageLayoutVersion"));
  if (version.empty()) return fail(ErrorCode::corrupt, "no imageLayoutVersion");
  if (version.compare(0, 2, "1.") != 0) {
    return fail(ErrorCode::unavailable, "not supported: imageLayoutVersion \"{}\" (1.x is)", version.substr(0, 100));
  }
  return {};
}

}  // namespace cairn::solver
