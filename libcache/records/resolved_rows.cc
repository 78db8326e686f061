// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/resolved_rows.h"

#include <algorithm>

#include "libbase/log/log.h"
#include "libcache/records/row_keys.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"
#include "libcache/resolved_source.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

Status drop_older_half(WriteTxn& txn) {
  std::vector<std::pair<base::WallTime, KeyDigest>> all;
  TRY(scan_rows(txn, table::resolved, {}, [&](const KeyDigest& question, const ResolvedRow& row) -> Result<Scan> {
    all.emplace_back(row.when, question);
    return Scan::next;
  }));
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size() / 2; ++i) TRY(txn.erase(table::resolved, all[i].second));
  return {};
}

}  // namespace

Result<std::optional<ResolvedSource>> Cache::find_resolved(const KeyDigest& question) {
  Store& store = *state_;
  std::shared_ptr<const ResolvedRow> row;
  {
    auto queued = store.queued_resolved.lock();
    if (const auto found = queued->find(question); found != queued->end()) row = found->second;
  }
  if (!row) {
    TRY(store.env.view([&](ReadTxn& txn) -> Status {
      if (auto found = TRY(txn.get(table::resolved, question))) row = std::make_shared<ResolvedRow>(std::move(*found));
      return {};
    }));
  }
  if (!row) return std::optional<ResolvedSource>();
  return std::optional<ResolvedSource>(ResolvedSource{row->name, row->facts, store.clock.now() - row->when});
}

void Cache::remember_resolved(const KeyDigest& question, std::string_view name, std::string facts) {
  if (name.size() + facts.size() > resolved_bytes_max) return;
  Store& store = *state_;
  const auto row = std::make_shared<const ResolvedRow>(ResolvedRow{store.clock.now(), std::string(name), std::move(facts)});
  store.queued_resolved.lock()->insert_or_assign(question, row);
  base::lmdb::GroupWriter::Entry entry;
  entry.bytes = row->facts.size();
  entry.change = [question, row](WriteTxn& txn) -> Status {
    if (TRY(txn.count(table::resolved)) >= resolved_sources_max) TRY(drop_older_half(txn));
    return txn.put(table::resolved, question, *row);
  };
  entry.done = [&store, question, row](const Status& written) {
    if (!written) base::log_warning("what {} has said is not kept: {}", row->name, written.error().message);
    auto queued = store.queued_resolved.lock();
    const auto found = queued->find(question);
    if (found != queued->end() && found->second == row) queued->erase(found);
  };
  (void)enqueue(store, std::move(entry));  // a refusal reaches `done`
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::ResolvedRow>::encode(const cache::ResolvedRow& row) {
  return ByteWriter().u8(cache::row_version).i64(to_unix_ns(row.when)).string(row.name).string(row.facts).take();
}

Result<cache::ResolvedRow> Codec<cache::ResolvedRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::ResolvedRow row;
  row.when = from_unix_ns(TRY(reader.i64()));
  row.name = TRY(reader.string());
  row.facts = TRY(reader.string());
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
