// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/check.h"
#include "libcache/keys/key_rows.h"
#include "libcache/keys/operations.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;

namespace {

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

Status check_operations(CheckState& state) {
  const bool lacking = TRY(state.env.view([](ReadTxn& txn) { return lacks_operations(txn); }));
  if (lacking) return {};  // the next owner makes them
  OperationMap links = TRY(count_operations(state.env));
  TRY(each_row(state.env, table::operations, [&](ReadTxn&, const auto& key, const OperationRow& row) -> Status {
    const auto found = links.find(key);
    const std::uint64_t counted = found == links.end() ? 0 : found->second;
    if (counted != row.links)
      state.found(5, "operation {}: its row counts {} links, there are {}", std::get<0>(key), row.links, counted);
    if (found != links.end()) links.erase(found);
    return {};
  }));
  for (const auto& [key, count] : links) state.found(5, "operation {}: no row counts its {} links", std::get<0>(key), count);
  return {};
}

}  // namespace

Status check_keys(CheckState& state) {
  TRY(check_results(state));
  TRY(check_record_keys(state));
  TRY(check_links(state));
  TRY(check_backlinks(state));
  return check_operations(state);
}

}  // namespace cairn::cache
