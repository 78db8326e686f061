// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/ancestors.h"

#include "libcache/records/record_rows.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;

Result<RecordInfo> ancestor_info(Store& store, RecordId id) {
  if (auto info = store.holds.find_info(id)) return std::move(*info);
  auto row = TRY(store.keys.in_version([&](base::lmdb::ReadTxn& txn) { return txn.get(table::records, id); }));
  if (!row) return base::fail(ErrorCode::corrupt, "record {}: it is a parent and does not exist", id);
  return to_info(id, std::move(*row));
}

Result<ImmutableRef> find_ancestor(Store& store, const ImmutableRef& ref, RecordId id) {
  std::vector<ImmutableRef> open = {ref};
  while (!open.empty()) {
    ImmutableRef next = std::move(open.back());
    open.pop_back();
    if (next.id() == id) return next;
    for (ImmutableRef& parent : store.holds.parents_kept_for(next.id())) open.push_back(std::move(parent));
  }
  auto found = TRY(find_record(store, id));
  if (found) return std::move(*found);
  return base::fail(ErrorCode::corrupt, "record {}: its ancestor {} does not exist", ref.id(), id);
}

}  // namespace cairn::cache
