// SPDX-License-Identifier: Apache-2.0
#include "libcache/names/tree_name_rows.h"

#include <set>

#include "libbase/crash_point.h"
#include "libbase/hash/sha256.h"
#include "libcache/account/check.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;
using snapshot::SnapshotId;

namespace {

constexpr std::uint8_t key_version = 1;

// Whether the parent that a name says is a committed one.
Result<bool> parent_is_there(const ReadTxn& txn, const TreeNameRow& row) {
  if (row.parent.empty()) return true;
  const auto parent = TRY(txn.get(table::tree_names, key_of(TreeName{row.name.space, row.parent})));
  return parent && parent->kind == NameKind::committed;
}

Status check_committed(CheckState& state, const ReadTxn& txn, const TreeNameRow& row) {
  if (!state.records.contains(row.record()))
    state.found(5, "name {} {}: its record {} does not exist", row.name.space, row.name.name, row.record());
  const bool leased = TRY(has_row(txn, table::lease_records, {row.lease, row.record()}));
  if (!leased) state.found(4, "name {} {}: its lease {} does not keep its record", row.name.space, row.name.name, row.lease);
  return {};
}

}  // namespace

std::string_view to_string(NameKind kind) {
  switch (kind) {
    case NameKind::view: return "view";
    case NameKind::active: return "active";
    case NameKind::committed: return "committed";
  }
  return "";
}

KeyDigest key_of(const TreeName& name) {
  base::ByteWriter writer;
  writer.string("cairn.tree_name").u8(key_version).string(name.space).string(name.name);
  return base::digest_of<KeyDigest>(writer.take());
}

Status put_name(WriteTxn& txn, const TreeNameRow& row) { return txn.put(table::tree_names, key_of(row.name), row); }

Status put_lease_of(WriteTxn& txn, const TreeNameRow& row) {
  TRY(put_lease(txn, row.lease, LeaseRow{row.name.space, row.created, {}}));
  return put_lease_record(txn, row.lease, row.record());
}

Status erase_name(WriteTxn& txn, const TreeNameRow& row) {
  constexpr std::size_t rows_of_a_lease = 16;  // there is one record in it
  TRY(txn.erase(table::tree_names, key_of(row.name)));
  if (row.lease) TRY(erase_lease(txn, row.lease, rows_of_a_lease));
  return {};
}

Status expect_no_name_has(const ReadTxn& txn, LeaseId lease) {
  return scan_rows(txn, table::tree_names, {}, [&](const KeyDigest&, const TreeNameRow& row) -> Result<base::lmdb::Scan> {
    if (row.lease != lease) return base::lmdb::Scan::next;
    auto error = base::fail(base::ErrorCode::invalid_argument, "lease {}: snapshot {} of {} is kept by it", lease,
                            row.name.name, row.name.space);
    error.value().hint = "it goes when who made the snapshot removes it";
    return error;
  });
}

Status check_names(CheckState& state) {
  std::set<SnapshotId> lent;
  for (const SnapshotId id : TRY(state.env.view([](ReadTxn& txn) { return snapshot::lent_trees(txn); }))) lent.insert(id);
  std::set<SnapshotId> named;
  TRY(each_row(state.env, table::tree_names, [&](ReadTxn& txn, const KeyDigest& key, const TreeNameRow& row) -> Status {
    const auto& [space, name] = row.name;
    if (key != key_of(row.name)) state.found(5, "name {} {}: it is filed under another one's key", space, name);
    const bool has_parent = TRY(parent_is_there(txn, row));
    if (!has_parent) state.found(3, "name {} {}: its parent {} is not a committed name", space, name, row.parent);
    if (row.kind == NameKind::committed) return check_committed(state, txn, row);
    if (row.tree) named.insert(row.tree);
    if (row.tree && !lent.contains(row.tree)) state.found(5, "name {} {}: its tree {} is not lent", space, name, row.tree);
    return {};
  }));
  for (const SnapshotId id : lent)
    if (!named.contains(id)) state.found(5, "trees/{}: it is lent, and no name has it", id);
  return {};
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::TreeNameRow>::encode(const cache::TreeNameRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).u8(static_cast<std::uint8_t>(row.kind)).string(row.name.space).string(row.name.name);
  writer.string(row.parent).u64(row.tree.value()).u64(row.lease.value());
  writer.i64(to_unix_ns(row.created)).i64(to_unix_ns(row.updated));
  snapshot::write_labels(writer, row.labels);
  return writer.take();
}

Result<cache::TreeNameRow> Codec<cache::TreeNameRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::TreeNameRow row;
  const std::uint8_t kind = TRY(reader.u8());
  if (kind < 1 || kind > 3) return fail(ErrorCode::corrupt, "a name of kind {}", kind);
  row.kind = static_cast<cache::NameKind>(kind);
  row.name.space = TRY(reader.string());
  row.name.name = TRY(reader.string());
  row.parent = TRY(reader.string());
  if (row.name.space.size() > cache::tree_space_bytes_max || row.name.name.size() > cache::tree_name_bytes_max)
    return fail(ErrorCode::corrupt, "a name of {} bytes in a space of {}", row.name.name.size(), row.name.space.size());
  row.tree = snapshot::SnapshotId(TRY(reader.u64()));
  row.lease = cache::LeaseId(TRY(reader.u64()));
  const bool committed = row.kind == cache::NameKind::committed;
  if (committed != static_cast<bool>(row.lease) || (!row.tree && row.kind != cache::NameKind::view))
    return fail(ErrorCode::corrupt, "a name of kind {} with tree {} and lease {}", kind, row.tree, row.lease);
  row.created = from_unix_ns(TRY(reader.i64()));
  row.updated = from_unix_ns(TRY(reader.i64()));
  row.labels = TRY(snapshot::read_labels(reader));
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
