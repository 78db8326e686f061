// SPDX-License-Identifier: Apache-2.0
// Which of our codes each LMDB code is, by what a caller can do about it.
#include "libbase/lmdb/mdb_error.h"

#include <lmdb.h>

namespace cairn::base::lmdb {

ErrorCode code_of_mdb(int mdb_code) {
  switch (mdb_code) {
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
      return ErrorCode::corrupt;
    case MDB_BAD_VALSIZE:
      return ErrorCode::invalid_argument;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:  // too much for one transaction; in a smaller group it fits
      return ErrorCode::no_space;
    case MDB_READERS_FULL:
      return ErrorCode::busy;
    default:
      return mdb_code > 0 ? code_of_errno(mdb_code) : ErrorCode::io;
  }
}

std::string mdb_text(int mdb_code) {
  // mdb_strerror falls back to strerror, which is not thread-safe, for errno values only.
  return mdb_code > 0 ? errno_text(mdb_code) : std::string(mdb_strerror(mdb_code));
}

}  // namespace cairn::base::lmdb
