// SPDX-License-Identifier: Apache-2.0
// From an active tree to a record that is not published yet.
#pragma once

#include <optional>

#include "libbase/result.h"
#include "libcache/record.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct Store;

// Freezes the tree, which belongs to what is returned from then on. Errors: as MutableRef::commit; the tree is active as
// before.
base::Result<ImmutableRef> freeze_as_record(Store& store, snapshot::SnapshotId active,
                                            const std::optional<ImmutableRef>& parent, RecordFacts facts);

}  // namespace cairn::cache
