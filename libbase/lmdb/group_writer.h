// SPDX-License-Identifier: Apache-2.0
// All metadata goes through one writer that drains a queue in groups: make the data of the group durable, commit the
// group's changes in one transaction, wake the waiters. What a caller gets back at once is a sequence number; *durable*
// is a second event. A group is committed when somebody waits, or 500 ms after its first change, or at 64 MiB.
//
// A change owns its data (it captures by value), may run twice, and once queued is not withdrawn. A change that fails
// is dropped and its group is run again without it; the failure reaches its `done` and whoever waits for its number.
// A failed data sync or commit fails the whole group, and the writer refuses everything after it (a failed fsync is
// never retried): the owner must reopen.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "libbase/lmdb/env.h"

namespace cairn::base::lmdb {

using SequenceNumber = std::uint64_t;  // 0: nothing to wait for

// Names data outside LMDB that a change's rows speak of (for Cairn: a snapshot id, a blob). Opaque here.
using DataToken = std::uint64_t;

// Thread-safe.
class GroupWriter {
 public:
  using Change = std::function<Status(WriteTxn&)>;
  // Makes the named data durable; called once per group that names any, on the writer's thread.
  using DataSync = std::function<Status(std::span<const DataToken>)>;

  struct Entry {
    Change change;
    std::vector<DataToken> data;           // durable before the change is committed (I1)
    std::size_t bytes = 0;                 // how much data stands behind it; counts towards group_bytes_max
    std::function<void(const Status&)> done;  // may be empty; runs on the writer's thread after the outcome is known
  };
  struct Options {
    std::chrono::milliseconds group_age_max{500};
    std::size_t group_bytes_max = 64u << 20;
    std::size_t queue_max = 65536;  // enqueue() waits beyond it
    // For the crash suite only: commit before the data sync, the bug that the suite exists to catch.
    enum class Order { data_first, names_first } order = Order::data_first;
  };
  struct Counts {
    std::uint64_t changes = 0, groups = 0, data_syncs = 0, failed_changes = 0;
  };

  GroupWriter(Env& env, DataSync data_sync, Options options);
  ~GroupWriter();  // commits what is queued (errors are logged), then joins

  // Queues a change. Changes take effect in the order of their numbers. Errors: io (the writer has failed).
  Result<SequenceNumber> enqueue(Entry entry);
  // Returns when every change up to `number` is durable, or with the error of change `number` itself, or of its group.
  // A stop request ends the waiting only: cancelled.
  Status wait_durable(SequenceNumber number, std::stop_token stop = {});
  SequenceNumber last_durable() const;
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::base::lmdb
