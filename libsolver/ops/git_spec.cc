// SPDX-License-Identifier: Apache-2.0
#include "libsolver/ops/git_spec.h"

#include <algorithm>

#include "libsolver/identifier.h"
#include "libsolver/ops/cache_maps.h"
#include "libsolver/ops/source_attrs.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

bool is_hex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }

// user@host:path
bool is_implicit_ssh(std::string_view text) {
  const std::size_t at = text.find('@');
  return at != std::string_view::npos && text.find(':', at) != std::string_view::npos && text.find("://") == std::string_view::npos;
}

bool is_transport(std::string_view text) {
  for (const char* scheme : {"http://", "https://", "git://", "ssh://"}) {
    if (text.starts_with(scheme)) return true;
  }
  return is_implicit_ssh(text);
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

base::Status check(const GitSpec& spec) {
  if (!is_hex(spec.checksum)) {
    return fail(ErrorCode::invalid_argument, "git.checksum \"{}\" is not the hash of a commit in hex", spec.checksum);
  }
  if (spec.checkout_bundle && spec.keep_git_dir) {
    return fail(ErrorCode::invalid_argument, "git.checkoutbundle and git.keepgitdir do not go together");
  }
  if (spec.fetch_by_commit && !is_git_commit(spec.checksum)) {
    return fail(ErrorCode::invalid_argument, "git.fetchbycommit needs the whole hash of a commit in git.checksum");
  }
  return {};
}

}  // namespace

std::string unescape_url(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size();
    const auto high = escape ? hex_digit(text[i + 1]) : std::nullopt;
    const auto low = escape ? hex_digit(text[i + 2]) : std::nullopt;
    if (high && low) i += 2;
    plain += high && low ? static_cast<char>(*high * 16 + *low) : text[i];
  }
  return plain;
}

bool is_ssh_address(std::string_view url) { return is_implicit_ssh(url) || url.starts_with("ssh://"); }

bool is_git_commit(std::string_view text) { return (text.size() == 40 || text.size() == 64) && is_hex(text); }

Result<GitAddress> parse_git_address(std::string_view url) {
  GitAddress address;
  if (url.find("://") != std::string_view::npos && !is_transport(url)) {
    return fail(ErrorCode::invalid_argument, "git address \"{}\": the transport is none of https, http, ssh and git", url);
  }
  address.remote = is_transport(url) ? std::string(url) : fmt::format("https://{}", url);
  std::string_view rest = address.remote;
  if (rest.find('#') != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument, "git address \"{}\" has a fragment: the ref and the directory are said beside it", url);
  }
  const bool implicit = is_implicit_ssh(rest);
  address.over_ssh = is_ssh_address(rest);
  if (!implicit) rest.remove_prefix(rest.find("://") + 3);
  const std::size_t slash = rest.find('/');
  const std::size_t end = implicit ? rest.find(':', rest.find('@')) : std::min(slash, rest.size());
  std::string_view host = rest.substr(0, end);
  if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
  if (host.empty()) return fail(ErrorCode::invalid_argument, "git address \"{}\" has no host", url);
  address.host = host;
  rest.remove_prefix(std::min(rest.size(), end + (implicit ? 1 : 0)));
  address.path = rooted_path(implicit ? std::string(rest) : unescape_url(rest.substr(0, rest.find('?'))));
  return address;
}

Result<GitSpec> parse_git_source(const wire::SourceOp& source) {
  const SourceIdentifier identifier = TRY(parse_source_identifier(source.identifier));
  std::string_view rest = identifier.rest;
  std::string_view fragment;
  if (const std::size_t hash = rest.find('#'); hash != std::string_view::npos) {
    fragment = rest.substr(hash + 1);
    rest = rest.substr(0, hash);
  }
  GitSpec spec;
  const std::string full = attr_text(source, "git.fullurl");
  spec.remote = full.empty() ? std::string(rest) : full;
  if (!is_transport(spec.remote)) spec.remote = "https://" + spec.remote;
  const std::size_t colon = fragment.find(':');
  spec.ref = fragment.substr(0, colon);
  if (colon != std::string_view::npos) spec.subdir = fragment.substr(colon + 1);
  if (rooted_path(spec.subdir) == "/") spec.subdir.clear();
  spec.keep_git_dir = attr_text(source, "git.keepgitdir") == "true";
  spec.skip_submodules = attr_text(source, "git.skipsubmodules") == "true";
  spec.checkout_bundle = attr_text(source, "git.checkoutbundle") == "true";
  spec.fetch_by_commit = attr_text(source, "git.fetchbycommit") == "true";
  spec.checksum = attr_text(source, "git.checksum");
  spec.mtime = attr_text(source, "git.mtime");
  if (spec.mtime == "checkout") spec.mtime.clear();
  TRY(check(spec));
  return spec;
}

Result<std::optional<GitResolved>> pinned_commit(const GitSpec& spec) {
  if (is_git_commit(spec.ref)) {
    if (!spec.ref.starts_with(spec.checksum)) {
      return fail(ErrorCode::invalid_argument, "the source names commit {}, but git.checksum is {}", spec.ref, spec.checksum);
    }
    return std::optional(GitResolved{.sha = spec.ref, .commit = {}, .ref = spec.ref});
  }
  // What .git would say of a ref that was not asked for is for the remote side to say.
  if (!spec.fetch_by_commit || spec.keep_git_dir) return std::optional<GitResolved>();
  return std::optional(GitResolved{.sha = spec.checksum, .commit = {}, .ref = spec.ref});
}

CacheMap git_cache_map(const GitSpec& spec, const GitResolved& resolved) {
  // A tag's own object is in .git only.
  std::string key = resolved.commit.empty() || spec.keep_git_dir ? resolved.sha : resolved.commit;
  if (spec.keep_git_dir) {
    key += ".git";
    if (!resolved.ref.empty()) key += "#" + resolved.ref;
  }
  if (!spec.subdir.empty()) key += ":" + spec.subdir;
  if (spec.skip_submodules) key += "(skip-submodules)";
  if (!spec.mtime.empty()) key += "(mtime=" + spec.mtime + ")";
  if (spec.checkout_bundle) key += "(bundle)";
  return source_map(key);
}

}  // namespace cairn::solver
