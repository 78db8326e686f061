// SPDX-License-Identifier: Apache-2.0
#include "libcache/tree_digest.h"

#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "libcache/patterns/clean.h"
#include "libcache/trees/disk_tree.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// The hash over the digests of all selections, each computed by digest_one on the selection with its path made
// absolute.
template <class DigestOne>
Result<TreeDigest> combine(const std::vector<Selection>& selections, DigestOne&& digest_one) {
  const std::vector<Selection> whole(1);
  std::string joined;
  for (Selection selection : selections.empty() ? whole : selections) {
    const std::string path = clean_rooted(selection.path);
    selection.path = path.empty() ? "/" : path;
    if (!joined.empty()) joined += '\0';
    joined += TRY(digest_one(selection)).str();
  }
  return base::digest_of<TreeDigest>(joined);
}

}  // namespace

Result<TreeDigest> tree_digest(int tree, const Selection& selection, DigestRules rules, DigestCounts* counts,
                               std::stop_token stop) {
  DiskTree source(tree, rules, counts, std::move(stop));
  return TRY(digest_selection(source, selection), "digest of \"{}\"", selection.path);
}

Result<TreeDigest> content_digest(int tree, const std::vector<Selection>& selections, DigestRules rules,
                                  DigestCounts* counts, std::stop_token stop) {
  return combine(selections,
                 [&](const Selection& selection) { return tree_digest(tree, selection, rules, counts, stop); });
}

Result<TreeDigest> content_digest_of_nothing(const std::vector<Selection>& selections) {
  return combine(selections, [](const Selection& selection) -> Result<TreeDigest> {
    if (selection.path == "/") return base::digest_of<TreeDigest>("");
    return fail(ErrorCode::not_found, "digest of \"{}\" of an empty tree: not found", selection.path);
  });
}

Result<TreeDigest> digest_directory(const base::HostPath& directory, const Selection& selection, DigestCounts* counts,
                                    std::stop_token stop) {
  const base::Fd top = TRY(base::open_host_dir(directory));
  return TRY(tree_digest(top.get(), selection, DigestRules::scan, counts, std::move(stop)), "{}", directory.str());
}

}  // namespace cairn::cache
