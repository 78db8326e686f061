// SPDX-License-Identifier: Apache-2.0
// Which blobs go with records: the same code for a dry run and a real one.
#pragma once

#include <vector>

#include "libcache/cache.h"

namespace cairn::cache {

struct SelectedBlob {
  BlobInfo info;
  std::size_t rows = 1;  // that go with it, about
};
// Blobs that no record names except those of `gone`, and that nobody leases or has put and may still name; and chunks that
// are in no other blobs than these. A blob comes before its chunks. O(blobs).
base::Result<std::vector<SelectedBlob>> select_blobs(Store& store, const std::vector<RecordId>& gone);

}  // namespace cairn::cache
