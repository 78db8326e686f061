// SPDX-License-Identifier: Apache-2.0
#include "libcache/stat_cache.h"

#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "libbase/log/log.h"
#include "libbase/sync.h"
#include "libcache/directory_stats.h"
#include "libcache/records/scan.h"
#include "libcache/trees/stat_rows.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::chrono::seconds racy_for{2};
constexpr std::size_t bytes_per_change = 1 << 20;
constexpr std::size_t rows_per_change = 4'096;

std::uint32_t day_of(base::WallTime time) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::hours>(time.time_since_epoch()).count() / 24);
}

// File system, directory and kind: all parts.
std::string prefix_of(const StatKey& key) { return base::Codec<StatKey>::encode(key).substr(0, 17); }

// Local file systems that keep inode numbers, ctimes and an id of their own over a remount. Not overlays: a remount may
// show other layers under the same numbers. Not what is mounted read-only: images that were built to be the same in
// everything but some bytes are mounted so.
std::optional<std::uint64_t> find_file_system_id(int dir) {
  struct ::statfs info {};
  if (::fstatfs(dir, &info) != 0 || (info.f_flags & ST_RDONLY) != 0) return std::nullopt;
  constexpr long xfs = 0x58465342;
  const long type = static_cast<long>(info.f_type);
  const bool is_known = type == EXT4_SUPER_MAGIC || type == BTRFS_SUPER_MAGIC || type == xfs || type == TMPFS_MAGIC ||
                        type == F2FS_SUPER_MAGIC;
  std::uint64_t id = 0;
  static_assert(sizeof info.f_fsid == sizeof id);
  std::memcpy(&id, &info.f_fsid, sizeof id);
  if (!is_known || id == 0) return std::nullopt;
  return id;
}

bool by_name(const StatEntry& a, const StatEntry& b) { return a.name < b.name; }

struct LearnedDirectory {
  StatKey key;
  std::vector<StatRow> rows;  // its parts
};

Status write_directory(WriteTxn& txn, const LearnedDirectory& learned) {
  std::vector<std::string> stale;
  TRY(txn.scan_raw(table::stats, prefix_of(learned.key), {}, [&](std::string_view key, std::string_view) -> Result<Scan> {
    stale.emplace_back(key);
    return Scan::next;
  }));
  for (const std::string& key : stale) TRY(txn.erase_raw(table::stats, key));
  StatKey key = learned.key;
  for (const StatRow& row : learned.rows) {
    TRY(txn.put(table::stats, key, row));
    ++key.part;
  }
  return {};
}

}  // namespace

struct StatCache::State {
  State(base::lmdb::Env& env_in, base::lmdb::GroupWriter* writer_in, const base::Clock& clock, StatsOf of_in)
      : env(env_in), writer(writer_in), of(of_in), trusted_before(clock.now() - racy_for), today(day_of(clock.now())) {}

  struct Learned {
    std::vector<LearnedDirectory> directories;
    std::size_t bytes = 0;
    std::uint64_t written = 0;
  };

  void learn(LearnedDirectory directory);
  void write(std::vector<LearnedDirectory> directories);

  base::lmdb::Env& env;
  base::lmdb::GroupWriter* const writer;
  const StatsOf of;
  // Taken before anything is looked at: what changes later is newer than this.
  const base::WallTime trusted_before;
  const std::uint32_t today;
  base::Guarded<Learned> learned;
};

void StatCache::State::learn(LearnedDirectory directory) {
  std::vector<LearnedDirectory> due;
  {
    auto access = learned.lock();
    ++access->written;
    for (const StatRow& row : directory.rows) access->bytes += 128 * row.entries.size();
    access->directories.push_back(std::move(directory));
    if (access->bytes < bytes_per_change) return;
    due = std::exchange(access->directories, {});
    access->bytes = 0;
  }
  write(std::move(due));
}

void StatCache::State::write(std::vector<LearnedDirectory> directories) {
  if (directories.empty() || writer == nullptr) return;
  base::lmdb::GroupWriter::Entry entry;
  entry.bytes = bytes_per_change;
  const auto owned = std::make_shared<const std::vector<LearnedDirectory>>(std::move(directories));
  entry.change = [owned](WriteTxn& txn) -> Status {
    for (const LearnedDirectory& directory : *owned) TRY(write_directory(txn, directory));
    return {};
  };
  const auto number = writer->enqueue(std::move(entry));
  if (!number) base::log_warning("what was learned of files is not kept: {}", number.error().message);
}

StatCache::StatCache(base::lmdb::Env& env, base::lmdb::GroupWriter* writer, const base::Clock& clock, StatsOf of)
    : state_(std::make_unique<State>(env, writer, clock, of)) {}
StatCache::~StatCache() { flush(); }

std::uint64_t StatCache::written() const { return state_->learned.lock()->written; }

void StatCache::flush() {
  std::vector<LearnedDirectory> due;
  {
    auto access = state_->learned.lock();
    due = std::exchange(access->directories, {});
    access->bytes = 0;
  }
  state_->write(std::move(due));
}

struct DirectoryStats::State {
  explicit State(StatCache::State& cache_in) : cache(cache_in) {}

  StatCache::State& cache;
  std::optional<StatKey> key;
  std::vector<StatEntry> known;  // by name
  std::uint32_t used_day = 0;
  bool has_lost_names = false;
  base::Guarded<std::vector<StatEntry>> noted;
};

DirectoryStats::DirectoryStats(StatCache& cache, int dir, const StatX& seen)
    : state_(std::make_unique<State>(*cache.state_)) {
  const auto file_system = find_file_system_id(dir);
  if (!file_system) return;
  state_->key = StatKey{*file_system, seen.stx_ino, cache.state_->of, 0};
  std::vector<StatEntry>& known = state_->known;
  const Status loaded = cache.state_->env.view([&](ReadTxn& txn) {
    return txn.scan_raw(table::stats, prefix_of(*state_->key), {},
                        [&](std::string_view, std::string_view raw) -> Result<Scan> {
                          StatRow row = TRY(base::Codec<StatRow>::decode(raw));
                          state_->used_day = row.used_day;
                          std::move(row.entries.begin(), row.entries.end(), std::back_inserter(known));
                          return Scan::next;
                        });
  });
  // Rows that cannot be read are as good as none; they are written anew.
  if (!loaded || !std::is_sorted(known.begin(), known.end(), by_name)) known.clear();
}

DirectoryStats::~DirectoryStats() = default;

std::optional<NameContent> DirectoryStats::find(std::string_view name, const StatX& seen) const {
  const std::vector<StatEntry>& known = state_->known;
  const auto found = std::lower_bound(known.begin(), known.end(), name,
                                      [](const StatEntry& entry, std::string_view wanted) { return entry.name < wanted; });
  if (found == known.end() || found->name != name || found->facts != facts_of(seen)) return std::nullopt;
  return found->content;
}

void DirectoryStats::note(std::string_view name, const StatX& seen, const NameContent& content) {
  if (!state_->key) return;
  const auto is_old = [&](const ::statx_timestamp& time) {
    return base::from_unix_ns(time.tv_sec * 1'000'000'000 + time.tv_nsec) < state_->cache.trusted_before;
  };
  if (!is_old(seen.stx_mtime) || !is_old(seen.stx_ctime)) return;
  state_->noted.lock()->push_back({std::string(name), facts_of(seen), content});
}

void DirectoryStats::forget_missing(const std::function<bool(std::string_view name)>& has_name) {
  const auto lost = std::erase_if(
      state_->known, [&](const StatEntry& entry) { return !entry.name.empty() && !has_name(entry.name); });
  state_->has_lost_names = state_->has_lost_names || lost > 0;
}

void DirectoryStats::finish() {
  if (!state_->key || state_->cache.writer == nullptr) return;
  std::vector<StatEntry> entries = std::exchange(*state_->noted.lock(), {});
  // What was noted last counts, should a name have been read twice.
  std::stable_sort(entries.begin(), entries.end(), by_name);
  const auto is_same = [](const StatEntry& a, const StatEntry& b) { return a.name == b.name; };
  const auto last_ones = std::unique(entries.rbegin(), entries.rend(), is_same);
  entries.erase(entries.begin(), last_ones.base());
  const bool is_stale = !state_->known.empty() && state_->used_day + 1 < state_->cache.today;
  if (entries.empty() && !is_stale && !state_->has_lost_names) return;
  std::vector<StatEntry> all;
  all.reserve(entries.size() + state_->known.size());
  // The new ones come first, and so win.
  std::merge(std::make_move_iterator(entries.begin()), std::make_move_iterator(entries.end()),
             std::make_move_iterator(state_->known.begin()), std::make_move_iterator(state_->known.end()),
             std::back_inserter(all), by_name);
  all.erase(std::unique(all.begin(), all.end(), is_same), all.end());
  LearnedDirectory learned{*state_->key, {}};
  for (std::size_t from = 0; from < all.size(); from += stat_entries_per_row) {
    StatRow row{state_->cache.today, {}};
    const std::size_t to = std::min(all.size(), from + stat_entries_per_row);
    std::move(all.begin() + static_cast<std::ptrdiff_t>(from), all.begin() + static_cast<std::ptrdiff_t>(to),
              std::back_inserter(row.entries));
    learned.rows.push_back(std::move(row));
  }
  state_->cache.learn(std::move(learned));
}

Status forget_stats(base::lmdb::Env& env, base::lmdb::GroupWriter& writer, base::WallTime used_before,
                    std::size_t bytes_max) {
  struct Kept {
    std::uint32_t used_day;
    StatKey key;
    std::size_t bytes;
  };
  const std::uint32_t day = day_of(used_before);
  std::vector<StatKey> old;
  std::vector<Kept> kept;
  TRY(each_row(env, table::stats, [&](ReadTxn&, const StatKey& key, const StatRow& row) -> Status {
    if (row.used_day < day) {
      old.push_back(key);
    } else {
      kept.push_back({row.used_day, key, base::Codec<StatRow>::encode(row).size()});
    }
    return {};
  }));
  std::stable_sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) { return a.used_day > b.used_day; });
  std::size_t bytes = 0;
  for (const Kept& row : kept) {
    bytes += row.bytes;
    if (bytes > bytes_max) old.push_back(row.key);
  }
  for (std::size_t from = 0; from < old.size(); from += rows_per_change) {
    const std::size_t to = std::min(old.size(), from + rows_per_change);
    base::lmdb::GroupWriter::Entry entry;
    entry.change = [keys = std::vector<StatKey>(old.begin() + static_cast<std::ptrdiff_t>(from),
                                                old.begin() + static_cast<std::ptrdiff_t>(to))](WriteTxn& txn) -> Status {
      for (const StatKey& key : keys) TRY(txn.erase(table::stats, key));
      return {};
    };
    TRY(writer.wait_durable(TRY(writer.enqueue(std::move(entry)))));
  }
  return {};
}

}  // namespace cairn::cache
