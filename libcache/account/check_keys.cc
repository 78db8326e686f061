// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/check.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;

namespace {

template <class Key, class Value>
Result<bool> has_row(const ReadTxn& txn, const base::lmdb::TableSpec<Key, Value>& table, const Key& key) {
  const auto row = TRY(txn.get_raw(table, base::Codec<Key>::encode(key)));
  return row.has_value();
}

Status check_results(CheckState& state) {
  const auto visit = [&](ReadTxn& txn, const std::tuple<KeyDigest, RecordId>& row, const KeyResultRow&) -> Status {
    const auto& [key, record] = row;
    if (!record) return {};
    if (!state.records.contains(record)) state.found(5, "key {}: its result, record {}, does not exist", key, record);
    const bool known = TRY(has_row(txn, table::record_keys, {record, key}));
    if (!known) state.found(5, "key {}: its result, record {}, does not know it", key, record);
    return {};
  };
  return each_row(state.env, table::key_results, visit);
}

Status check_record_keys(CheckState& state) {
  const auto visit = [&](ReadTxn& txn, const std::tuple<RecordId, KeyDigest>& row, const Present&) -> Status {
    const auto& [record, key] = row;
    const bool known = TRY(has_row(txn, table::key_results, {key, record}));
    if (!known) state.found(5, "record {}: key {} does not lead to it", record, key);
    return {};
  };
  return each_row(state.env, table::record_keys, visit);
}

Status check_links(CheckState& state) {
  const auto visit = [&](ReadTxn& txn, const std::tuple<KeyDigest, LinkWay, KeyDigest>& row,
                         const KeyLinkRow& value) -> Status {
    const auto& [from, way, target] = row;
    const KeyLink link{from, value.input, value.operation, value.output, value.selector};
    if (way_of(link) != way) state.found(2, "link from key {} to key {}: it is filed under another way", from, target);
    const bool known = TRY(has_row(txn, table::key_backlinks, {target, from, way}));
    if (!known) state.found(5, "link from key {} to key {}: it has no way back", from, target);
    return {};
  };
  return each_row(state.env, table::key_links, visit);
}

Status check_backlinks(CheckState& state) {
  const auto visit = [&](ReadTxn& txn, const std::tuple<KeyDigest, KeyDigest, LinkWay>& row, const Present&) -> Status {
    const auto& [target, from, way] = row;
    const bool known = TRY(has_row(txn, table::key_links, {from, way, target}));
    if (!known) state.found(5, "way back from key {} to key {}: there is no such link", target, from);
    return {};
  };
  return each_row(state.env, table::key_backlinks, visit);
}

}  // namespace

Status check_keys(CheckState& state) {
  TRY(check_results(state));
  TRY(check_record_keys(state));
  TRY(check_links(state));
  return check_backlinks(state);
}

}  // namespace cairn::cache
