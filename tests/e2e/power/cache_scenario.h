// SPDX-License-Identifier: Apache-2.0
// A power cut under a whole engine: records on records, keys that lead to them, links between keys, blobs that records
// need, prunes. Subjects are numbers of keys.
#pragma once

#include "tests/e2e/power/power_fixture.h"
#include "libbase/lmdb/group_writer.h"

namespace cairn::test {

struct CacheWorkloadOptions {
  base::lmdb::GroupWriter::Options::Order order = base::lmdb::GroupWriter::Options::Order::data_first;
  std::uint64_t seed = 1;
  int rounds = 20;
};

// Aborts if the workload itself fails.
void run_cache_workload(const base::HostPath& root, const CacheWorkloadOptions& options, Reporter& reporter);

// Opens the engine, asks for check(), follows each key to its tree and blobs, commits one record, and opens once more.
std::vector<Violation> check_cache(const base::HostPath& root, const Expected& expected);

}  // namespace cairn::test
