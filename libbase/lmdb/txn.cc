// SPDX-License-Identifier: Apache-2.0
// Table operations: thin, but for the sizes of keys (LMDB answers differently from call to call), a full map, the checksum
// behind each value, and the list of changes for the journal.
#include <algorithm>
#include <cstring>
#include <utility>

#include "libbase/compress/crc32c.h"
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

constexpr std::size_t checksum_size = 4;

std::uint32_t checksum_of(const char* table, std::string_view key, std::string_view value) {
  return crc32c(value, crc32c(key, crc32c(table)));
}

// The value without its checksum; nullopt: it is damaged.
std::optional<std::string_view> checked_value(const RawTableSpec& table, std::string_view key, std::string_view stored) {
  if (stored.size() < checksum_size) return std::nullopt;
  const std::string_view value = stored.substr(0, stored.size() - checksum_size);
  std::uint32_t sum = 0;
  std::memcpy(&sum, stored.data() + value.size(), checksum_size);
  if (sum != checksum_of(table.name, key, value)) return std::nullopt;
  return value;
}

tl::unexpected<Error> fail_damaged(const RawTableSpec& table) {
  auto error = fail(ErrorCode::corrupt, "table {}: the value of a row is damaged", table.name);
  error.value().hint = "cachectl fsck --repair takes such rows out";
  return error;
}

void note_varint(std::string& list, std::size_t value) {
  for (; value >= 0x80; value >>= 7) list.push_back(static_cast<char>(value | 0x80));
  list.push_back(static_cast<char>(value));
}

void note_string(std::string& list, std::string_view bytes) {
  note_varint(list, bytes.size());
  list.append(bytes);
}

// In the place of a ByteWriter, which would be copied for every row.
void note_change(std::string& list, char what, const RawTableSpec& table, std::string_view key,
                 const std::string_view* value) {
  list.push_back(what);
  note_string(list, table.name);
  note_string(list, key);
  if (value != nullptr) note_string(list, *value);
}

struct CursorClose {
  void operator()(MDB_cursor* cursor) const { mdb_cursor_close(cursor); }
};
using Cursor = std::unique_ptr<MDB_cursor, CursorClose>;

}  // namespace

const Env::State::Table& Env::State::find_table(const RawTableSpec& spec) const {
  const std::string_view name = spec.name;
  const auto found = std::lower_bound(tables.begin(), tables.end(), name,
                                      [](const Table& table, std::string_view wanted) { return table.name < wanted; });
  CHECK(found != tables.end() && found->name == name, "table {} was not named when {} was opened", name, dir.str());
  return *found;
}

Result<std::optional<std::string_view>> ReadTxn::get_raw(const RawTableSpec& table, std::string_view key) const {
  const std::optional<MDB_dbi> handle = env_.state_->find_table(table).handle;
  TRY(check_key(table, key));
  if (!handle) return std::nullopt;
  MDB_val key_val = to_val(key);
  MDB_val value{};
  const int rc = mdb_get(active_.txn, *handle, &key_val, &value);
  if (rc == MDB_NOTFOUND) return std::nullopt;
  if (rc != 0) return fail_mdb(rc, "get from {}", table.name);
  if (env_.state_->options.values == Env::Options::Values::plain) return to_view(value);
  const auto checked = checked_value(table, key, to_view(value));
  if (!checked) return fail_damaged(table);
  return checked;
}

Status ReadTxn::scan_raw(const RawTableSpec& table, std::string_view prefix, std::string_view from,
                         const Visit& visit) const {
  return scan_rows(table, prefix, from, visit, nullptr);
}

Status ReadTxn::scan_all(const RawTableSpec& table, std::string_view from, const Visit& visit,
                         const std::function<void(std::string_view)>& damaged) const {
  return scan_rows(table, {}, from, visit, &damaged);
}

Status ReadTxn::scan_rows(const RawTableSpec& table, std::string_view prefix, std::string_view from, const Visit& visit,
                          const std::function<void(std::string_view)>* damaged) const {
  const std::optional<MDB_dbi> handle = env_.state_->find_table(table).handle;
  if (!from.empty() && !from.starts_with(prefix))
    return fail(ErrorCode::invalid_argument, "scan {}: the first key lacks the prefix", table.name);
  if (!handle) return {};
  MDB_cursor* opened = nullptr;
  if (const int rc = mdb_cursor_open(active_.txn, *handle, &opened); rc != 0)
    return fail_mdb(rc, "scan {}", table.name);
  const Cursor cursor(opened);
  const bool plain = env_.state_->options.values == Env::Options::Values::plain;

  const std::string_view first = from.empty() ? prefix : from;
  MDB_val key = to_val(first);
  MDB_val value{};
  int rc = mdb_cursor_get(cursor.get(), &key, &value, first.empty() ? MDB_FIRST : MDB_SET_RANGE);
  for (; rc == 0 && to_view(key).starts_with(prefix); rc = mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT)) {
    const auto checked = plain ? to_view(value) : checked_value(table, to_view(key), to_view(value));
    if (!checked && damaged == nullptr) return fail_damaged(table);
    if (!checked) {
      (*damaged)(to_view(key));
      continue;
    }
    ++active_.scans;
    const Result<Scan> visited = visit(to_view(key), *checked);
    --active_.scans;
    if (!visited) return tl::unexpected<Error>(visited.error());
    if (*visited == Scan::stop) return {};
  }
  if (rc != 0 && rc != MDB_NOTFOUND) return fail_mdb(rc, "scan {}", table.name);
  return {};
}

Result<std::uint64_t> ReadTxn::count(const RawTableSpec& table) const {
  const std::optional<MDB_dbi> handle = env_.state_->find_table(table).handle;
  if (!handle) return std::uint64_t{0};
  MDB_stat facts{};
  if (const int rc = mdb_stat(active_.txn, *handle, &facts); rc != 0) return fail_mdb(rc, "count {}", table.name);
  return std::uint64_t{facts.ms_entries};
}

Status WriteTxn::put_raw(const RawTableSpec& table, std::string_view key, std::string_view value) {
  CHECK(active_.scans == 0, "a write to {} inside a scan", table.name);
  TRY(check_key(table, key));
  const Env::State::Table& known = env_.state_->find_table(table);
  std::string stored;  // `value` may lie in the page that the put is about to change
  stored.reserve(value.size() + checksum_size);
  stored.append(value);
  if (env_.state_->options.values == Env::Options::Values::checked) {
    const std::uint32_t sum = checksum_of(table.name, key, value);
    stored.append(reinterpret_cast<const char*>(&sum), checksum_size);
  }
  if (known.journaled) note_change(active_.changes, 1, table, key, &value);
  MDB_val key_val = to_val(key);
  MDB_val value_val = to_val(stored);
  const int rc = mdb_put(active_.txn, *known.handle, &key_val, &value_val, 0);
  if (rc == MDB_MAP_FULL) active_.map_full = true;
  if (rc != 0) return fail_mdb(rc, "put into {}", table.name);
  return {};
}

Status WriteTxn::erase_raw(const RawTableSpec& table, std::string_view key) {
  CHECK(active_.scans == 0, "a write to {} inside a scan", table.name);
  TRY(check_key(table, key));
  const Env::State::Table& known = env_.state_->find_table(table);
  MDB_val key_val = to_val(key);
  const int rc = mdb_del(active_.txn, *known.handle, &key_val, nullptr);
  if (rc == MDB_MAP_FULL) active_.map_full = true;
  if (rc != 0 && rc != MDB_NOTFOUND) return fail_mdb(rc, "erase from {}", table.name);
  if (rc == 0 && known.journaled) note_change(active_.changes, 2, table, key, nullptr);
  return {};
}

Result<std::optional<std::uint64_t>> WriteTxn::flush_changes() {
  if (active_.changes.empty()) return std::nullopt;
  const std::string changes = std::exchange(active_.changes, {});
  return std::optional<std::uint64_t>(TRY(env_.state_->journal.append(*this, changes)));
}

}  // namespace cairn::base::lmdb
