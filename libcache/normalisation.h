// SPDX-License-Identifier: Apache-2.0
// What a dependency wants left out of a digest. Off by default: then digests are BuildKit's to the byte. A policy is part
// of what it makes: digests with one are hashed once more together with it, so they never equal those without, nor those
// of another policy (docs/formats/tree-digest.md, "Normalised digests").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/tree_entry.h"

namespace cairn::cache {

struct Normalisation {
  enum class Owner : std::uint8_t { counted, ignored };
  Owner owner = Owner::counted;
  std::uint32_t mode_mask = 07777;      // the bits of the mode that count
  Times times = Times::ignored;         // BuildKit ignores them
  // The names of the extended attributes that count; nullopt: all that BuildKit counts. Others never do.
  std::optional<std::vector<std::string>> xattrs;

  bool is_off() const { return *this == Normalisation(); }
  auto operator<=>(const Normalisation&) const = default;
};

// Takes what does not count out of an entry.
void normalise(TreeEntry& entry, const Normalisation& policy);
// The name of a policy: equal for equal ones, whatever the order of their lists. Part of keys.
std::string name_of(const Normalisation& policy);
// The digest as it leaves libcache: as it is if the policy is off, else hashed with the name of the policy.
TreeDigest seal(const TreeDigest& digest, const Normalisation& policy);

}  // namespace cairn::cache
