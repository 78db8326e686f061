// SPDX-License-Identifier: Apache-2.0
// The table of names of trees. A name is filed under its digest, because it may be longer than a key of LMDB.
#pragma once

#include <string>

#include "libbase/lmdb/env.h"
#include "libcache/digests.h"
#include "libcache/lease.h"
#include "libcache/tree_names.h"

namespace cairn::cache {

struct TreeNameRow {
  TreeName name;
  NameKind kind = NameKind::active;
  std::string parent;
  snapshot::SnapshotId tree;  // lent, or that of the record, which has its number; 0: a view of its parent
  LeaseId lease;              // of a committed one, on its record
  base::WallTime created{}, updated{};
  snapshot::Labels labels;

  RecordId record() const { return kind == NameKind::committed ? RecordId(tree.value()) : RecordId(); }
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::TreeNameRow> {
  static std::string encode(const cache::TreeNameRow& row);
  static Result<cache::TreeNameRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<KeyDigest, TreeNameRow> tree_names{
    {"cache.tree_names", base::lmdb::Precious::persistent}};

}  // namespace cairn::cache::table

namespace cairn::cache {

KeyDigest key_of(const TreeName& name);
base::Status put_name(base::lmdb::WriteTxn& txn, const TreeNameRow& row);
// What a committed name keeps: a lease of its own, owned by the space.
base::Status put_lease_of(base::lmdb::WriteTxn& txn, const TreeNameRow& row);
base::Status erase_name(base::lmdb::WriteTxn& txn, const TreeNameRow& row);  // with its lease
// For whoever changes leases by their ids: invalid_argument if it is that of a name. O(names).
base::Status expect_no_name_has(const base::lmdb::ReadTxn& txn, LeaseId lease);

}  // namespace cairn::cache
