// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/stray.h"

#include <charconv>
#include <string>

#include "libsnapshot/meta/totals.h"

namespace cairn::snapshot {

base::Status discard_stray(base::lmdb::WriteTxn& txn, SnapshotId stray, const Usage& usage) {
  const bool has_row = TRY(txn.get(snapshot_table, stray)).has_value();
  const bool is_trash = TRY(txn.get(trash_table, stray)).has_value();
  if (has_row || is_trash) return {};
  TRY(put_trash(txn, stray, TrashRow{usage}));
  return {};
}

std::optional<SnapshotId> parse_tree_name(std::string_view name) {
  std::uint64_t value = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), value);
  if (parsed.ec != std::errc() || value == 0 || std::to_string(value) != name) return std::nullopt;
  return SnapshotId(value);
}

}  // namespace cairn::snapshot
