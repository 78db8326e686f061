// SPDX-License-Identifier: Apache-2.0
#include "libcache/keys/key_rows.h"

#include <algorithm>

#include "libbase/hash/sha256.h"
#include "libcache/keys/operations.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ByteReader;
using base::ByteWriter;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

std::string_view raw_of(const base::Sha256Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Takes away every link that leads to `target`; what they came from is appended to `sources`.
Status erase_links_to(WriteTxn& txn, const KeyDigest& target, std::vector<KeyDigest>& sources) {
  std::vector<std::tuple<KeyDigest, KeyDigest, LinkWay>> doomed;
  TRY(scan_rows(txn, table::key_backlinks, key_prefix(target), [&](const auto& key, const Present&) -> Result<Scan> {
    doomed.push_back(key);
    return Scan::next;
  }));
  for (const auto& [to, from, way] : doomed) {
    TRY(txn.erase(table::key_backlinks, {to, from, way}));
    const auto link = TRY(txn.get(table::key_links, {from, way, to}));
    if (link) TRY(discount_link(txn, link->operation, link->output));
    TRY(txn.erase(table::key_links, {from, way, to}));
    sources.push_back(from);
  }
  return {};
}

}  // namespace

LinkWay way_of(const KeyLink& link) {
  ByteWriter writer;
  writer.u32(link.input).raw(raw_of(link.operation)).u32(link.output).raw(raw_of(link.selector));
  return base::digest_of<LinkWay>(writer.take());
}

Status put_result(WriteTxn& txn, const KeyDigest& key, RecordId record, base::WallTime created) {
  TRY(txn.put(table::key_results, {key, record}, KeyResultRow{created}));
  if (record) TRY(txn.put(table::record_keys, {record, key}, Present{}));
  return {};
}

Status put_link(WriteTxn& txn, const KeyLink& link, const KeyDigest& target) {
  const LinkWay way = way_of(link);
  const auto old = TRY(txn.get_raw(table::key_links, key_prefix(link.from, way, target)));
  if (!old) TRY(count_link(txn, link.operation, link.output));
  TRY(txn.put(table::key_links, {link.from, way, target},
              KeyLinkRow{link.input, link.operation, link.output, link.selector}));
  return txn.put(table::key_backlinks, {target, link.from, way}, Present{});
}

Result<std::vector<RecordId>> results_of(const ReadTxn& txn, const KeyDigest& key) {
  std::vector<std::pair<base::WallTime, RecordId>> found;
  TRY(scan_rows(txn, table::key_results, key_prefix(key), [&](const auto& row_key, const KeyResultRow& row) -> Result<Scan> {
    if (std::get<1>(row_key)) found.emplace_back(row.created, std::get<1>(row_key));
    return Scan::next;
  }));
  std::sort(found.rbegin(), found.rend());
  std::vector<RecordId> records;
  for (const auto& [created, record] : found) records.push_back(record);
  return records;
}

Result<bool> key_exists(const ReadTxn& txn, const KeyDigest& key) {
  const bool has_result = TRY(has_rows(txn, table::key_results, key.raw()));
  if (has_result) return true;
  return has_rows(txn, table::key_links, key.raw());
}

Status erase_results_of(WriteTxn& txn, RecordId record, std::vector<KeyDigest>& rest) {
  std::vector<KeyDigest> keys;
  TRY(scan_rows(txn, table::record_keys, key_prefix(record), [&](const auto& row, const Present&) -> Result<Scan> {
    keys.push_back(std::get<1>(row));
    return Scan::next;
  }));
  for (const KeyDigest& key : keys) {
    TRY(txn.erase(table::record_keys, {record, key}));
    TRY(txn.erase(table::key_results, {key, record}));
    rest.push_back(key);
  }
  return {};
}

Status erase_dead_keys(WriteTxn& txn, std::vector<KeyDigest>& rest, std::size_t keys_max) {
  for (std::size_t looked_at = 0; looked_at < keys_max && !rest.empty(); ++looked_at) {
    const KeyDigest key = rest.back();
    rest.pop_back();
    // spec/solver 5.1: a key without results and without links goes, and then perhaps what led to it.
    const bool exists = TRY(key_exists(txn, key));
    if (!exists) TRY(erase_links_to(txn, key, rest));
  }
  return {};
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::KeyResultRow>::encode(const cache::KeyResultRow& row) {
  return ByteWriter().u8(cache::row_version).i64(to_unix_ns(row.created)).take();
}

Result<cache::KeyResultRow> Codec<cache::KeyResultRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const cache::KeyResultRow row{from_unix_ns(TRY(reader.i64()))};
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::KeyLinkRow>::encode(const cache::KeyLinkRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).u32(row.input).raw(cache::raw_of(row.operation));
  return writer.u32(row.output).raw(cache::raw_of(row.selector)).take();
}

Result<cache::KeyLinkRow> Codec<cache::KeyLinkRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::KeyLinkRow row;
  row.input = TRY(reader.u32());
  row.operation = TRY(cache::read_key_part<cache::LinkWay>(reader)).bytes();
  row.output = TRY(reader.u32());
  row.selector = TRY(cache::read_key_part<cache::LinkWay>(reader)).bytes();
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
