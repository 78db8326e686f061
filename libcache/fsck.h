// SPDX-License-Identifier: Apache-2.0
// What can be done for a store whose disk has lied: look at every row although the page tree may be broken, make the
// metadata anew from the journal, and bring a store of the first format to this one. Nobody owns the store meanwhile; the
// caller holds its lock.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::cache {

using TableList = std::span<const base::lmdb::RawTableSpec* const>;

// What a walk over all rows of the metadata found.
struct MetadataWalk {
  std::uint64_t rows = 0;
  std::vector<std::string> damaged;  // rows whose value is, as "<table> <key in hex>"; the first 1,000
  std::uint64_t damaged_count = 0;
  std::string broken;                // why the walk ended before its end: the page tree is damaged. Empty: it did not
};
// Reads every row in a child process, because a broken page tree may end who reads it by a signal (SIGBUS, SIGSEGV, or an
// abort of LMDB's). May run beside a live owner. The environment is not open in this process, and no other thread runs.
// Errors: not_found, busy, io.
base::Result<MetadataWalk> walk_metadata(const base::HostPath& root, TableList tables);

struct Rebuild {
  std::uint64_t rows = 0;            // that the new metadata has
  std::uint64_t transactions = 0;    // applied after the checkpoint
  std::uint64_t damaged_entries = 0; // of the journal, that are lost
  std::uint64_t missing = 0;         // transactions that the journal does not have: they found no space, or their entry is lost
};
// Makes the metadata anew from the journal in the packs, whatever is in root/meta, which stays as root/meta.damaged until
// the next rebuild. Dying in the middle leaves the old metadata or the new.
// Every transaction that somebody was told of is in it, but for what damaged entries had. Errors: not_found (no journal),
// no_space, io.
base::Result<Rebuild> rebuild_metadata(const base::HostPath& root, TableList tables);

// What rebuild_metadata() would make, in `scratch`, a directory that is not there or empty; nothing below root is changed.
base::Result<Rebuild> rebuild_metadata_into(const base::HostPath& scratch, const base::HostPath& root, TableList tables);

// The metadata of format 1, which had no checksums, becomes that of format 2. Can be called again after dying in the middle.
// The old one stays as root/meta.format1 until finish_migration(), which the caller calls when VERSION says 2.
base::Result<std::uint64_t> migrate_metadata(const base::HostPath& root, TableList tables);
// How many rows that would bring over; 0 of a store of this format. Changes nothing.
base::Result<std::uint64_t> count_rows_to_migrate(const base::HostPath& root, TableList tables);
base::Status finish_migration(const base::HostPath& root);

}  // namespace cairn::cache
