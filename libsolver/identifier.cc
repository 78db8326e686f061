// SPDX-License-Identifier: Apache-2.0
#include "libsolver/identifier.h"

#include <algorithm>

#include "libbase/digest.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

// One component of the path: runs of letters and digits, separated by one '.', one or two '_', or any number of '-'.
bool is_path_component(std::string_view text) {
  if (text.empty() || !is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  for (std::size_t at = 0; at < text.size();) {
    if (is_lower_alnum(text[at])) {
      ++at;
      continue;
    }
    const char separator = text[at];
    const std::size_t end = std::min(text.find_first_not_of(separator, at), text.size());
    const std::size_t run = end - at;
    const bool fits = (separator == '.' && run == 1) || (separator == '_' && run <= 2) || separator == '-';
    if (!fits || (end < text.size() && !is_lower_alnum(text[end]))) return false;
    at = end;
  }
  return true;
}

bool is_path(std::string_view path) {
  while (true) {
    const std::size_t slash = path.find('/');
    if (!is_path_component(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > 128 || tag.front() == '.' || tag.front() == '-') return false;
  return std::all_of(tag.begin(), tag.end(), [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_domain(std::string_view domain) {
  if (domain.starts_with('[')) return domain.find(']') != std::string_view::npos;
  const std::size_t colon = domain.find(':');
  const auto port = colon == std::string_view::npos ? std::string_view("0") : domain.substr(colon + 1);
  if (port.empty() || port.find_first_not_of("0123456789") != std::string_view::npos) return false;
  const auto host = domain.substr(0, colon);
  if (host.empty() || !is_alnum(host.front()) || !is_alnum(host.back())) return false;
  return std::all_of(host.begin(), host.end(), [](char c) { return is_alnum(c) || c == '.' || c == '-'; }) &&
         host.find("..") == std::string_view::npos;
}

// The first component is a domain if it looks like one; otherwise it is a namespace of docker.io.
bool looks_like_domain(std::string_view text) {
  return text == "localhost" || text.find_first_of(".:") != std::string_view::npos ||
         std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

base::Result<SourceIdentifier> parse_source_identifier(std::string_view identifier) {
  const std::size_t separator = identifier.find("://");
  if (separator == std::string_view::npos || separator == 0) {
    return fail(ErrorCode::invalid_argument, "source identifier \"{}\" has no scheme", identifier);
  }
  return SourceIdentifier{std::string(identifier.substr(0, separator)), std::string(identifier.substr(separator + 3))};
}

std::string_view reference_digest(std::string_view reference) {
  const std::size_t at = reference.find('@');
  return at == std::string_view::npos ? std::string_view() : reference.substr(at + 1);
}

base::Result<std::string> normalize_image_reference(std::string_view reference) {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::invalid_argument, "image reference \"{}\": {}", reference, why);
  };
  const auto digest = reference_digest(reference);
  std::string_view name = reference.substr(0, reference.find('@'));
  if (name.size() != reference.size() && !base::parse_sha256(digest)) return bad("the digest is not sha256:<64 hex>");

  const std::size_t colon = name.rfind(':');
  std::string_view tag;
  if (colon != std::string_view::npos && name.find('/', colon) == std::string_view::npos) {
    tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!is_tag(tag)) return bad("bad tag");
  }
  std::string domain = "docker.io";
  std::string path(name);
  const std::size_t slash = name.find('/');
  if (slash != std::string_view::npos && looks_like_domain(name.substr(0, slash))) {
    domain = name.substr(0, slash);
    path = name.substr(slash + 1);
    if (domain == "index.docker.io") domain = "docker.io";
    if (!is_domain(domain)) return bad("bad domain");
  }
  if (domain == "docker.io" && path.find('/') == std::string::npos) path = "library/" + path;
  if (!is_path(path)) return bad("the path is not lower-case letters, digits and single separators");

  std::string full = domain + "/" + path;
  if (!tag.empty()) full += fmt::format(":{}", tag);
  if (!digest.empty()) full += fmt::format("@{}", digest);
  if (tag.empty() && digest.empty()) full += ":latest";
  return full;
}

}  // namespace cairn::solver
