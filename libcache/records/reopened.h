// SPDX-License-Identifier: Apache-2.0
// A retained record whose tree is open for writing (spec/storage 1.4, GetMutable). While this lives nobody else finds the
// record, and it is not collected. It ends when what came of it is published or was dropped.
#pragma once

#include "libbase/lmdb/env.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct Store;

class Reopened {
 public:
  // The caller has taken the record over (Holds::try_take_over).
  Reopened(Store& store, ImmutableRef record) : store_(store), record_(std::move(record)) {}
  ~Reopened();
  Reopened(const Reopened&) = delete;
  Reopened& operator=(const Reopened&) = delete;

  const ImmutableRef& record() const { return record_; }

 private:
  Store& store_;
  ImmutableRef record_;
};

// In the transaction that writes what takes the record's place, after its results: no key leads to the record any more, and it cannot be
// reopened.
base::Status replace_record(base::lmdb::WriteTxn& txn, RecordId id);

}  // namespace cairn::cache
