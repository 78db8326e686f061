// SPDX-License-Identifier: Apache-2.0
// Blobs whose bytes are not theirs any more: they become misses, and so do the keys of records that need them. What is
// left of the bytes is kept apart for whoever wants to look.
#pragma once

#include <memory>
#include <string>

#include "libcache/blobs/blob_claims.h"
#include "libcache/blobs/blob_rows.h"

namespace cairn::cache {

struct Store;

struct QuarantineRow {
  base::WallTime when{};
  std::string reason;
};

// Where a scrub goes on.
struct ScrubRow {
  BlobDigest next;
};

// Queues that the blob goes, if it still is where `found` says; first, in steps, the blobs that it is a chunk of. Of a file,
// quarantine/<hex> is what was in it. `damage` ends when that has come to an end.
base::Status quarantine_blob(Store& store, const BlobDigest& digest, const BlobRow& found, const std::string& reason,
                             std::shared_ptr<BlobClaims::Damage> damage);

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::QuarantineRow> {
  static std::string encode(const cache::QuarantineRow& row);
  static Result<cache::QuarantineRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::ScrubRow> {
  static std::string encode(const cache::ScrubRow& row);
  static Result<cache::ScrubRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr TableSpec<BlobDigest, QuarantineRow> quarantine{{"cache.quarantine", Precious::persistent}};
inline constexpr TableSpec<std::string, ScrubRow> scrub{{"cache.scrub", Precious::ephemeral}};

}  // namespace cairn::cache::table
