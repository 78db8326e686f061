// SPDX-License-Identifier: Apache-2.0
// What a git:// source asks for, and what it is once the remote side has said which commit that means (spec/solver 3.2,
// 7.4).
#pragma once

#include <optional>
#include <string>

#include "libsolver/cache_map.h"

namespace cairn::solver {

struct GitSpec {
  std::string remote;    // as git takes it
  std::string ref;       // branch, tag, full ref or commit; "": the default branch
  std::string subdir;    // "": all
  std::string checksum;  // the beginning of the commit's hash, or ""
  std::string mtime;     // "commit", or "": that of the checkout
  bool keep_git_dir = false, skip_submodules = false, checkout_bundle = false;
  bool fetch_by_commit = false;  // the checksum is what is fetched
};

struct GitResolved {
  std::string sha;     // what the ref names: a commit, or the tag itself
  std::string commit;  // of a tag with an object of its own; else ""
  std::string ref;     // in full, "refs/heads/main"; of a commit the commit
};

// Where a repository is.
struct GitAddress {
  std::string remote;  // as git takes it: with a transport
  std::string host;    // with its port
  std::string path;    // absolute and normal
  bool over_ssh = false;
};
// url: https://, http://, ssh://, git://, user@host:path, or host/path, which is https://.
// Errors: invalid_argument: another transport, no host, a fragment.
base::Result<GitAddress> parse_git_address(std::string_view url);

// ssh://… and user@host:path.
bool is_ssh_address(std::string_view url);
// "%20" is ' '; what is no escape stays.
std::string unescape_url(std::string_view text);

// Whether this is the whole hash of an object, SHA-1 or SHA-256.
bool is_git_commit(std::string_view text);

// Errors: invalid_argument (attributes that cannot be right, or not together).
base::Result<GitSpec> parse_git_source(const wire::SourceOp& source);
// What a source that names its commit is, without asking anybody; nullopt: it names none. Errors: invalid_argument (the
// checksum is another's).
base::Result<std::optional<GitResolved>> pinned_commit(const GitSpec& spec);
CacheMap git_cache_map(const GitSpec& spec, const GitResolved& resolved);

}  // namespace cairn::solver
