// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>

#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libcache/account/account.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/journal.h"
#include "libcache/fsck.h"
#include "libcache/records/scan.h"
#include "libsnapshot/open.h"

namespace cairn::cache {

using base::ErrorCode;
using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::RawTableSpec;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::uint64_t step_bytes = 8u << 20;

struct JournalEntry {
  PackLocation at;
  EntryHeader header;
};

// Every entry of the journal in the packs, in the order in which they lie there.
struct JournalScan {
  std::map<std::uint64_t, std::shared_ptr<const PackFile>> packs;
  std::vector<JournalEntry> entries;
  std::uint64_t damaged_packs = 0;
};

Result<JournalScan> scan_journal(const HostPath& root) {
  JournalScan found;
  for (const std::uint64_t id : TRY(list_packs(root))) {
    auto pack = open_pack_file(root / ("blobs/packs/" + pack_name(id)), id, O_RDONLY);
    if (!pack && pack.error().code != ErrorCode::corrupt) return tl::unexpected(pack.error());
    if (!pack) {
      ++found.damaged_packs;
      continue;
    }
    TRY(scan_pack((*pack)->file.get(), (*pack)->identity.salt, 0, [&](std::uint64_t at, const EntryHeader& header) -> Result<Scan> {
      if (header.number != 0 || header.kind == EntryKind::rows) found.entries.push_back({{id, at}, header});
      return Scan::next;
    }));
    found.packs[id] = std::move(*pack);
  }
  return found;
}

// The last checkpoint that is whole, and what came after it; in the order in which it is to be applied.
Result<std::vector<JournalEntry>> entries_to_apply(const JournalScan& journal) {
  std::uint64_t number = 0, first_pack = 0;
  for (const JournalEntry& entry : journal.entries) {
    if (entry.header.kind != EntryKind::checkpoint_end || entry.header.number < number) continue;
    const auto payload = read_payload(journal.packs.at(entry.at.pack)->file.get(), entry.at.offset, entry.header);
    if (!payload) continue;
    const auto end = decode_checkpoint_end(*payload);
    if (!end) continue;
    number = entry.header.number;
    first_pack = end->first_pack;
  }
  std::vector<JournalEntry> apply;
  std::map<std::uint64_t, JournalEntry> changes;  // by number: of two with one number the later counts
  for (const JournalEntry& entry : journal.entries) {
    if (entry.header.kind == EntryKind::rows && entry.header.number == number && entry.at.pack >= first_pack)
      apply.push_back(entry);
    if (entry.header.kind == EntryKind::changes && entry.header.number > number) changes[entry.header.number] = entry;
  }
  for (const auto& [changed, entry] : changes) apply.push_back(entry);
  if (apply.empty()) return base::fail(ErrorCode::not_found, "there is no journal in its packs");
  return apply;
}

class Applier {
 public:
  Applier(Env& env, TableList tables) : env_(env) {
    for (const RawTableSpec* table : tables) tables_[table->name] = table;
  }

  // One transaction.
  Status apply(std::span<const std::string> payloads) {
    return env_.update([&](WriteTxn& txn) -> Status {
      for (const std::string& payload : payloads) {
        TRY(each_change(payload, [&](const RowChange& change) -> Status {
          const auto table = tables_.find(change.table);
          if (table == tables_.end()) return {};  // of a library that this build has no more
          return change.value ? txn.put_raw(*table->second, change.key, *change.value)
                              : txn.erase_raw(*table->second, change.key);
        }));
      }
      return {};
    });
  }

 private:
  Env& env_;
  std::map<std::string_view, const RawTableSpec*> tables_;
};

Status apply_entries(Env& env, TableList tables, const JournalScan& journal, const std::vector<JournalEntry>& entries,
                     Rebuild& done) {
  Applier applier(env, tables);
  std::vector<std::string> step;
  std::uint64_t bytes = 0, last_number = 0;
  for (const JournalEntry& entry : entries) {
    auto payload = read_payload(journal.packs.at(entry.at.pack)->file.get(), entry.at.offset, entry.header);
    if (!payload && payload.error().code != ErrorCode::corrupt) return tl::unexpected(payload.error());
    if (!payload || !each_change(*payload, [](const RowChange&) { return Status(); })) {
      ++done.damaged_entries;
      continue;
    }
    if (entry.header.kind == EntryKind::changes) {
      if (++done.transactions > 1) done.missing += entry.header.number - last_number - 1;
      last_number = entry.header.number;
    }
    bytes += payload->size();
    step.push_back(std::move(*payload));
    if (bytes < step_bytes) continue;
    TRY(applier.apply(step));
    step.clear();
    bytes = 0;
  }
  return applier.apply(step);
}

// The space of packs, and where the journal goes on.
Status derive_rows(Env& env, const JournalScan& journal, const std::vector<JournalEntry>& needed) {
  std::map<std::uint64_t, PackRow> packs;
  const auto count = [&](const PackLocation& at, std::uint64_t bytes) -> PackRow& {
    PackRow& row = packs[at.pack];
    row.end = std::max(row.end, at.offset + bytes);
    row.live += bytes;
    return row;
  };
  TRY(each_row(env, table::blobs, [&](ReadTxn&, const BlobDigest&, const BlobRow& row) -> Status {
    if (row.place == BlobPlace::file) {
      packs[0].live += static_cast<std::uint64_t>(row.allocated_bytes);
      packs[0].end = packs[0].live;
    }
    if (row.at.pack != 0)
      count(row.at, entry_bytes(row.place == BlobPlace::pack ? row.size : checksum_bytes(row.size)));
    return {};
  }));
  JournalRow last;
  for (const JournalEntry& entry : needed) {
    const std::uint64_t bytes = entry_bytes(entry.header.size);
    count(entry.at, bytes).journal += bytes;
    if (entry.header.kind == EntryKind::changes) last.bytes += bytes;
  }
  for (const JournalEntry& entry : journal.entries) last.number = std::max(last.number, entry.header.number);
  for (const auto& [id, pack] : journal.packs) {  // a pack keeps its row, and with it its file
    const auto stat = TRY(base::stat_fd(pack->file.get()));
    PackRow& row = packs[id];
    row.end = std::max(row.end, static_cast<std::uint64_t>(stat.st_size));
    const auto blocks = static_cast<std::uint64_t>(stat.st_blocks) * 512;
    if (blocks < row.end) row.punched = (row.end - blocks) / 4096 * 4096;
  }
  return env.update([&](WriteTxn& txn) -> Status {
    for (const auto& [id, row] : packs) TRY(txn.put(table::packs, PackId(id), row));
    return txn.put(table::journal, "last", last);
  });
}

Status sync_root(const HostPath& root) {
  const base::Fd dir = TRY(base::open_host_dir(root));
  return base::sync_file(dir.get());
}

Status rename_dir(const HostPath& from, const HostPath& to) {
  if (::rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return {};
  return base::fail_errno(errno, "rename {} to {}", from.str(), to.str());
}

bool exists(const HostPath& path) { return ::access(path.c_str(), F_OK) == 0; }

// meta.new takes the place of meta, in one step; what was there is kept under another name.
Status take_place(const HostPath& root, const char* kept_as) {
  const HostPath built = root / "meta.new", meta = root / "meta";
  if (!exists(meta)) {
    TRY(rename_dir(built, meta));
    return sync_root(root);
  }
  TRY(base::remove_host_tree(root / kept_as));
  if (::renameat2(AT_FDCWD, built.c_str(), AT_FDCWD, meta.c_str(), RENAME_EXCHANGE) != 0)
    return base::fail_errno(errno, "put {} in the place of {}", built.str(), meta.str());
  TRY(sync_root(root));
  CRASH_POINT("cache.rebuild.in_place");
  TRY(rename_dir(built, root / kept_as));
  return sync_root(root);
}

}  // namespace

Result<Rebuild> rebuild_metadata_into(const HostPath& scratch, const HostPath& root, TableList tables) {
  const std::string what = "rebuild the metadata of " + root.str();
  Rebuild done;
  const JournalScan journal = TRY(scan_journal(root), "{}", what);
  const std::vector<JournalEntry> entries = TRY(entries_to_apply(journal), "{}", what);
  TRY(base::remove_host_tree(scratch), "{}", what);
  const auto env = TRY(Env::open(scratch, tables, {}), "{}", what);
  TRY(apply_entries(*env, tables, journal, entries, done), "{}", what);
  done.damaged_entries += journal.damaged_packs;
  TRY(derive_rows(*env, journal, entries), "{}", what);
  const std::vector<snapshot::SnapshotId> trees = TRY(list_trees(root), "{}", what);
  TRY(env->update([&](WriteTxn& txn) { return snapshot::keep_ids_unused(txn, trees); }), "{}", what);
  for (const RawTableSpec* table : tables) {
    if (is_journaled(*table)) done.rows += TRY(env->view([&](ReadTxn& txn) { return txn.count(*table); }));
  }
  return done;
}

Result<Rebuild> rebuild_metadata(const HostPath& root, TableList tables) {
  const Rebuild done = TRY(rebuild_metadata_into(root / "meta.new", root, tables));
  CRASH_POINT("cache.rebuild.built");
  TRY(take_place(root, "meta.damaged"), "rebuild the metadata of {}", root.str());
  return done;
}

namespace {

Status copy_table(Env& from, Env& to, const RawTableSpec& table, std::uint64_t& rows) {
  std::string next;
  for (bool more = true; more;) {
    std::vector<std::pair<std::string, std::string>> step;
    more = false;
    TRY(from.view([&](ReadTxn& txn) {
      return txn.scan_raw(table, {}, next, [&](std::string_view key, std::string_view value) -> Result<Scan> {
        if (step.size() == rows_per_view) {
          next.assign(key);
          more = true;
          return Scan::stop;
        }
        step.emplace_back(key, value);
        return Scan::next;
      });
    }));
    TRY(to.update([&](WriteTxn& txn) -> Status {
      for (const auto& [key, value] : step) TRY(txn.put_raw(table, key, value));
      return {};
    }));
    rows += step.size();
  }
  return {};
}

}  // namespace

Result<std::uint64_t> migrate_metadata(const HostPath& root, TableList tables) {
  const std::string what = "migrate the metadata of " + root.str();
  std::uint64_t rows = 0;
  if (exists(root / "meta/format2")) return rows;  // a migration has died when it had done its work
  TRY(base::remove_host_tree(root / "meta.new"), "{}", what);
  {
    Env::Options plain;
    plain.values = Env::Options::Values::plain;
    const auto from = TRY(Env::open(root / "meta", tables, plain), "{}", what);
    const auto to = TRY(Env::open(root / "meta.new", tables, {}), "{}", what);
    for (const RawTableSpec* table : tables) TRY(copy_table(*from, *to, *table, rows), "{}", what);
    TRY(derive_rows(*to, {}, {}), "{}", what);
    TRY(to->update([](WriteTxn& txn) { return txn.erase(table::journal, "last"); }), "{}", what);  // nothing is in it yet
  }
  TRY(base::write_file_atomic(root / "meta.new/format2", "", base::Durable::yes), "{}", what);
  TRY(take_place(root, "meta.format1"), "{}", what);
  return rows;
}

Result<std::uint64_t> count_rows_to_migrate(const HostPath& root, TableList tables) {
  std::uint64_t rows = 0;
  if (exists(root / "meta/format2")) return rows;
  Env::Options plain;
  plain.values = Env::Options::Values::plain;
  plain.mode = base::lmdb::Mode::read_only;
  const auto from = TRY(Env::open(root / "meta", tables, plain), "look at the metadata of {}", root.str());
  for (const RawTableSpec* table : tables) rows += TRY(from->view([&](ReadTxn& txn) { return txn.count(*table); }));
  return rows;
}

Status finish_migration(const HostPath& root) {
  TRY(base::remove_host_tree(root / "meta.new"));
  return base::remove_host_tree(root / "meta.format1");
}

}  // namespace cairn::cache
