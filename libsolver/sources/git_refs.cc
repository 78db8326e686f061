// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/git_refs.h"

#include <algorithm>

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

bool is_git_ref_name(std::string_view text) {
  if (text.empty() || text.size() > 1'000 || text == "@") return false;
  if (text.find("..") != text.npos || text.find("//") != text.npos || text.find("@{") != text.npos) return false;
  if (text.starts_with('-') || text.starts_with('/') || text.ends_with('/') || text.ends_with('.')) return false;
  if (text.starts_with('.') || text.find("/.") != text.npos) return false;
  if (text.ends_with(".lock") || text.find(".lock/") != text.npos) return false;
  return std::none_of(text.begin(), text.end(), [](unsigned char c) {
    return c <= 0x20 || c == 0x7f || std::string_view("~^:?*[\\").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

Result<GitRefs> parse_git_refs(std::string_view listing) {
  GitRefs refs;
  for (std::size_t at = 0; at < listing.size();) {
    const std::size_t end = std::min(listing.find('\n', at), listing.size());
    const std::string_view line = listing.substr(at, end - at);
    at = end + 1;
    const std::size_t tab = line.find('\t');
    if (tab == line.npos) return fail(ErrorCode::corrupt, "a list of refs has the line \"{}\"", line.substr(0, 100));
    const std::string_view what = line.substr(0, tab);
    const std::string name(line.substr(tab + 1));
    std::string_view plain = name;
    if (plain.ends_with("^{}")) plain.remove_suffix(3);
    if (!is_git_ref_name(plain)) return fail(ErrorCode::corrupt, "a list of refs has the name \"{}\"", name.substr(0, 100));
    if (what.starts_with("ref: ")) {
      const std::string_view target = what.substr(5);
      if (name == "HEAD" && target.starts_with("refs/") && is_git_ref_name(target)) refs.head = target;
      continue;
    }
    if (!is_git_commit(what)) return fail(ErrorCode::corrupt, "a list of refs has the hash \"{}\"", what.substr(0, 100));
    if (refs.hashes.size() >= git_refs_max) return fail(ErrorCode::invalid_argument, "more than {} refs", git_refs_max);
    refs.hashes.emplace(name, what);
  }
  return refs;
}

std::vector<std::string> git_ref_patterns(const std::string& ref) {
  if (ref.empty()) return {"HEAD"};
  return {ref, ref + "^{}"};
}

Result<GitResolved> resolve_git_ref(const GitRefs& refs, const std::string& ref) {
  const auto hash_of = [&](const std::string& name) {
    const auto found = refs.hashes.find(name);
    return found == refs.hashes.end() ? std::string() : found->second;
  };
  if (ref.empty()) {
    const std::string sha = hash_of("HEAD");
    if (sha.empty()) return fail(ErrorCode::not_found, "the remote side has no default branch");
    return GitResolved{.sha = sha, .commit = {}, .ref = refs.head.empty() ? "HEAD" : refs.head};
  }
  std::vector<std::string> names{"refs/heads/" + ref, "refs/tags/" + ref, "refs/" + ref};
  if (ref.starts_with("refs/") || ref == "HEAD") names.insert(names.begin(), ref);
  for (const std::string& name : names) {
    const std::string sha = hash_of(name);
    if (sha.empty()) continue;
    return GitResolved{.sha = sha, .commit = hash_of(name + "^{}"), .ref = name};
  }
  return fail(ErrorCode::not_found, "the remote side has no branch, tag or ref \"{}\"", ref);
}

}  // namespace cairn::solver
