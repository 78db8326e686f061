// SPDX-License-Identifier: Apache-2.0
// Table operations: thin, but for the sizes of keys (LMDB answers differently from call to call) and a full map.
#include <algorithm>

#include "libbase/lmdb/env_state.h"
#include "libbase/lmdb/mdb_error.h"

namespace cairn::base::lmdb {
namespace {

constexpr std::size_t key_bytes_max = 511;

MDB_val to_val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
std::string_view to_view(const MDB_val& value) { return {static_cast<const char*>(value.mv_data), value.mv_size}; }

Status check_key(const RawTableSpec& table, std::string_view key) {
  if (!key.empty() && key.size() <= key_bytes_max) return {};
  return fail(ErrorCode::invalid_argument, "table {}: a key has 1 to {} bytes, not {}", table.name, key_bytes_max,
              key.size());
}

struct CursorClose {
  void operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }
};
using Cursor = std::unique_ptr<MDB_cursor, CursorClose>;

}  // namespace

std::optional<MDB_dbi> Env::State::find_table(const RawTableSpec& spec) const {
  const std::string_view name = spec.name;
  const auto found = std::lower_bound(tables.begin(), tables.end(), name,
                                      [](const Table& table, std::string_view wanted) { return table.name < wanted; });
  CHECK(found != tables.end() && found->name == name, "table {} was not named when {} was opened", name, dir.str());
  return found->handle;
}

Result<std::optional<std::string_view>> ReadTxn::get_raw(const RawTableSpec& table, std::string_view key) const {
  const std::optional<MDB_dbi> handle = env_.state_->find_table(table);
  TRY(check_key(table, key));
  if (!handle) return std::nullopt;
  MDB_val key_val = to_val(key);
  MDB_val value{};
  const int rc = mdb_get(active_.txn, *handle, &key_val, &value);
  if (rc == MDB_NOTFOUND) return std::nullopt;
  if (rc != 0) return fail_mdb(rc, "get from {}", table.name);
  return to_view(value);
}

Status ReadTxn::scan_raw(const RawTableSpec& table, std::string_view prefix, std::string_view from,
                         const std::function<Result<Scan>(std::string_view, std::string_view)>& visit) const {
  const std::optional<MDB_dbi> handle = env_.state_->find_table(table);
  if (!from.empty() && !from.starts_with(prefix))
    return fail(ErrorCode::invalid_argument, "scan {}: the first key lacks the prefix", table.name);
  if (!handle) return {};
  MDB_cursor* opened = nullptr;
  if (const int rc = mdb_cursor_open(active_.txn, *handle, &opened); rc != 0)
    return fail_mdb(rc, "scan {}", table.name);
  const Cursor cursor(opened);

  const std::string_view first = from.empty() ? prefix : from;
  MDB_val key = to_val(first);
  MDB_val value{};
  int rc = mdb_cursor_get(cursor.get(), &key, &value, first.empty() ? MDB_FIRST : MDB_SET_RANGE);
  while (rc == 0 && to_view(key).starts_with(prefix)) {
    ++active_.scans;
    const Result<Scan> visited = visit(to_view(key), to_view(value));
    --active_.scans;
    if (!visited) return tl::unexpected<Error>(visited.error());
    if (*visited == Scan::stop) return {};
    rc = mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT);
  }
  if (rc != 0 && rc != MDB_NOTFOUND) return fail_mdb(rc, "scan {}", table.name);
  return {};
}

Result<std::uint64_t> ReadTxn::count(const RawTableSpec& table) const {
  const std::optional<MDB_dbi> handle = env_.state_->find_table(table);
  if (!handle) return std::uint64_t{0};
  MDB_stat facts{};
  if (const int rc = mdb_stat(active_.txn, *handle, &facts); rc != 0) return fail_mdb(rc, "count {}", table.name);
  return std::uint64_t{facts.ms_entries};
}

Status WriteTxn::put_raw(const RawTableSpec& table, std::string_view key, std::string_view value) {
  CHECK(active_.scans == 0, "a write to {} inside a scan", table.name);
  TRY(check_key(table, key));
  MDB_val key_val = to_val(key);
  MDB_val value_val = to_val(value);
  const int rc = mdb_put(active_.txn, *env_.state_->find_table(table), &key_val, &value_val, 0);
  if (rc == MDB_MAP_FULL) active_.map_full = true;
  if (rc != 0) return fail_mdb(rc, "put into {}", table.name);
  return {};
}

Status WriteTxn::erase_raw(const RawTableSpec& table, std::string_view key) {
  CHECK(active_.scans == 0, "a write to {} inside a scan", table.name);
  TRY(check_key(table, key));
  MDB_val key_val = to_val(key);
  const int rc = mdb_del(active_.txn, *env_.state_->find_table(table), &key_val, nullptr);
  if (rc == MDB_MAP_FULL) active_.map_full = true;
  if (rc != 0 && rc != MDB_NOTFOUND) return fail_mdb(rc, "erase from {}", table.name);
  return {};
}

}  // namespace cairn::base::lmdb
