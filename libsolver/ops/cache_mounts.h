// SPDX-License-Identifier: Apache-2.0
// Directories that live on between steps. A cache mount is a lineage of trees: each use forks the head, so that steps that
// run at one time all start warm, and a step that is killed leaves the lineage as it was. A step that ends by itself,
// whatever its exit code, makes what it left the new head; of several at one time the last to end has the word.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "libbase/sync.h"
#include "libcache/cache.h"
#include "libsolver/result_store.h"

namespace cairn::solver {

// Whose turn it is with a locked mount: one step at a time, in the order in which they asked. Thread-safe.
class CacheMountTurns {
 public:
  // Ends the turn when it dies.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), key_(other.key_), ticket_(other.ticket_) {}
    Turn& operator=(Turn&& other) noexcept;
    ~Turn() { end(); }

   private:
    friend class CacheMountTurns;
    void end();
    CacheMountTurns* turns_ = nullptr;
    KeyDigest key_;
    std::uint64_t ticket_ = 0;
  };
  // Waits. Errors: cancelled.
  base::Result<Turn> take(const KeyDigest& key, std::stop_token stop);

 private:
  struct State {
    std::map<KeyDigest, std::list<std::uint64_t>> waiting;  // the first has the turn
    std::uint64_t next = 0;
  };
  base::Guarded<State> state_;
  std::condition_variable_any changed_;
};

// What names the lineage: the mount's id, and what it was begun from.
KeyDigest cache_mount_key(const std::string& id, const OptionalRef& base);
// nullopt: it has not been used yet.
base::Result<OptionalRef> find_cache_mount(cache::Cache& cache, const KeyDigest& key);
// Makes what was written the head, at once. A fork in which nothing has changed is dropped.
base::Status keep_cache_mount(cache::Cache& cache, const KeyDigest& key, const std::string& description,
                              cache::MutableRef fork);

}  // namespace cairn::solver
