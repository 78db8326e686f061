// SPDX-License-Identifier: Apache-2.0
// All metadata goes through one writer that drains a queue in groups: make the data of the group durable, commit the
// group's changes in one transaction, wake the waiters. What a caller gets back at once is a sequence number; *durable*
// is a second event. A group is committed when somebody waits, or 500 ms after its first change, or at 64 MiB.
//
// A change owns its data (it captures by value), may run twice, and once queued is not withdrawn. A change that fails
// is dropped and its group is run again without it; the failure reaches its `done` and whoever waits for its number.
// A failed data sync or commit fails the whole group, and the writer refuses everything after it (a failed fsync is
// never retried): the owner must reopen. One failure is milder: a commit that found the disk full (no_space) was undone
// as a whole, so it fails the changes of its group and the writer goes on; their callers collect and enqueue again.
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
  // Makes the named data durable; called once per group that names any, with each token once, on the writer's thread.
  using DataSync = std::function<Status(std::span<const DataToken>)>;

  struct Entry {
    Change change;
    std::vector<DataToken> data;           // durable before the change is committed (I1)
    std::size_t bytes = 0;                 // how much data stands behind it; counts towards group_bytes_max
    // May be empty. Runs once, on the writer's thread, without a lock, after last_durable() has passed the change. It may
    // enqueue, and must not wait. Not run if enqueue() refused the entry.
    std::function<void(const Status&)> done;
  };
  struct Options {
    std::chrono::milliseconds group_age_max{500};
    std::size_t group_bytes_max = 64u << 20;
    std::size_t queue_max = 65536;  // enqueue() waits beyond it, except inside a transaction or on the writer's thread
    // For the crash suite only: commit before the data sync, the bug that the suite exists to catch.
    enum class Order { data_first, names_first } order = Order::data_first;
  };
  struct Counts {
    std::uint64_t changes = 0;         // durable
    std::uint64_t groups = 0;          // committed with at least one change
    std::uint64_t data_syncs = 0;      // calls of DataSync
    std::uint64_t failed_changes = 0;  // dropped, or of a failed group, or queued when the writer failed
  };

  GroupWriter(Env& env, DataSync data_sync, Options options);
  // Commits what is queued (errors are logged), then joins. Aborts the process if a thread still waits here.
  ~GroupWriter();
  GroupWriter(const GroupWriter&) = delete;
  GroupWriter& operator=(const GroupWriter&) = delete;

  // Queues a change. Changes take effect in the order of their numbers. Errors: io (the writer has failed; the message
  // has the first failure in it).
  Result<SequenceNumber> enqueue(Entry entry);
  // Returns when every change up to `number` is durable, or with the error of change `number` itself, or of its group.
  // The errors of the last 65,536 failed changes are remembered. A stop request ends the waiting only: cancelled.
  // Waiting on the writer's thread or inside a transaction aborts the process: it would wait for itself.
  Status wait_durable(SequenceNumber number, std::stop_token stop = {});
  // Another place for data: `data_sync` is called like the one given at construction, after it, with all tokens of the
  // group, and ignores those that are not its own. Removing it by its owner ends new calls of it; one that runs goes on.
  // It learns whether what ran before it has synced a whole file system, so that it need not sync its files on that again.
  enum class WholeFilesystem { not_synced, synced };
  using FurtherDataSync = std::function<Status(std::span<const DataToken>, WholeFilesystem)>;
  void add_data_sync(const void* owner, FurtherDataSync data_sync);
  void remove_data_sync(const void* owner);
  // Every change up to here is durable or has failed alone or for want of space.
  SequenceNumber last_durable() const;
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::base::lmdb
