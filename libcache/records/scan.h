// SPDX-License-Identifier: Apache-2.0
// Scans of typed tables: all rows with a prefix inside one transaction, or a whole table in pieces, each piece in a
// fresh transaction, so that a long scan never pins an old version (LMDB grows for ever under an old reader).
#pragma once

#include <string>
#include <string_view>

#include "libbase/lmdb/env.h"

namespace cairn::cache {

// visit(const Key&, const Value&) -> Result<Scan>.
template <class Key, class Value, class Visit>
base::Status scan_rows(const base::lmdb::ReadTxn& txn, const base::lmdb::TableSpec<Key, Value>& table,
                       std::string_view prefix, Visit&& visit) {
  return txn.scan_raw(table, prefix, {},
                      [&](std::string_view raw_key, std::string_view raw_value) -> base::Result<base::lmdb::Scan> {
                        const Key key = TRY(base::Codec<Key>::decode(raw_key), "{} key", table.name);
                        const Value value = TRY(base::Codec<Value>::decode(raw_value), "{} row", table.name);
                        return visit(key, value);
                      });
}

// The first row with the prefix answers whether there is one. O(log n).
inline base::Result<bool> has_rows(const base::lmdb::ReadTxn& txn, const base::lmdb::RawTableSpec& table,
                                   std::string_view prefix) {
  bool found = false;
  TRY(txn.scan_raw(table, prefix, {}, [&](std::string_view, std::string_view) -> base::Result<base::lmdb::Scan> {
    found = true;
    return base::lmdb::Scan::stop;
  }));
  return found;
}

inline constexpr std::size_t rows_per_view = 10'000;

// Every row of a table, resuming by key in a new view after each rows_per_view. Rows written meanwhile may or may not be
// seen. visit(ReadTxn&, const Key&, const Value&) -> Status; it writes no output and does not wait.
template <class Key, class Value, class Visit>
base::Status each_row(base::lmdb::Env& env, const base::lmdb::TableSpec<Key, Value>& table, Visit&& visit) {
  std::string from;
  bool more = true;
  std::size_t seen = 0;
  const auto visit_raw = [&](base::lmdb::ReadTxn& txn, std::string_view raw_key,
                             std::string_view raw_value) -> base::Result<base::lmdb::Scan> {
    if (seen == rows_per_view) {
      from.assign(raw_key);
      more = true;
      return base::lmdb::Scan::stop;
    }
    ++seen;
    const Key key = TRY(base::Codec<Key>::decode(raw_key), "{} key", table.name);
    const Value value = TRY(base::Codec<Value>::decode(raw_value), "{} row", table.name);
    TRY(visit(txn, key, value));
    return base::lmdb::Scan::next;
  };
  while (more) {
    more = false;
    seen = 0;
    TRY(env.view([&](base::lmdb::ReadTxn& txn) -> base::Status {
      return txn.scan_raw(table, {}, from, [&](std::string_view raw_key, std::string_view raw_value) {
        return visit_raw(txn, raw_key, raw_value);
      });
    }));
  }
  return {};
}

}  // namespace cairn::cache
