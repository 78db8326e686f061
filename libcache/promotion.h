// SPDX-License-Identifier: Apache-2.0
// The list of promotions: which entries of untrusted writers somebody has made trusted ones (EntryStore::promote). A row is
// written with the entry, in one transaction, and stays when the entry goes.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libbase/clock.h"
#include "libbase/lmdb/env.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/record.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

struct Promotion {
  base::WallTime when{};
  std::string who, reason;             // as they were said
  std::string door, instance, key;     // the name of the entry
  BlobDigest value;                    // what it is the name of now
  std::optional<BlobDigest> replaced;  // the trusted value that was there before
  bool operator==(const Promotion&) const = default;
};
inline constexpr std::size_t promotion_reason_bytes_max = 1024;
inline constexpr std::size_t promotion_who_bytes_max = 256;

// All of them, the oldest first; the record is that of the trusted entry, and may be gone. Errors: io, corrupt, those of visit.
base::Status list_promotions(base::lmdb::Env& env,
                             const std::function<base::Status(RecordId record, const Promotion& promotion)>& visit);

}  // namespace cairn::cache
