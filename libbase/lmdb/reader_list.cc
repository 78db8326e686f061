// SPDX-License-Identifier: Apache-2.0
#include "libbase/lmdb/reader_list.h"

#include <lmdb.h>

#include <cstdio>
#include <memory>

#include "libbase/lmdb/mdb_error.h"
#include "libbase/lmdb/open_paths.h"

namespace cairn::base::lmdb {
namespace {

struct Close {
  void operator()(MDB_env* env) const { mdb_env_close(env); }
};

// One line of LMDB's table: pid, thread in hex, transaction, which is "-" between two.
int add_reader(const char* line, void* context) {
  ReaderInfo reader;
  unsigned long long thread = 0, transaction = 0;
  if (std::sscanf(line, "%d %llx %llu", &reader.pid, &thread, &transaction) != 3) return 0;
  reader.thread = thread;
  reader.transaction = transaction;
  static_cast<std::vector<ReaderInfo>*>(context)->push_back(reader);
  return 0;
}

}  // namespace

Result<EnvFacts> look_at_env(const HostPath& dir) {
  const OpenPaths::Claim claim = TRY(OpenPaths::claim(dir));
  MDB_env* made = nullptr;
  if (const int rc = mdb_env_create(&made); rc != 0) return fail_mdb(rc, "look at metadata {}", dir.str());
  const std::unique_ptr<MDB_env, Close> env(made);
  if (const int rc = mdb_env_open(made, dir.c_str(), MDB_RDONLY | MDB_NOTLS, 0600); rc != 0)
    return fail_mdb(rc, "look at metadata {}", dir.str());
  MDB_envinfo info{};
  MDB_stat pages{};
  mdb_env_info(made, &info);
  mdb_env_stat(made, &pages);
  EnvFacts facts;
  facts.map_bytes = info.me_mapsize;
  facts.used_bytes = (static_cast<std::uint64_t>(info.me_last_pgno) + 1) * pages.ms_psize;
  facts.last_transaction = info.me_last_txnid;
  facts.readers_max = info.me_maxreaders;
  if (mdb_reader_list(made, add_reader, &facts.readers) < 0)
    return fail(ErrorCode::io, "list the readers of {}", dir.str());
  return facts;
}

}  // namespace cairn::base::lmdb
