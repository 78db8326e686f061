// SPDX-License-Identifier: Apache-2.0
#include "libremote/s3/sigv4.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>

#include "libbase/hash/secrets.h"
#include "libbase/hash/sha256.h"

namespace cairn::remote {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

std::string_view raw(const base::Sha256Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string encode(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos ||
                       kept.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// Without "." and ".." and empty segments; a slash at the end stays.
std::string normalise(std::string_view path) {
  std::vector<std::string_view> segments;
  bool ends_open = true;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    at = end + 1;
    ends_open = segment.empty() || segment == "." || segment == "..";
    if (!ends_open) {
      segments.push_back(segment);
    } else if (segment == ".." && !segments.empty()) {
      segments.pop_back();
    }
  }
  std::string out;
  for (const std::string_view segment : segments) out.append("/").append(segment);
  if (ends_open || out.empty()) out += '/';
  return out;
}

// Blanks at the ends are left out, and those inside are one space for each run.
std::string canonical_value(std::string_view value) {
  std::string out;
  bool gap = false;
  for (const char c : value) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
      gap = true;
      continue;
    }
    if (gap && !out.empty()) out += ' ';
    gap = false;
    out += c;
  }
  return out;
}

std::map<std::string, std::string> canonical_headers(const SigV4Request::Pairs& headers) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : headers) {
    std::string lower = name;
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const auto [entry, is_new] = out.try_emplace(lower, canonical_value(value));
    if (!is_new) entry->second += "," + canonical_value(value);
  }
  return out;
}

std::string signature_of(const SigV4Credentials& credentials, const SigV4Scope& scope, std::string_view date,
                         std::string_view text) {
  base::Sha256Bytes key = base::hmac_sha256("AWS4" + credentials.secret_access_key, date);
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")}) {
    key = base::hmac_sha256(raw(key), part);
  }
  return base::to_hex(base::hmac_sha256(raw(key), text));
}

}  // namespace

std::string encode_path(std::string_view path) { return encode(path, "/"); }

std::string encode_query(const SigV4Request::Pairs& query) {
  SigV4Request::Pairs encoded;
  for (const auto& [name, value] : query) encoded.emplace_back(encode(name, ""), encode(value, ""));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, value);
  return out;
}

SigV4Signature sign_v4(const SigV4Request& request, const SigV4Credentials& credentials, const SigV4Scope& scope) {
  const std::string time = fmt::format("{:%Y%m%dT%H%M%SZ}", scope.time);
  const std::string date = time.substr(0, 8);
  SigV4Signature out;
  out.headers.emplace_back("X-Amz-Date", time);
  if (request.content_hash == ContentHash::sent) out.headers.emplace_back("X-Amz-Content-Sha256", request.payload_hash);
  if (!credentials.session_token.empty()) out.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);

  SigV4Request::Pairs all = request.headers;
  all.insert(all.end(), out.headers.begin(), out.headers.end());
  std::string lines, names;
  for (const auto& [name, value] : canonical_headers(all)) {
    lines += fmt::format("{}:{}\n", name, value);
    names += (names.empty() ? "" : ";") + name;
  }
  const std::string path =
      encode_path(request.path_rule == PathRule::normalised ? normalise(request.path) : request.path);
  out.canonical_request = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, path, encode_query(request.query),
                                      lines, names, request.payload_hash);
  const std::string scope_text = fmt::format("{}/{}/{}/aws4_request", date, scope.region, scope.service);
  out.string_to_sign =
      fmt::format("{}\n{}\n{}\n{}", algorithm, time, scope_text, base::to_hex(base::sha256(out.canonical_request)));
  out.signature = signature_of(credentials, scope, date, out.string_to_sign);
  out.headers.emplace_back("Authorization",
                           fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", algorithm,
                                       credentials.access_key_id, scope_text, names, out.signature));
  return out;
}

}  // namespace cairn::remote
