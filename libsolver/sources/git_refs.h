// SPDX-License-Identifier: Apache-2.0
// What a remote side's refs are, as `git ls-remote` prints them, and which of them a source means.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libsolver/ops/git_spec.h"

namespace cairn::solver {

// Whether git can have a ref of this name (git check-ref-format, but one level is enough), so that it is no option and no
// pattern.
bool is_git_ref_name(std::string_view text);

struct GitRefs {
  std::map<std::string, std::string> hashes;  // of full names, HEAD, and "refs/tags/v1^{}": the commit that a tag object names
  std::string head;                           // the branch that HEAD stands for, in full; "": none
};

// Errors: corrupt (a line that is none, a hash that is none), invalid_argument (more than refs_max).
inline constexpr std::size_t git_refs_max = 100'000;
base::Result<GitRefs> parse_git_refs(std::string_view listing);

// What to list to resolve this ref; "": the default branch.
std::vector<std::string> git_ref_patterns(const std::string& ref);

// A full name as it is; else a branch before a tag before refs/<ref>. Errors: not_found.
base::Result<GitResolved> resolve_git_ref(const GitRefs& refs, const std::string& ref);

}  // namespace cairn::solver
