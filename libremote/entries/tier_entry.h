// SPDX-License-Identifier: Apache-2.0
// An entry as the bytes that a tier keeps which knows nothing of entries (S3, Redis): docs/formats/tier-entry.md. They
// say themselves which entry they are and what they hash to, so that what another entry or a damaged one has is found
// out.
#pragma once

#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libcache/remote_tier.h"

namespace cairn::remote {

inline constexpr std::size_t tier_entry_bytes_max = 64 << 20;

// Errors: invalid_argument (attributes or closure beyond what a reader takes).
base::Result<std::string> encode_tier_entry(const KeyDigest& key, const cache::TierEntry& entry);
// Errors: corrupt (nothing that encode_tier_entry gave for this key).
base::Result<cache::TierEntry> decode_tier_entry(const KeyDigest& key, std::string_view bytes);

}  // namespace cairn::remote
