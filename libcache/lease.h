// SPDX-License-Identifier: Apache-2.0
// Leases: claims on records and blobs that are rows, so that they outlive the process: pins, what a remote client still
// has to fetch, what a builder wants to find again after a restart. A hold (ref.h) is the claim of a living process; a
// lease is for where that is not enough. What is leased is not collected, nor is anything it needs (I4).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/id.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/record.h"

namespace cairn::cache {

using LeaseId = base::Id<struct LeaseMeaning>;  // never used again; text form: decimal

struct LeaseInfo {
  LeaseId id;
  std::string owner;  // who asked for it, in his words
  base::WallTime created{};
  std::optional<base::WallTime> expires;  // none: until it is released
  std::vector<RecordId> records;
  std::vector<BlobDigest> blobs;
};

inline constexpr std::size_t lease_owner_bytes_max = 256;

// All leases that have not expired at `now`, in the order of their ids. Reads beside the owner of the store. O(leases and
// what they name).
base::Result<std::vector<LeaseInfo>> list_leases(base::lmdb::Env& env, base::WallTime now);

}  // namespace cairn::cache
