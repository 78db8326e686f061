// SPDX-License-Identifier: Apache-2.0
// Fills a store with as many records as one likes, in seconds: the rows that publications would have left, written by the
// libraries' own codecs into their own tables, in the order of the keys. It is a sound store: check() finds nothing in it
// if it has trees, and only that they are missing if it has none.
#pragma once

#include <cstdint>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libcache/digests.h"
#include "libcache/record.h"

namespace cairn::test {

struct BigStoreOptions {
  std::uint64_t records = 1'000'000;
  // Records come in chains of this many, each on the one before. The keys of a chain lead to one another.
  std::uint64_t chain = 4;
  std::uint64_t projects = 20, builds = 1'000, steps = 50;  // how many different labels
  // Each record has a directory with this many files of 100 bytes in it. 0: no directory; rows alone.
  std::uint64_t files = 0;
  std::int64_t tree_bytes = 64 << 10;  // what the rows of a record without a tree say that it takes
  // Created and last used: the first record at `begin`, each later one by `apart`.
  base::WallTime begin = base::from_unix_ns(1'700'000'000'000'000'000);
  std::chrono::nanoseconds apart = std::chrono::milliseconds(10);
};

// The keys and records of a big store: record n (from 0) has the key big_store_key(n).
KeyDigest big_store_key(std::uint64_t n);
cache::RecordId big_store_record(std::uint64_t n);
// What leads from the key of record n-1 to that of record n of the same chain; both have it as their operation.
base::Sha256Bytes big_store_operation();

// env: open with the tables of both libraries; nothing else uses the store, which holds no snapshot yet. Call it before
// snapshot::open and Cache::open, which count what is there. root: where trees go. Aborts on an error.
void fill_big_store(base::lmdb::Env& env, const base::HostPath& root, const BigStoreOptions& options);

}  // namespace cairn::test
