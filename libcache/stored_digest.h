// SPDX-License-Identifier: Apache-2.0
// Digests of records beside the owner of a store: from the pages that LMDB has, and nothing else.
#pragma once

#include <optional>

#include "libbase/lmdb/env.h"
#include "libbase/result.h"
#include "libcache/record.h"

namespace cairn::cache {

// The digest of a selection of a record, by the record's own rules. nullopt: there are no pages that cover it (or they go
// just now), so that its owner has to be asked. No lock, no hold, no mount; each page is read in a version of its own.
// Errors: those of tree_digest; not_found also if there is no such record.
base::Result<std::optional<TreeDigest>> stored_digest(base::lmdb::Env& env, RecordId record, const Selection& selection);

}  // namespace cairn::cache
