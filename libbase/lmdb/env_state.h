// SPDX-License-Identifier: Apache-2.0
// What stands behind Env. Order of locks: `writer`, then the gate's closing, then `idle_readers`; the first is LMDB's
// write lock as this process sees it and is held while an update runs.
#pragma once

#include <lmdb.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/lmdb/env.h"
#include "libbase/lmdb/open_paths.h"
#include "libbase/lmdb/reader_gate.h"
#include "libbase/sync.h"

namespace cairn::base::lmdb {

struct ActiveTxn {
  MDB_txn* txn = nullptr;
  bool map_full = false;  // LMDB has poisoned the transaction; it is to be run again in a larger map
  unsigned scans = 0;     // running; LMDB 0.9.24 is unsafe when rows are deleted under a cursor
  std::string changes{};  // not yet in the journal
};

struct Env::State {
  explicit State(HostPath path) : dir(std::move(path)) {}
  ~State();

  // Opening (env_open.cc).
  Status open_map(unsigned tables_max);
  Status open_tables(std::span<const RawTableSpec* const> specs);
  Status create_missing_tables();
  Status cover_missing_tail();

  Status reopen_tables();

  // Reading. Why a reader may not begin, and what would help.
  enum class Obstacle { none, map_resized, header_failed };
  Result<MDB_txn*> begin_read(Obstacle& obstacle);
  void end_read(MDB_txn* txn);

  // The map; the caller holds `writer` and is not in a view.
  Status remove_obstacle(Obstacle obstacle);
  Status reopen();
  Status grow_map();
  Status adopt_map();
  Status set_map(std::uint64_t bytes);

  // Writing; the caller holds `writer`.
  enum class Attempt { finished, again };
  Result<Attempt> attempt(Env& env, const std::function<Status(WriteTxn&)>& f);
  Status commit(ActiveTxn& active);
  Status classify_failed_commit(int rc, std::size_t id);
  void reserve_tail();
  void sweep_dead_readers();

  struct Table {
    std::string_view name;
    std::optional<MDB_dbi> handle;  // none: a read-only opener did not find it
    bool journaled = false;
    const RawTableSpec* spec = nullptr;
  };
  const Table& find_table(const RawTableSpec& spec) const;  // CHECKs that open() named it

  OpenPaths::Claim claim;  // first, so that it is given back last
  HostPath dir;
  Options options;
  MDB_env* env = nullptr;
  Fd tail;                    // for blocks behind the end of the file; none: read-only
  Fd data;                    // an own descriptor: the kernel reports a write-back error to each descriptor once
  std::vector<Table> tables;  // sorted by name
  ChangeJournal journal;
  std::uint64_t tail_renewed_at = 0;  // the size of the file at which its tail is filled up again; under `writer`
  ReaderGate gate;
  std::mutex writer;
  Guarded<std::vector<MDB_txn*>> idle_readers;
  std::chrono::steady_clock::time_point last_sweep = std::chrono::steady_clock::now();  // under `writer`
  std::atomic<std::uint64_t> map_bytes{0};
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::uint64_t> commits{0};
  std::atomic<bool> unmapped{false};  // a resize or reopening failed half way: nothing can be read any more
  bool header_failed = false;  // LMDB found no room for its header, and refuses everything until it is opened anew; under `writer`
};

}  // namespace cairn::base::lmdb
