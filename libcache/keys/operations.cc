// SPDX-License-Identifier: Apache-2.0
#include "libcache/keys/operations.h"

#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

namespace {

using OperationKey = std::tuple<OperationDigest, OutputNumber>;

OperationKey key_of(const base::Sha256Bytes& operation, std::uint32_t output) {
  return {OperationDigest(operation), OutputNumber(output)};
}

}  // namespace

Status count_link(WriteTxn& txn, const base::Sha256Bytes& operation, std::uint32_t output) {
  const OperationKey key = key_of(operation, output);
  OperationRow row = TRY(txn.get(table::operations, key)).value_or(OperationRow{});
  ++row.links;
  return txn.put(table::operations, key, row);
}

Status discount_link(WriteTxn& txn, const base::Sha256Bytes& operation, std::uint32_t output) {
  const OperationKey key = key_of(operation, output);
  auto row = TRY(txn.get(table::operations, key));
  if (!row) return {};  // check() reports it
  if (row->links <= 1) return txn.erase(table::operations, key);
  --row->links;
  return txn.put(table::operations, key, *row);
}

Result<bool> lacks_operations(const ReadTxn& txn) {
  if (TRY(txn.count(table::operations)) > 0) return false;
  return TRY(txn.count(table::key_links)) > 0;
}

Result<OperationMap> count_operations(base::lmdb::Env& env) {
  OperationMap counts;
  TRY(each_row(env, table::key_links, [&](ReadTxn&, const auto&, const KeyLinkRow& row) -> Status {
    ++counts[key_of(row.operation, row.output)];
    return {};
  }));
  return counts;
}

Status make_operations(base::lmdb::Env& env) {
  const bool lacking = TRY(env.view([](ReadTxn& txn) { return lacks_operations(txn); }));
  if (!lacking) return {};
  const OperationMap counts = TRY(count_operations(env), "count the links of operations");
  return env.update([&](WriteTxn& txn) -> Status {
    for (const auto& [key, links] : counts) TRY(txn.put(table::operations, key, OperationRow{links}));
    return {};
  });
}

Result<bool> Cache::knows_operation(const base::Sha256Bytes& operation, std::uint32_t output) {
  if (state_->pending.has_operation(operation, output)) return true;
  return state_->keys.in_version([&](ReadTxn& txn) -> Result<bool> {
    const auto row = TRY(txn.get(table::operations, key_of(operation, output)));
    return row.has_value();
  });
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::OperationRow>::encode(const cache::OperationRow& row) {
  return ByteWriter().u8(cache::row_version).varint(row.links).take();
}

Result<cache::OperationRow> Codec<cache::OperationRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const cache::OperationRow row{TRY(reader.varint())};
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
