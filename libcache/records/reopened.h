// SPDX-License-Identifier: Apache-2.0
// A record whose tree is open for writing again (spec/storage 1.4, GetMutable), in a fork. While this lives it is not collected.
// It ends when what came of it is published or was dropped.
#pragma once

#include <cstdint>

#include "libbase/lmdb/env.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct Store;

enum class Claim : std::uint8_t {
  shared,  // others find the record and may open it, too
  alone,   // nobody else finds it; the caller has taken it over (Holds::try_take_over)
};

class Reopened {
 public:
  Reopened(Store& store, ImmutableRef record, Claim claim) : store_(store), record_(std::move(record)), claim_(claim) {}
  ~Reopened();
  Reopened(const Reopened&) = delete;
  Reopened& operator=(const Reopened&) = delete;

  const ImmutableRef& record() const { return record_; }

 private:
  Store& store_;
  ImmutableRef record_;
  const Claim claim_;
};

// In the transaction that writes what takes the record's place, after its results: no key leads to the record any more, and it cannot be
// reopened.
base::Status replace_record(base::lmdb::WriteTxn& txn, RecordId id);

}  // namespace cairn::cache
