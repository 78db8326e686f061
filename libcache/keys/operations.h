// SPDX-License-Identifier: Apache-2.0
// Which operations have been done at all: how many links of the key graph each has, for each output. A lookup that finds
// nothing asks it whether the same step was done with other inputs.
#pragma once

#include <map>
#include <tuple>

#include "libbase/lmdb/env.h"
#include "libcache/key_store.h"
#include "libcache/keys/key_rows.h"

namespace cairn::cache {

using OperationDigest = base::Digest<struct OperationMeaning>;
using OutputNumber = base::Id<struct OutputNumberMeaning>;

struct OperationRow {
  std::uint64_t links = 0;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::OperationRow> {
  static std::string encode(const cache::OperationRow& row);
  static Result<cache::OperationRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<std::tuple<OperationDigest, OutputNumber>, OperationRow> operations{
    {"cache.operations", base::lmdb::Precious::rebuildable}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// In the transaction that writes or erases one row of key_links.
base::Status count_link(base::lmdb::WriteTxn& txn, const base::Sha256Bytes& operation, std::uint32_t output);
base::Status discount_link(base::lmdb::WriteTxn& txn, const base::Sha256Bytes& operation, std::uint32_t output);

// A store without the table is of a build that kept none; its rows are counted when it is opened. O(links) once.
base::Result<bool> lacks_operations(const base::lmdb::ReadTxn& txn);
base::Status make_operations(base::lmdb::Env& env);
// Compares the table with the links (check()).
using OperationMap = std::map<std::tuple<OperationDigest, OutputNumber>, std::uint64_t>;
base::Result<OperationMap> count_operations(base::lmdb::Env& env);

}  // namespace cairn::cache
