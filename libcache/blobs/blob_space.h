// SPDX-License-Identifier: Apache-2.0
// What a blob's bytes are to the records (I9). A record reaches a blob that it names, and the chunks of one that it names.
// Bytes that one record reaches are exclusive to it, those that several reach are shared, the rest are nobody's.
#pragma once

#include <map>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/account/totals.h"
#include "libcache/record.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

enum class Reaching : std::uint8_t { all, two };
// The records that reach the blob, each once; with `two` no more than that many.
base::Result<std::vector<RecordId>> records_that_reach(const base::lmdb::ReadTxn& txn, const BlobDigest& blob, Reaching wanted);

// The blob has `bytes` more for each of those records, or less; and the lines for what is unnamed or shared say so, too.
base::Status count_blob(base::lmdb::WriteTxn& txn, const std::vector<RecordId>& records, std::int64_t bytes, Counting way);

// A record comes to name a blob (before its rows say so), or has ceased to (after they do not): what that changes is added
// to `changes`.
base::Status count_name(base::lmdb::ReadTxn& txn, RecordId record, const BlobDigest& blob, Counting way,
                        SpaceChanges& changes);

}  // namespace cairn::cache
