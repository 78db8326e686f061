// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/sources/git_ref.h"

#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

// "user@host:path".
bool is_scp_address(std::string_view text) {
  const std::size_t at = text.find('@'), colon = text.find(':');
  if (at == std::string_view::npos || colon == std::string_view::npos || at == 0 || colon < at + 2) return false;
  const std::string_view front = text.substr(0, colon);
  return front.find('/') == std::string_view::npos && !text.substr(colon).starts_with("://");
}

bool is_yes(std::string_view value) { return value.empty() || value == "true" || value == "1"; }

base::Status take_query(std::string_view query, GitRef& git) {
  std::string ref;
  for (const std::string& field : split(query, '&')) {
    if (field.empty()) continue;
    const Cut at = cut(field, '=');
    const std::string value(at.rest);
    if (at.head == "ref" || at.head == "tag" || at.head == "branch") {
      if (!ref.empty()) return refuse("ref conflicts: {} vs {}", go_quoted(ref), go_quoted(value));
      ref = (at.head == "tag" ? "refs/tags/" : at.head == "branch" ? "refs/heads/" : "") + value;
    } else if (at.head == "subdir") {
      git.options.subdir = value;
    } else if (at.head == "checksum" || at.head == "commit") {
      git.options.checksum = value;
    } else if (at.head == "keep-git-dir") {
      git.keep_git_dir = is_yes(value);
    } else if (at.head == "submodules") {
      git.options.skip_submodules = !is_yes(value);
    } else if (at.head == "mtime") {
      git.options.mtime = value;
    } else if (at.head == "fetch-by-commit") {
      git.options.fetch_by_commit = is_yes(value);
    } else {
      return refuse("unexpected query {}", go_quoted(at.head));
    }
  }
  if (!ref.empty()) git.options.ref = ref;
  return {};
}

}  // namespace

bool is_http(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

base::Result<std::optional<GitRef>> parse_git_ref(std::string_view text) {
  if (text.starts_with("./") || text.starts_with("../") || text.starts_with('/')) return std::nullopt;
  const Cut fragment = cut(text, '#');
  const Cut query = cut(fragment.head, '?');
  GitRef git;
  git.without_scheme = text.starts_with("github.com/");
  const bool has_git_scheme = text.starts_with("git://") || text.starts_with("ssh://");
  const bool is_repository = is_http(text) && query.head.ends_with(".git");
  if (!git.without_scheme && !has_git_scheme && !is_repository && !is_scp_address(text)) return std::nullopt;
  git.remote = (git.without_scheme ? "https://" : "") + std::string(query.head);
  if (fragment.found) {
    const Cut at = cut(fragment.rest, ':');
    git.options.ref = at.head;
    git.options.subdir = at.rest;
  }
  if (query.found && fragment.found)
    return refuse("fragment is not allowed together with a query in {}", go_quoted(text));
  TRY(take_query(query.rest, git));
  if (git.options.subdir == "/") git.options.subdir.clear();
  return git;
}

}  // namespace cairn::dockerfile
