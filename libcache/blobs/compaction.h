// SPDX-License-Identifier: Apache-2.0
// Gives the space of dead entries back: by moving what lives out of a pack and deleting it, or, on a full disk, by
// punching holes where it is.
#pragma once

#include <cstdint>
#include <stop_token>

#include "libbase/result.h"

namespace cairn::cache {

struct Store;

// Nothing is appended any more to packs before first_open, and every row that names them is durable or will not come; what
// the journal has in them are transactions up to journal_number.
struct SettledPacks {
  std::uint64_t first_open = 0;
  std::uint64_t journal_number = 0;
};
base::Result<SettledPacks> settle_packs(Store& store);

struct Compaction {
  std::uint64_t packs = 0;         // deleted
  std::uint64_t moved_entries = 0;
  std::uint64_t moved_bytes = 0;
  std::int64_t freed_bytes = 0;    // less what was moved
};

// Packs of which less than half lives, the emptiest first. Lookups and puts go on meanwhile; one compaction at a time.
// Stopping leaves a valid store, and the rest for the next call. Errors: io, no_space. A damaged entry is left out, and
// its pack stays.
base::Result<Compaction> compact_packs(Store& store, std::stop_token stop);

// Punches the whole dead blocks of packs of which a tenth or more is dead. Needs no space but for the rows of packs.
// Returns the bytes given back. Errors: io, unavailable (the file system punches no holes).
base::Result<std::int64_t> punch_packs(Store& store, std::stop_token stop);

// At open: files in blobs/packs without a row, but for the last (I6). What has no pack's name is left alone.
base::Status erase_unnamed_packs(Store& store);

}  // namespace cairn::cache
