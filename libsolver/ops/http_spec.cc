// SPDX-License-Identifier: Apache-2.0
#include "libsolver/ops/http_spec.h"

#include <algorithm>

#include "libbase/hash/sha2.h"
#include "libsolver/ops/source_attrs.h"
#include "libsolver/sources/http_names.h"
#include "libsolver/wire/go_json.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view header_prefix = "http.header.";

Result<std::optional<std::string>> checksum_of(const wire::SourceOp& source) {
  std::string text = attr_text(source, "http.checksum");
  if (text.empty()) return std::optional<std::string>();
  if (!base::parse_sha2(text)) {
    return fail(ErrorCode::invalid_argument, "http.checksum \"{}\" is none of sha256, sha384 or sha512 with its digits in hex", text.substr(0, 200));
  }
  return std::optional(std::move(text));
}

// Accept and User-Agent; others are dropped without a word, as BuildKit drops them.
std::string_view known_header(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  if (lower == "accept") return "Accept";
  if (lower == "user-agent") return "User-Agent";
  return {};
}

std::string headers_json(const HttpSpec& spec) {
  std::string json = "[";
  for (const auto& [name, value] : spec.headers) {
    if (json.size() > 1) json += ',';
    json += wire::GoJsonObject().text("Name", name).text("Value", value).take();
  }
  return json + ']';
}

}  // namespace

Result<HttpSpec> parse_http_source(const wire::SourceOp& source) {
  HttpSpec spec;
  spec.url = source.identifier;
  for (const char* unknown : {"http.sig.pubkey", "http.sig.signature"}) {
    if (source.attrs.contains(unknown)) return fail(ErrorCode::unavailable, "not supported: {} of an HTTP source", unknown);
  }
  if (spec.url.starts_with("http://buildkit-session/")) {
    return fail(ErrorCode::unavailable, "not supported: {}: uploads of a client's session", spec.url);
  }
  spec.checksum = TRY(checksum_of(source));
  spec.filename = attr_text(source, "http.filename");
  spec.mode = TRY(int_attr(source, "http.perm"));
  spec.uid = TRY(int_attr(source, "http.uid"));
  spec.gid = TRY(int_attr(source, "http.gid"));
  spec.auth_secret = attr_text(source, "http.authheadersecret");
  for (const auto& [name, value] : source.attrs) {
    if (!name.starts_with(header_prefix)) continue;
    const std::string_view known = known_header(std::string_view(name).substr(header_prefix.size()));
    if (!known.empty()) spec.headers.emplace_back(known, value);
  }
  std::stable_sort(spec.headers.begin(), spec.headers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return spec;
}

CacheMap http_cache_map(const HttpSpec& spec, const HttpContent& content) {
  wire::GoJsonObject json;
  json.text("Filename", content.filename).number("Perm", spec.mode).number("UID", spec.uid).number("GID", spec.gid);
  json.text("Checksum", content.checksum);
  if (content.last_modified) json.text("LastModTime", format_http_time(*content.last_modified));
  if (!spec.auth_secret.empty()) json.text("AuthHeaderSecret", spec.auth_secret);
  if (!spec.headers.empty()) json.raw("Header", headers_json(spec));
  return source_map(hash_text(json.take()));
}

HttpContent pinned_content(const HttpSpec& spec) {
  return {.filename = http_file_name(spec.url, spec.filename, {}), .checksum = *spec.checksum, .last_modified = {}};
}

}  // namespace cairn::solver
