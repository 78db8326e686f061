// SPDX-License-Identifier: Apache-2.0
// The bare repository that the sources of one remote side share. What has been fetched has a ref of its own there,
// refs/cairn/<hash>: so it is told to the remote side at the next fetch, which then sends what is new, and whether it is
// there is whether a file is.
#pragma once

#include <stop_token>
#include <string>

#include "libbase/result.h"
#include "libcache/ref.h"
#include "libsolver/digests.h"
#include "libsolver/ops/git_spec.h"
#include "libsolver/sources/git_program.h"

namespace cairn::solver {

// One with more commits than this is not built upon: what it holds for those that nobody asks for any more only grows.
inline constexpr std::size_t git_commits_max = 32;

// Which record the repository of a remote side is; it hashes as this hash is one. No key of a content: a place to begin.
KeyDigest git_repository_key(const std::string& remote, std::string_view sha);

class GitRepository {
 public:
  // `tree` holds a repository, or nothing, and outlives this. It is mounted for each step.
  GitRepository(const GitProgram& git, const cache::MutableRef& tree, std::stop_token stop)
      : git_(git), tree_(tree), stop_(std::move(stop)) {}

  base::Status create(const GitResolved& like);  // hashes as it does: SHA-1 or SHA-256
  base::Result<bool> has(const GitResolved& resolved) const;
  base::Result<std::size_t> commits() const;
  // Makes has() true: by hash and shallow if the remote side gives it so, else by its ref, else with all that the remote
  // side has. Errors: not_found (it has no such commit), io, cancelled.
  base::Status fetch(const GitResolved& resolved) const;

 private:
  base::Result<GitProgram::Ended> run(std::vector<std::string> arguments,
                                      GitProgram::Talks talks = GitProgram::Talks::no) const;
  base::Status fetch_all(const GitResolved& resolved) const;

  const GitProgram& git_;
  const cache::MutableRef& tree_;
  std::stop_token stop_;
};

}  // namespace cairn::solver
