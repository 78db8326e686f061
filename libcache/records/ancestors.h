// SPDX-License-Identifier: Apache-2.0
// Who stands behind a held record: its ancestors exist as long as it does, with rows or without.
#pragma once

#include "libcache/ref.h"

namespace cairn::cache {

struct Store;

// What is known of an ancestor of a held record, published or not.
base::Result<RecordInfo> ancestor_info(Store& store, RecordId id);
// A hold on a record that is `ref` or kept by it. O(ancestors that are not durable).
base::Result<ImmutableRef> find_ancestor(Store& store, const ImmutableRef& ref, RecordId id);

}  // namespace cairn::cache
