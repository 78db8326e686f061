// SPDX-License-Identifier: Apache-2.0
// Who reads an environment, in this and in other processes. LMDB can use no page again that an old reader may still see, so
// one that never ends makes the file grow without end.
#pragma once

#include <cstdint>
#include <vector>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::base::lmdb {

struct ReaderInfo {
  int pid = 0;
  std::uint64_t thread = 0;
  std::uint64_t transaction = 0;  // the version that it reads
};
struct EnvFacts {
  std::uint64_t map_bytes = 0;
  std::uint64_t used_bytes = 0;         // pages that were ever written
  std::uint64_t last_transaction = 0;   // the newest version
  unsigned readers_max = 0;
  std::vector<ReaderInfo> readers;      // those in a transaction now
};

// The environment must not be open in this process. Errors: not_found, busy, corrupt, io.
Result<EnvFacts> look_at_env(const HostPath& dir);

}  // namespace cairn::base::lmdb
