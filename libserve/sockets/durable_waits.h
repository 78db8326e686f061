// SPDX-License-Identifier: Apache-2.0
// Waiting for many changes to be durable on one thread: thousands of uploads that end together share one group.
#pragma once

#include <condition_variable>
#include <functional>
#include <thread>
#include <vector>

#include "libbase/lmdb/group_writer.h"
#include "libbase/sync.h"

namespace cairn::serve {

// Thread-safe. The writer outlives it.
class DurableWaits {
 public:
  using Then = std::function<void(base::Status)>;
  explicit DurableWaits(base::lmdb::GroupWriter& writer);
  ~DurableWaits();  // what waits gets its outcome first
  // Calls `then` on the thread of this object, once.
  void add(base::lmdb::SequenceNumber number, Then then);

 private:
  struct Wait {
    base::lmdb::SequenceNumber number;
    Then then;
  };
  void run(std::stop_token stop);

  base::lmdb::GroupWriter& writer_;
  base::Guarded<std::vector<Wait>> waits_;
  std::condition_variable_any added_;
  std::jthread thread_;
};

}  // namespace cairn::serve
