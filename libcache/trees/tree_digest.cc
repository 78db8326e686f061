// SPDX-License-Identifier: Apache-2.0
#include "libcache/tree_digest.h"

#include "libbase/fs/fd.h"
#include "libbase/hash/sha256.h"
#include "libcache/patterns/clean.h"
#include "libcache/trees/disk_tree.h"

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<TreeDigest> combine_digests(const std::vector<Selection>& selections,
                                   const std::function<Result<TreeDigest>(const Selection&)>& digest_one) {
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

DigestCounts& DigestCounts::operator+=(const DigestCounts& other) {
  files_opened += other.files_opened;
  bytes_read += other.bytes_read;
  directories_listed += other.directories_listed;
  names_hashed += other.names_hashed;
  pages_read += other.pages_read;
  remembered += other.remembered;
  return *this;
}

namespace {

Result<TreeDigest> digest_disk(int tree, const Selection& selection, DiskTree::Options options) {
  options.normalisation = selection.normalisation;
  DiskTree source(tree, std::move(options));
  const TreeDigest digest = TRY(digest_selection(source, selection), "digest of \"{}\"", selection.path);
  return seal(digest, selection.normalisation);
}

}  // namespace

Result<TreeDigest> tree_digest(int tree, const Selection& selection, DigestRules rules, DigestCounts* counts,
                               std::stop_token stop) {
  return digest_disk(tree, selection, {.rules = rules, .normalisation = {}, .counts = counts, .stop = std::move(stop)});
}

Result<TreeDigest> content_digest(int tree, const std::vector<Selection>& selections, DigestRules rules,
                                  DigestCounts* counts, std::stop_token stop) {
  return combine_digests(selections,
                 [&](const Selection& selection) { return tree_digest(tree, selection, rules, counts, stop); });
}

Result<TreeDigest> content_digest_of_nothing(const std::vector<Selection>& selections) {
  return combine_digests(selections, [](const Selection& selection) -> Result<TreeDigest> {
    if (selection.path == "/") return seal(base::digest_of<TreeDigest>(""), selection.normalisation);
    return fail(ErrorCode::not_found, "digest of \"{}\" of an empty tree: not found", selection.path);
  });
}

Result<TreeDigest> digest_directory(const base::HostPath& directory, const Selection& selection, DigestCounts* counts,
                                    std::stop_token stop, StatCache* stats) {
  const base::Fd top = TRY(base::open_host_dir(directory));
  DiskTree::Options options{.normalisation = {}, .counts = counts, .stop = std::move(stop), .stats = stats};
  return TRY(digest_disk(top.get(), selection, std::move(options)), "{}", directory.str());
}

}  // namespace cairn::cache
