// SPDX-License-Identifier: Apache-2.0
// An op's answer to "what are you?": one digest for the operation, and per input a selector and, where content decides,
// which part of the input's tree. Byte-exact with BuildKit (spec/solver 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/tree_digest.h"
#include "libsolver/definition.h"
#include "libsolver/digests.h"

namespace cairn::solver {

struct CacheMapDep {
  std::vector<std::string> selectors;              // the paths hashed into `selector`, in the order they are hashed
  std::optional<SelectorDigest> selector;          // nullopt: this input has none
  std::optional<std::vector<cache::Selection>> content;  // set: content decides, by these selections ([]: the whole root)
  bool unlazy = false;  // the input's bytes must be here before the step (and its content function) can run
};

struct CacheMap {
  OpDigest digest;
  std::string hashed;  // the exact bytes that were hashed, for explain and tests
  std::vector<CacheMapDep> deps;
};

// What an op says of itself, one map at a time: each names the same operation in another way, the cheapest first. A map is
// asked for only if those before it led to nothing.
struct OpIdentity {
  CacheMap map;                       // has as many deps as the op has inputs
  std::vector<KeyDigest> extra_keys;  // of a source: keys that are not BuildKit's (a synced tree by its content)
  bool last = true;                   // there is no further map
};

// The CacheMaps of ops that need no I/O to answer: exec, file, merge, diff, build, passthrough, local sources and blobs
// named by digest. For others (images, git, http): unavailable. session: of a local source that names none.
// Errors: unavailable; invalid_argument: attributes or input numbers that cannot be right.
base::Result<std::vector<CacheMap>> pure_cache_maps(const Vertex& vertex, std::string_view session);

// Image and oci-layout sources, from what resolving gave (spec/solver 3.2).
CacheMap image_root_cache_map(std::string_view root_digest, const wire::Platform& platform, std::int64_t layer_limit);
CacheMap image_chain_cache_map(std::string_view chain_id);

}  // namespace cairn::solver
