// SPDX-License-Identifier: Apache-2.0
// What a source is (spec/solver 3.2): "buildkit.source.v0:" and a key of its kind.
#include <charconv>
#include <optional>

#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/identifier.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string hash_text(std::string_view text) { return "sha256:" + base::to_hex(base::sha256(text)); }

CacheMap source_map(std::string_view key) { return hashed_cache_map(fmt::format("buildkit.source.v0:{}", key)); }

const std::string* find_attr(const wire::SourceOp& source, const std::string& name) {
  const auto found = source.attrs.find(name);
  return found == source.attrs.end() ? nullptr : &found->second;
}

// A list attribute as Go prints it back: null if the attribute is not there.
Result<std::string> list_json(const wire::SourceOp& source, const std::string& name) {
  const std::string* attr = find_attr(source, name);
  if (attr == nullptr) return std::string("null");
  const auto list = nlohmann::json::parse(*attr, nullptr, false);
  if (list.is_null()) return std::string("null");
  const auto bad = [&] { return fail(ErrorCode::invalid_argument, "{}: not a JSON list of strings: {}", name, *attr); };
  if (!list.is_array()) return bad();
  std::vector<std::string> texts;
  for (const auto& item : list) {
    if (!item.is_string() && !item.is_null()) return bad();
    texts.push_back(item.is_null() ? std::string() : item.get<std::string>());
  }
  return wire::go_json(texts);
}

// Go's strconv.ParseBool.
Result<bool> bool_attr(const wire::SourceOp& source, const std::string& name) {
  const std::string* attr = find_attr(source, name);
  if (attr == nullptr) return false;
  for (const std::string_view yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (*attr == yes) return true;
  }
  for (const std::string_view no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (*attr == no) return false;
  }
  return fail(ErrorCode::invalid_argument, "{}: not a boolean: {}", name, *attr);
}

// Go's strconv.ParseInt with base 0: 0x, 0o, 0b and a leading 0 choose the base. Absent: 0.
Result<std::int64_t> int_attr(const wire::SourceOp& source, const std::string& name) {
  const std::string* attr = find_attr(source, name);
  if (attr == nullptr) return 0;
  std::string_view digits = *attr;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = digits[1];
    base = mark == 'x' || mark == 'X' ? 16 : mark == 'b' || mark == 'B' ? 2 : 8;
    digits.remove_prefix(base != 8 || mark == 'o' || mark == 'O' ? 2 : 1);
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.starts_with('-')) {
    return fail(ErrorCode::invalid_argument, "{}: not a number: {}", name, *attr);
  }
  return negative ? -value : value;
}

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
  json.raw("IncludePatterns", TRY(list_json(source, "local.includepattern")));
  json.raw("ExcludePatterns", TRY(list_json(source, "local.excludepatterns")));
  json.raw("FollowPaths", TRY(list_json(source, "local.followpaths")));
  if (TRY(bool_attr(source, "local.metadatatransfer"))) json.raw("MetadataTransfer", "true");
  const std::string exceptions = TRY(list_json(source, "local.metadatatransferexclude"));
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
