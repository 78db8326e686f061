// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/cache_mount_rows.h"

#include <algorithm>

#include "libbase/crash_point.h"
#include "libcache/cache_mounts.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/batch.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/reopened.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::SequenceNumber;
using base::lmdb::WriteTxn;

namespace {

// A version and those that it was forked from; what the first one began with is none of them.
Result<std::vector<RecordInfo>> versions_from(const ReadTxn& txn, RecordId newest) {
  std::vector<RecordInfo> versions;
  for (RecordId id = newest; id;) {
    auto row = TRY(txn.get(table::records, id));
    if (!row || row->facts.type != RecordType::exec_cache_mount) break;
    versions.push_back(to_info(id, std::move(*row)));
    const auto& parents = versions.back().parents;
    id = parents.empty() ? RecordId() : parents.front();
  }
  return versions;
}

}  // namespace

std::int64_t CacheMountInfo::bytes() const {
  std::int64_t sum = 0;
  for (const RecordInfo& version : versions) sum += version.space.exclusive_bytes + version.space.shared_bytes;
  return sum;
}

Result<std::vector<CacheMountInfo>> list_cache_mounts(base::lmdb::Env& env, const base::HostPath& root) {
  std::vector<CacheMountInfo> mounts;
  TRY(each_row(env, table::cache_mounts, [&](ReadTxn& txn, const KeyDigest& key, const CacheMountRow& row) -> Status {
    CacheMountInfo info;
    info.key = key;
    info.id = row.id;
    info.base = row.base;
    info.limit = row.limit;
    const std::vector<RecordId> results = TRY(results_of(txn, key));
    if (!results.empty()) info.versions = TRY(versions_from(txn, results.front()));
    mounts.push_back(std::move(info));
    return {};
  }), "list the cache mounts of {}", root.str());
  std::sort(mounts.begin(), mounts.end(),
            [](const CacheMountInfo& a, const CacheMountInfo& b) { return std::tie(a.id, a.key) < std::tie(b.id, b.key); });
  return mounts;
}

Result<std::vector<KeyDigest>> keys_leading_to(const ReadTxn& txn, RecordId record) {
  std::vector<KeyDigest> keys;
  TRY(scan_rows(txn, table::record_keys, key_prefix(record), [&](const auto& row_key, const Present&) -> Result<Scan> {
    keys.push_back(std::get<1>(row_key));
    return Scan::next;
  }));
  return keys;
}

Status drop_idle_names(WriteTxn& txn, const std::vector<KeyDigest>& keys) {
  for (const KeyDigest& key : keys) {
    const auto row = TRY(txn.get(table::cache_mounts, key));
    if (!row || row->limit || TRY(has_rows(txn, table::key_results, key_prefix(key)))) continue;
    TRY(txn.erase(table::cache_mounts, key));
  }
  return {};
}

Result<std::optional<CacheMountNames::Known>> CacheMountNames::find(const KeyDigest& key) {
  return store_.env.view([&](ReadTxn& txn) -> Result<std::optional<Known>> {
    const auto row = TRY(txn.get(table::cache_mounts, key));
    return row ? std::optional(Known{row->limit}) : std::nullopt;
  });
}

Result<std::vector<CacheMountInfo>> CacheMountNames::list() { return list_cache_mounts(store_.env, store_.root); }

Result<SequenceNumber> CacheMountNames::remember(CacheMountName name) {
  if (name.id.size() > cache_mount_id_bytes_max) name.id.resize(cache_mount_id_bytes_max);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [name = std::move(name)](WriteTxn& txn) -> Status {
    if (TRY(txn.get(table::cache_mounts, name.key))) return {};
    return txn.put(table::cache_mounts, name.key, CacheMountRow{name.id, name.base, {}});
  };
  return enqueue(store_, std::move(entry));
}

Result<SequenceNumber> CacheMountNames::set_limit(const KeyDigest& key, std::optional<std::int64_t> limit) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [key, limit](WriteTxn& txn) -> Status {
    auto row = TRY(txn.get(table::cache_mounts, key));
    if (!row) return base::fail(ErrorCode::not_found, "limit a cache mount: there is none of this key");
    row->limit = limit;
    TRY(txn.put(table::cache_mounts, key, *row));
    CRASH_POINT("cache.cache_mount.limited");
    return {};
  };
  return enqueue(store_, std::move(entry));
}

Status CacheMountNames::end(const KeyDigest& key) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [key](WriteTxn& txn) -> Status {
    for (const RecordId record : TRY(results_of(txn, key))) TRY(replace_record(txn, record));
    TRY(txn.erase(table::cache_mounts, key));
    CRASH_POINT("cache.cache_mount.ended");
    return {};
  };
  TRY(store_.writer.wait_durable(TRY(enqueue(store_, std::move(entry)))));
  return await_outcomes(store_);  // what was published just now is found in memory until then
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::CacheMountRow>::encode(const cache::CacheMountRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).string(row.id).u64(row.base.value()).u8(row.limit ? 1 : 0);
  if (row.limit) writer.i64(*row.limit);
  return writer.take();
}

Result<cache::CacheMountRow> Codec<cache::CacheMountRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::CacheMountRow row;
  row.id = TRY(reader.string());
  row.base = cache::RecordId(TRY(reader.u64()));
  if (row.id.size() > cache::cache_mount_id_bytes_max) return fail(ErrorCode::corrupt, "a cache mount's id of {} bytes", row.id.size());
  const std::uint8_t has_limit = TRY(reader.u8());
  if (has_limit > 1) return fail(ErrorCode::corrupt, "a cache mount with {} limits", has_limit);
  if (has_limit == 1) row.limit = TRY(reader.i64());
  if (row.limit && *row.limit < 0) return fail(ErrorCode::corrupt, "a cache mount with a limit of {} bytes", *row.limit);
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
