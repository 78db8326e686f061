// SPDX-License-Identifier: Apache-2.0
// Transactions as closures, and the map that may have to grow between two of them. A reader passes the gate, renews a
// pooled LMDB transaction and resets it at the end; a writer holds one mutex from begin to commit.
#include "libbase/lmdb/env.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "libbase/crash_point.h"
#include "libbase/lmdb/env_state.h"
#include "libbase/lmdb/mdb_error.h"
#include "libbase/lmdb/thread_frames.h"
#include "libbase/log/log.h"

namespace cairn::base::lmdb {
namespace {

constexpr std::size_t idle_readers_max = 32;
constexpr std::uint64_t map_bytes_max = 1ull << 46;
constexpr auto sweep_interval = std::chrono::seconds(10);
// Blocks behind the end of the file that are its own already: what a transaction can write on a disk that is full. A 64th
// of the disk if that is less.
constexpr std::uint64_t tail_bytes_max = 4 << 20;

}  // namespace

Env::Env() = default;
Env::~Env() = default;

Env::State::~State() {
  if (env == nullptr) return;
  CHECK(gate.idle(), "metadata {} is closed while a view runs", dir.str());
  auto idle = idle_readers.lock();
  for (MDB_txn* txn : *idle) mdb_txn_abort(txn);
  mdb_env_close(env);
}

// A pooled transaction keeps its slot in the reader table, so that beginning costs no lock shared with other processes.
Result<MDB_txn*> Env::State::begin_read(Obstacle& obstacle) {
  if (unmapped) return fail(ErrorCode::io, "read metadata {}: it is not mapped any more; reopen it", dir.str());
  MDB_txn* txn = nullptr;
  if (auto idle = idle_readers.lock(); !idle->empty()) {
    txn = idle->back();
    idle->pop_back();
  }
  int rc = txn != nullptr ? mdb_txn_renew(txn) : mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn);
  if (rc == MDB_READERS_FULL) {
    sweep_dead_readers();
    rc = mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn);
  } else if (rc != 0 && txn != nullptr) {
    mdb_txn_abort(txn);
  }
  obstacle = rc == MDB_MAP_RESIZED ? Obstacle::map_resized : rc == MDB_PANIC ? Obstacle::header_failed : Obstacle::none;
  if (rc != 0) return fail_mdb(rc, "read metadata {}", dir.str());
  ++reads;
  return txn;
}

void Env::State::end_read(MDB_txn* txn) {
  mdb_txn_reset(txn);
  if (auto idle = idle_readers.lock(); idle->size() < idle_readers_max) {
    idle->push_back(txn);
    return;
  }
  mdb_txn_abort(txn);
}

Status Env::view_erased(const std::function<void(ReadTxn&)>& f) {
  State& state = *state_;
  const ViewFrame* const outer = find_view(this);
  for (;;) {
    auto obstacle = State::Obstacle::none;
    {
      ReaderGate::Pass pass(state.gate, outer != nullptr ? ReaderGate::Entry::nested : ReaderGate::Entry::outermost);
      const Result<MDB_txn*> txn = state.begin_read(obstacle);
      if (txn) {
        ActiveTxn active{*txn};
        {
          ViewScope scope(this, &active);
          ReadTxn read(*this, active);
          f(read);
        }
        state.end_read(*txn);
        return {};
      }
      if (obstacle != State::Obstacle::none && outer != nullptr) {
        // Another map would pull that of the outer view from under it.
        ReadTxn read(*this, *outer->txn);
        f(read);
        return {};
      }
      if (obstacle == State::Obstacle::none) return tl::unexpected<Error>(txn.error());
    }
    CHECK(updating_env != this, "the map grew elsewhere during an update");
    std::lock_guard<std::mutex> lock(state.writer);
    TRY(state.remove_obstacle(obstacle));
  }
}

Status Env::update(const std::function<Status(WriteTxn&)>& f) {
  CHECK(updating_env == nullptr, "an update inside an update would wait for itself");
  CHECK(innermost_view == nullptr, "an update inside a view would wait for itself when the map grows");
  State& state = *state_;
  if (state.options.mode == Mode::read_only)
    return fail(ErrorCode::invalid_argument, "update metadata {}: it is open read-only", state.dir.str());
  std::lock_guard<std::mutex> lock(state.writer);
  UpdateScope scope(this);
  for (;;) {
    const auto attempt = state.attempt(*this, f);
    // Here and not by the next one who comes: readers wait for this lock meanwhile.
    if (state.header_failed) TRY(state.reopen());
    if (!attempt) return tl::unexpected<Error>(attempt.error());
    if (*attempt == State::Attempt::finished) break;
  }
  if (const auto now = std::chrono::steady_clock::now(); now - state.last_sweep >= sweep_interval) {
    state.sweep_dead_readers();
    state.last_sweep = now;
  }
  return {};
}

Result<Env::State::Attempt> Env::State::attempt(Env& self, const std::function<Status(WriteTxn&)>& f) {
  if (unmapped) return fail(ErrorCode::io, "update metadata {}: it is not mapped any more; reopen it", dir.str());
  ActiveTxn active;
  const int rc = mdb_txn_begin(env, nullptr, 0, &active.txn);
  if (rc == MDB_MAP_RESIZED) {
    TRY(adopt_map());
    return Attempt::again;
  }
  if (rc != 0) return fail_mdb(rc, "update metadata {}", dir.str());

  WriteTxn write(self, active);
  Status status = f(write);
  if (status && !active.map_full)
    if (const auto flushed = write.flush_changes(); !flushed) status = tl::unexpected<Error>(flushed.error());
  // Whatever the closure made of it: a transaction that met a full map cannot be committed.
  if (!active.map_full && status) {
    CRASH_POINT("lmdb.update.before_commit");
    const Status committed = commit(active);
    if (!active.map_full) {
      if (!committed) return tl::unexpected<Error>(committed.error());
      CRASH_POINT("lmdb.update.after_commit");
      return Attempt::finished;
    }
  } else {
    mdb_txn_abort(active.txn);
  }
  if (!active.map_full) return tl::unexpected<Error>(status.error());
  TRY(grow_map());
  return Attempt::again;
}

// The transaction is gone afterwards, whatever the outcome.
Status Env::State::commit(ActiveTxn& active) {
  const std::size_t id = mdb_txn_id(active.txn);
  const int rc = mdb_txn_commit(active.txn);
  if (rc == 0) {
    ++commits;
    MDB_envinfo info{};
    mdb_env_info(env, &info);
    if (info.me_last_txnid == id) {  // it wrote something
      count_lmdb_sync();
      reserve_tail();
    }
    return {};
  }
  active.map_full = rc == MDB_MAP_FULL;
  return classify_failed_commit(rc, id);
}

// LMDB says EIO when the disk takes only the first part of a write, as a full one does. A broken disk says so again to our own
// descriptor.
Status Env::State::classify_failed_commit(int rc, std::size_t id) {
  const bool partly = rc == EIO && sync_data(data.get());
  if (!partly && rc != ENOSPC && rc != EDQUOT) return fail_mdb(rc, "commit metadata {}", dir.str());
  MDB_txn* probe = nullptr;
  header_failed = mdb_txn_begin(env, nullptr, MDB_RDONLY, &probe) == MDB_PANIC;
  if (probe != nullptr) mdb_txn_abort(probe);
  // A header that names what we say has failed: it must stay refused, for the files of it are about to be taken away.
  MDB_envinfo info{};
  mdb_env_info(env, &info);
  if (info.me_last_txnid == id) {
    header_failed = false;
    return fail(ErrorCode::io, "commit metadata {}: its header was written and cannot be taken back", dir.str());
  }
  if (partly) return fail(ErrorCode::no_space, "commit metadata {}: the disk took only a part of the pages", dir.str());
  return fail_mdb(rc, "commit metadata {}", dir.str());
}

// Holes in the file, pages that were never written, are filled, too. A disk that has no room for it (or does not know how) is none the worse off. Costs a system call, two if the file has grown.
void Env::State::reserve_tail() {
  struct ::stat file {};
  struct ::statvfs disk {};
  if (!tail || ::fstat(tail.get(), &file) != 0) return;
  const auto size = static_cast<std::uint64_t>(file.st_size);
  if (size < tail_renewed_at || ::fstatvfs(tail.get(), &disk) != 0) return;
  const std::uint64_t bytes = std::min<std::uint64_t>(tail_bytes_max, disk.f_blocks * disk.f_frsize / 64);
  if (::fallocate(tail.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size + bytes)) == 0)
    tail_renewed_at = size + bytes / 2;  // when half of it has been used
}

Status Env::State::remove_obstacle(Obstacle obstacle) {
  if (obstacle == Obstacle::map_resized) return adopt_map();
  if (header_failed) return reopen();
  // Whoever met it has opened it anew, or had to leave it as it is.
  if (unmapped) return {};  // said by begin_read
  MDB_txn* probe = nullptr;
  const int rc = mdb_txn_begin(env, nullptr, MDB_RDONLY, &probe);
  if (probe != nullptr) mdb_txn_abort(probe);
  if (rc == MDB_PANIC) return fail_mdb(rc, "read metadata {}", dir.str());
  return {};
}

Status Env::State::adopt_map() {
  ReaderGate::Closure closed(gate);
  return set_map(0);
}

Status Env::State::grow_map() {
  sweep_dead_readers();
  const std::uint64_t bytes = map_bytes * 2;
  if (bytes > map_bytes_max)
    return fail(ErrorCode::no_space, "grow the map of {} beyond {} bytes", dir.str(), map_bytes.load());
  ReaderGate::Closure closed(gate);
  // LMDB unmaps before it maps, and has nothing left if the second fails: ask for the difference first.
  void* const probe = ::mmap(nullptr, map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe == MAP_FAILED)
    return fail(ErrorCode::no_space, "grow the map of {} to {} bytes: {}", dir.str(), bytes, errno_text(errno));
  ::munmap(probe, map_bytes);
  log_info("the map of {} grows to {} bytes", dir.str(), bytes);
  return set_map(bytes);
}

Status Env::State::set_map(std::uint64_t bytes) {
  if (const int rc = mdb_env_set_mapsize(env, bytes); rc != 0) {
    unmapped = true;
    return fail_mdb(rc, "map {}", dir.str());
  }
  MDB_envinfo info{};
  mdb_env_info(env, &info);
  map_bytes = info.me_mapsize;
  return {};
}

void Env::State::sweep_dead_readers() {
  int dead = 0;
  if (mdb_reader_check(env, &dead) == 0 && dead > 0)
    log_info("cleared {} readers of dead processes from {}", dead, dir.str());
}

void Env::set_journal(ChangeJournal journal) {
  std::lock_guard<std::mutex> lock(state_->writer);
  for (State::Table& table : state_->tables) table.journaled = journal.wants && journal.wants(*table.spec);
  state_->journal = std::move(journal);
}

TxnCounts Env::counts() const { return {state_->reads, state_->commits}; }

std::uint64_t Env::map_bytes() const { return state_->map_bytes; }

std::uint64_t Env::allocated_bytes() const {
  std::uint64_t blocks = 0;
  for (const char* name : {"data.mdb", "lock.mdb"}) {
    struct ::stat facts {};
    // By name: closing a descriptor of the lock file would drop LMDB's locks.
    if (::stat((state_->dir / name).c_str(), &facts) == 0) blocks += static_cast<std::uint64_t>(facts.st_blocks);
  }
  return blocks * 512;
}

std::uint64_t Env::tail_bytes() const {
  struct ::stat facts {};
  if (::stat((state_->dir / "data.mdb").c_str(), &facts) != 0) return 0;
  const auto blocks = static_cast<std::uint64_t>(facts.st_blocks) * 512, size = static_cast<std::uint64_t>(facts.st_size);
  return blocks - std::min(blocks, size);
}

}  // namespace cairn::base::lmdb
