// SPDX-License-Identifier: Apache-2.0
// Any answer of `git ls-remote`: what a ref is resolved to is a whole hash and a name that git can have, and never an option.
#include <cstddef>
#include <cstdint>
#include <string>

#include "libbase/result.h"
#include "libsolver/sources/git_refs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cairn::solver;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto refs = parse_git_refs(text);
  if (!refs) return 0;
  for (const char* ref : {"", "main", "v1", "refs/pull/1/head", "HEAD"}) {
    const auto resolved = resolve_git_ref(*refs, ref);
    if (!resolved) continue;
    CHECK(is_git_commit(resolved->sha) && is_git_ref_name(resolved->ref));
    CHECK(resolved->commit.empty() || is_git_commit(resolved->commit));
  }
  return 0;
}
