// SPDX-License-Identifier: Apache-2.0
// What a source is (spec/solver 3.2): "buildkit.source.v0:" and a key of its kind.
#include "libbase/hash/sha256.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/ops/git_spec.h"
#include "libsolver/ops/http_spec.h"
#include "libsolver/ops/source_attrs.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<CacheMap> local_cache_map(std::string name, const wire::SourceOp& source, std::string_view session) {
  std::string session_id(session);
  if (const std::string* attr = find_attr(source, "local.session")) {
    session_id = *attr;
    // "prefix:id" is a directory of a session that shares its names with others.
    const std::size_t colon = attr->find(':');
    if (colon != std::string::npos && colon > 0 && colon + 1 < attr->size()) {
      name = attr->substr(0, colon) + "-" + name;
      session_id = attr->substr(colon + 1);
    }
  }
  wire::GoJsonObject json;
  json.text("SessionID", session_id);
  json.raw("IncludePatterns", TRY(list_json_attr(source, "local.includepattern")));
  json.raw("ExcludePatterns", TRY(list_json_attr(source, "local.excludepatterns")));
  json.raw("FollowPaths", TRY(list_json_attr(source, "local.followpaths")));
  if (TRY(bool_attr(source, "local.metadatatransfer"))) json.raw("MetadataTransfer", "true");
  const std::string exceptions = TRY(list_json_attr(source, "local.metadatatransferexclude"));
  if (exceptions != "null" && exceptions != "[]") json.raw("MetadataExceptions", exceptions);
  CacheMap map = source_map(fmt::format("session:{}:{}", name, hash_text(json.take())));
  map.digest.scope = OpDigest::Scope::session;
  return map;
}

Result<CacheMap> blob_cache_map(std::string_view reference, const wire::SourceOp& source) {
  const auto digest = reference_digest(reference);
  if (!base::parse_sha256(digest)) {
    return fail(ErrorCode::invalid_argument, "blob \"{}\" does not end in @sha256:<64 hex>", reference);
  }
  const std::string* filename = find_attr(source, "http.filename");
  wire::GoJsonObject json;
  json.text("Digest", digest).text("Filename", filename == nullptr ? "" : *filename);
  json.number("Perm", TRY(int_attr(source, "http.perm")));
  json.number("UID", TRY(int_attr(source, "http.uid")));
  json.number("GID", TRY(int_attr(source, "http.gid")));
  return source_map(hash_text(json.take()));
}

}  // namespace

Result<CacheMap> source_cache_map(const Vertex&, const wire::SourceOp& source, std::string_view session) {
  const SourceIdentifier identifier = TRY(parse_source_identifier(source.identifier));
  if (identifier.scheme == "local") return local_cache_map(identifier.rest, source, session);
  if (identifier.scheme == "docker-image+blob" || identifier.scheme == "oci-layout+blob") {
    return blob_cache_map(identifier.rest, source);
  }
  if (identifier.scheme == "http" || identifier.scheme == "https") {
    const HttpSpec spec = TRY(parse_http_source(source));
    if (spec.checksum) return http_cache_map(spec, pinned_content(spec));
  }
  if (identifier.scheme == "git") {
    const GitSpec spec = TRY(parse_git_source(source));
    if (const auto commit = TRY(pinned_commit(spec))) return git_cache_map(spec, *commit);
  }
  for (const std::string_view known : {"docker-image", "oci-layout", "git", "http", "https"}) {
    if (identifier.scheme == known) {
      return fail(ErrorCode::unavailable, "{}: what it is depends on what the remote side answers", source.identifier);
    }
  }
  return fail(ErrorCode::invalid_argument, "{}: unknown scheme \"{}\"", source.identifier, identifier.scheme);
}

CacheMap image_root_cache_map(std::string_view root_digest, const wire::Platform& platform, std::int64_t layer_limit) {
  wire::GoJsonObject json;
  json.text("Digest", root_digest).text("OS", platform.os).text("Arch", platform.architecture);
  if (!platform.variant.empty()) json.text("Variant", platform.variant);
  if (!platform.os_version.empty()) json.text("OSVersion", platform.os_version);
  if (!platform.os_features.empty()) json.texts("OSFeatures", platform.os_features);
  if (layer_limit != 0) json.number("Limit", layer_limit);
  return source_map(hash_text(json.take()));
}

CacheMap image_chain_cache_map(std::string_view chain_id) { return source_map(chain_id); }

}  // namespace cairn::solver
