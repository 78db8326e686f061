// SPDX-License-Identifier: Apache-2.0
// The keys of an imported cache. A link of its document names the key that an operation has without inputs,
// H("<operation>@<output>"), and not the operation; so links are followed by that.
#pragma once

#include <unordered_map>
#include <vector>

#include "libcache/key_store.h"
#include "libsolver/cache_chains.h"

namespace cairn::solver {

// Thread-safe: nothing of it changes. Results are numbered from 1 in the order of the config's records; `record` of a
// KeyResult is such a number and no record of the store.
class ImportedKeys final : public cache::KeyStore {
 public:
  // The config's links lead to its records, in no circle, and digests are digests, as parse_cache_config() leaves them;
  // else corrupt.
  static base::Result<ImportedKeys> of(const CacheConfig& config);
  base::Status read(const std::function<base::Status(Reader&)>& f) override;

 private:
  struct Way {
    KeyDigest root;  // of the operation that is done
    std::uint32_t input = 0;
    base::Sha256Bytes selector{};
    KeyDigest to;
    auto operator<=>(const Way&) const = default;
  };
  class View;
  std::unordered_map<KeyDigest, std::vector<Way>> ways_;  // by where they begin, sorted
  std::unordered_map<KeyDigest, std::vector<cache::KeyResult>> results_;
};

}  // namespace cairn::solver
