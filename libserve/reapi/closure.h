// SPDX-License-Identifier: Apache-2.0
// What an ActionResult of the Remote Execution API needs: its outputs, what it printed, and every file of the trees
// that it names. With these as the closure of its entry, a hit is complete while it is there, and nobody has to look
// again.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libcache/blob_store.h"
#include "libcache/remote_tier.h"

namespace cairn::serve {

// SHA-256 of nothing: a blob that is always there.
inline constexpr std::string_view empty_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

using SizedDigest = cache::SizedBlob;

// What the message names itself: files, trees, standard output and error. Errors: corrupt (it is no ActionResult).
struct NamedBlobs {
  std::vector<SizedDigest> files, trees;
};
base::Result<NamedBlobs> blobs_of_action_result(std::string_view message);
// The files of all directories of a Tree. Errors: corrupt.
base::Result<std::vector<SizedDigest>> files_of_tree(std::string_view message);

// All of them, the empty blob left out, whether they are there or not. `bring` sees to it that trees are, which are
// read. Errors: corrupt (it is no ActionResult, or a tree is no Tree), io, and those of `bring`.
using BringBlobs = std::function<base::Status(std::span<const SizedDigest> blobs)>;
base::Result<std::vector<SizedDigest>> needed_by(std::string_view action_result, cache::BlobStore& blobs,
                                                 const BringBlobs& bring);

// All of them, the empty blob left out, which is always there. Errors: corrupt (it is no ActionResult, or a tree is no
// Tree), not_found (one is not there, or has another size; the message names it), io.
base::Result<std::vector<BlobDigest>> closure_of(std::string_view action_result, cache::BlobStore& blobs);

}  // namespace cairn::serve
