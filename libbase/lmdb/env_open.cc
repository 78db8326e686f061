// SPDX-License-Identifier: Apache-2.0
// Opening an environment: the directory, the map, the tables. A store that exists is opened without a durable write.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "libbase/lmdb/env_state.h"
#include "libbase/lmdb/mdb_error.h"

namespace cairn::base::lmdb {
namespace {

constexpr std::uint64_t map_bytes_min = 1u << 20;
#if defined(__SANITIZE_THREAD__)
#define CAIRN_LMDB_SMALL_MAP 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CAIRN_LMDB_SMALL_MAP 1
#endif
#endif
#ifdef CAIRN_LMDB_SMALL_MAP
// The thread sanitizer leaves about 1.5 TiB of addresses to the program and ends it when a mapping falls outside.
constexpr std::uint64_t map_bytes_default = 1ull << 33;
#else
constexpr std::uint64_t map_bytes_default = 1ull << 40;
#endif

std::uint64_t default_map_bytes(const HostPath& dir) {
#ifndef CAIRN_LMDB_SMALL_MAP
  struct ::statvfs facts {};
  if (::statvfs(dir.c_str(), &facts) == 0)
    return std::max<std::uint64_t>(map_bytes_default, 4ull * facts.f_blocks * facts.f_frsize);
#endif
  (void)dir;
  return map_bytes_default;
}

// A header, and 64 bytes for each reader.
off_t lock_bytes(unsigned readers) { return static_cast<off_t>(readers + 2) * 64; }

// The name of a new directory is durable before anything is written in it.
Status create_dir(const HostPath& dir) {
  if (::mkdir(dir.c_str(), 0700) != 0) {
    if (errno == EEXIST) return {};
    return fail_errno(errno, "create metadata directory {}", dir.str());
  }
  const Fd fd = TRY(open_host_dir(dir));
  const Fd parent(::openat(fd.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return fail_errno(errno, "open the parent of {}", dir.str());
  return sync_file(parent.get());
}

// LMDB writes over pages that are free, and over its table of readers. On a file system that copies what is written over
// (btrfs), that would take room, and what is reserved for a full disk would be none; LMDB keeps what was there by itself. Only
// an empty file can be told so; file systems that write in place have nothing to be told. The table of readers is written
// through a mapping, where no room is a SIGBUS, so it has its blocks from the beginning.
Status create_in_place(const HostPath& path, off_t bytes) {
  const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return fail_errno(errno, "create {}", path.str());
  int flags = 0;
  if (::ioctl(file.get(), FS_IOC_GETFLAGS, &flags) == 0) {
    flags |= FS_NOCOW_FL;
    ::ioctl(file.get(), FS_IOC_SETFLAGS, &flags);
  }
  if (bytes > 0) ::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, bytes);
  return {};
}

}  // namespace

Result<std::unique_ptr<Env>> Env::open(const HostPath& dir, std::span<const RawTableSpec* const> tables,
                                       Options options) {
  const HostPath data_path = dir / "data.mdb";
  struct ::stat facts {};
  const bool exists = ::stat(data_path.c_str(), &facts) == 0;
  if (options.mode == Mode::read_only) {
    // LMDB would leave a lock file in a directory that is no environment.
    if (!exists) return fail_errno(errno, "open metadata {}", data_path.str());
    // An owner died, or found no room, before it wrote the first page; the next one begins there.
    if (facts.st_size == 0) return fail(ErrorCode::not_found, "open metadata {}: nothing has been written yet", data_path.str());
  } else {
    TRY(create_dir(dir));
    if (!exists) {
      TRY(create_in_place(data_path, 0));
      TRY(create_in_place(dir / "lock.mdb", lock_bytes(options.readers_max)));
    }
  }

  std::unique_ptr<Env> env(new Env());
  env->state_ = std::make_unique<State>(dir);
  State& state = *env->state_;
  state.claim = TRY(OpenPaths::claim(dir));
  state.options = options;
  TRY(state.open_map(static_cast<unsigned>(tables.size())));
  state.data = TRY(open_host(data_path, O_RDONLY));
  if (!exists) {
    const Fd dir_fd = TRY(open_host_dir(dir));
    TRY(sync_file(dir_fd.get()));  // the names of LMDB's files
  }
  TRY(state.cover_missing_tail());
  state.sweep_dead_readers();
  TRY(state.open_tables(tables), "open metadata {}", dir.str());
  TRY(state.create_missing_tables(), "create tables in {}", dir.str());
  if (options.mode == Mode::read_write) {
    state.tail = TRY(open_host(data_path, O_RDWR));
    state.reserve_tail();
  }
  return env;
}

Status Env::State::open_map(unsigned tables_max) {
  const auto page_bytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::uint64_t bytes = std::max({options.map_bytes != 0 ? options.map_bytes : default_map_bytes(dir), map_bytes_min, map_bytes.load()});
  for (;; bytes /= 2) {
    bytes -= bytes % page_bytes;
    if (const int rc = mdb_env_create(&env); rc != 0) return fail_mdb(rc, "open metadata {}", dir.str());
    int rc = mdb_env_set_maxdbs(env, std::max(tables_max, 1u));
    if (rc == 0) rc = mdb_env_set_maxreaders(env, options.readers_max);
    if (rc == 0) rc = mdb_env_set_mapsize(env, bytes);
    const unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (options.mode == Mode::read_only ? MDB_RDONLY : 0u);
    if (rc == 0) rc = mdb_env_open(env, dir.c_str(), flags, 0600);
    if (rc == 0) break;
    mdb_env_close(env);  // LMDB wants this after a failed open, too
    env = nullptr;
    if (rc != ENOMEM || bytes / 2 < map_bytes_min) return fail_mdb(rc, "open metadata {}", dir.str());
  }
  // LMDB 0.9.24 leaves this one descriptor, which can write, to every program that we start.
  int fd = -1;
  mdb_env_get_fd(env, &fd);
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return fail_errno(errno, "open metadata {}", dir.str());
  MDB_envinfo info{};
  mdb_env_info(env, &info);
  map_bytes = info.me_mapsize;  // LMDB takes more if the file has grown beyond it
  return {};
}

// Reading a mapped page behind the end of a file that has lost its tail kills the process with SIGBUS. A hole there
// reads as zeros instead, which LMDB reports as corrupt. A file may rightly be short by pages that were never written,
// so this is no error by itself. fallocate never overwrites and never shortens, so it is safe beside a live owner.
Status Env::State::cover_missing_tail() {
  MDB_envinfo info{};
  MDB_stat facts{};
  mdb_env_info(env, &info);
  mdb_env_stat(env, &facts);
  const std::uint64_t named_bytes = (static_cast<std::uint64_t>(info.me_last_pgno) + 1) * facts.ms_psize;
  const struct ::stat file = TRY(stat_fd(data.get()));
  if (static_cast<std::uint64_t>(file.st_size) >= named_bytes) return {};
  const Fd writable = TRY(open_host(dir / "data.mdb", O_RDWR));
  if (::fallocate(writable.get(), 0, static_cast<off_t>(named_bytes - 1), 1) != 0)
    return fail_errno(errno, "extend {}/data.mdb, which is shorter than its header says", dir.str());
  return {};
}

// The handles of a transaction are shared with later ones only if it ends by commit.
Status Env::State::open_tables(std::span<const RawTableSpec* const> specs) {
  MDB_txn* txn = nullptr;
  if (const int rc = mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn); rc != 0) return fail_mdb(rc, "begin");
  for (const RawTableSpec* spec : specs) {
    MDB_dbi handle = 0;
    const int rc = mdb_dbi_open(txn, spec->name, 0, &handle);
    if (rc != 0 && rc != MDB_NOTFOUND) {
      mdb_txn_abort(txn);
      return fail_mdb(rc, "table {}", spec->name);
    }
    tables.push_back({spec->name, rc == 0 ? std::optional<MDB_dbi>(handle) : std::nullopt, false, spec});
  }
  if (const int rc = mdb_txn_commit(txn); rc != 0) return fail_mdb(rc, "commit");
  std::sort(tables.begin(), tables.end(), [](const Table& a, const Table& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(tables.begin(), tables.end(),
                                        [](const Table& a, const Table& b) { return a.name == b.name; });
  CHECK(twice == tables.end(), "table {} is named twice", twice->name);
  return {};
}

// After the environment was opened anew: the same tables, which may have other handles now.
Status Env::State::reopen_tables() {
  MDB_txn* txn = nullptr;
  if (const int rc = mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn); rc != 0) return fail_mdb(rc, "begin");
  for (Table& table : tables) {
    if (!table.handle) continue;
    if (const int rc = mdb_dbi_open(txn, table.spec->name, 0, &*table.handle); rc != 0) {
      mdb_txn_abort(txn);
      return fail_mdb(rc, "table {}", table.name);
    }
  }
  if (const int rc = mdb_txn_commit(txn); rc != 0) return fail_mdb(rc, "commit");
  return {};
}

// LMDB refuses everything after it could not write its header, also what is only read. Its header says what it said before,
// so opening it anew is all that is needed, and takes no room.
Status Env::State::reopen() {
  ReaderGate::Closure closed(gate);
  {
    auto idle = idle_readers.lock();
    for (MDB_txn* txn : *idle) mdb_txn_abort(txn);
    idle->clear();
  }
  mdb_env_close(std::exchange(env, nullptr));
  unmapped = true;
  TRY(open_map(static_cast<unsigned>(tables.size())));
  TRY(reopen_tables(), "open metadata {} anew", dir.str());
  unmapped = false;
  header_failed = false;
  return {};
}

Status Env::State::create_missing_tables() {
  const bool complete =
      std::all_of(tables.begin(), tables.end(), [](const Table& table) { return table.handle.has_value(); });
  if (complete || options.mode == Mode::read_only) return {};
  ActiveTxn active;
  if (const int rc = mdb_txn_begin(env, nullptr, 0, &active.txn); rc != 0) return fail_mdb(rc, "begin");
  for (Table& table : tables) {
    if (table.handle) continue;
    MDB_dbi handle = 0;
    if (const int rc = mdb_dbi_open(active.txn, std::string(table.name).c_str(), MDB_CREATE, &handle); rc != 0) {
      mdb_txn_abort(active.txn);
      return fail_mdb(rc, "table {}", table.name);
    }
    table.handle = handle;
  }
  return commit(active);
}

}  // namespace cairn::base::lmdb
